"""Brings the layer to functions, and restarts them: layer, attach, detach, status and roll.

Each command imports its code only when it runs.

selection      finds the functions by name, by tag, or from a file
change         works out what attach, detach or roll changes in a function, and what prevents it, without a call
preflight      looks for what Lambda would accept, and what would fail all the same
rights         looks for what AWS does not have, and for what roles may not do
package        reads files in a function's package
configuration  reads the configuration that a function would use
versions       asks which versions a function would fetch
update         shows changes, asks, and makes them through Lambda's API
attach         adds the layer, and removes it
roll           restarts functions when their secrets changed
status         lists the functions that have the layer
build          builds the layer, in a checkout
layer          publishes the layer
policy         the least privilege that a configuration needs
terms          what the modules share
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..aws import WITHOUT_BOTO3
from .terms import FORMATS, LAYER, NO_SOURCES, DeployError

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["FORMATS", "DeployError", "account_id", "add_to", "add_values"]

_LAYER_VERSION = re.compile(rf"{LAYER.pattern}:[0-9]+")
_LAYER_NAME = re.compile(r"[A-Za-z0-9_-]{1,140}")

_LONGEST = 24 * 3600  # seconds
_REGION = "default: AWS_REGION, or that of the profile"
_ATTACH = """\
Adds the layer to each function, or replaces another version of it. All other layers stay where they are. The command
shows what would change, then asks. It checks all functions before it changes the first: a problem with one of them
stops all. After that, a function that Lambda refuses does not stop the others.
"""
_DETACH = """\
Removes the layer from each function, the variables that attach has set, which KEYSTART_ATTACHED lists, and the
variable that roll has set. A variable that somebody else has set, or has changed since, stays. The command shows what
would change, then asks.
"""

_ROLL = """\
Restarts functions when the versions of their secrets are not those of the last roll. It sets one variable,
KEYSTART_ROLLED, so that Lambda starts new environments. It makes that variable from the ids of the versions and never
from values. All other variables stay. The command shows what would change, then asks. A function that fails does not
stop the others. Exit codes: 0 nothing to do or done, 1 something failed or you did not agree, 2 wrong use, 3 a change
is shown (with --dry-run --detailed-exitcode), 130 interrupted.
"""


def add_to(commands: _Commands) -> None:
    """Adds the commands to the command line."""
    for add in (_add_layer, _add_attach, _add_detach, _add_status, _add_roll):
        add(commands)


def _add_layer(commands: _Commands) -> None:
    layer = commands.add_parser("layer", help="build the layer, and publish it to your account")
    of_layer = layer.add_subparsers(title="commands", metavar="COMMAND", required=True)

    build = of_layer.add_parser(
        "build",
        help="build the layer's zip, in a checkout of Keystart",
        description="Runs ./dev layer in the checkout. That installs what is missing: Debian's packages, and the "
        "pinned tools in .venv.",
    )
    build.set_defaults(command=_build)
    build.add_argument("--arch", choices=("x86_64", "arm64"), help="default: that of this machine")

    publish = of_layer.add_parser(
        "publish",
        help="publish zips as versions of layers, and print their ARNs",
        description="Publishes each zip as a new version of a layer of your account, for the architecture that its "
        "executable is for, and prints the ARN of each.",
    )
    publish.set_defaults(command=_publish)
    publish.add_argument(
        "zips", nargs="*", type=Path, metavar="ZIP", help="default: dist/keystart-layer-<version>-*.zip"
    )
    publish.add_argument(
        "--name", type=_layer_name, help="the layer's name (default: keystart-<architecture>)"
    )
    publish.add_argument("--json", action="store_true", help="print what was published as JSON")
    where = publish.add_mutually_exclusive_group()
    where.add_argument("--region", help=_REGION)
    where.add_argument(
        "--regions",
        type=_regions,
        default=[],
        metavar="REGION,…",
        help="publish in each of these regions; one that fails does not stop the others",
    )
    publish.add_argument(
        "--organization",
        type=_organization,
        metavar="ID",
        help="let all accounts of this AWS organization use the versions",
    )
    _add_account(publish, region=False)


def _add_attach(commands: _Commands) -> None:
    attach = commands.add_parser(
        "attach", help="add the layer to functions, with their configuration", description=_ATTACH
    )
    attach.set_defaults(command=_attach)
    attach.add_argument(
        "--layer",
        required=True,
        action="append",
        type=_layer_version,
        metavar="ARN",
        help="the ARN that keystart layer publish printed; repeat it for the other architecture",
    )
    attach.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="copy its secrets into the variable KEYSTART_SECRETS (default: the configuration stays as it is)",
    )
    add_values(attach)
    attach.add_argument(
        "--wrapper",
        action="store_true",
        help="start the runtime through the exec wrapper; the default if FILE has env:",
    )
    _add_change(attach)
    _add_account(attach, region=False)


def _add_detach(commands: _Commands) -> None:
    detach = commands.add_parser("detach", help="remove the layer from functions", description=_DETACH)
    detach.set_defaults(command=_detach)
    detach.add_argument(
        "--layer",
        type=_layer_or_name,
        metavar="NAME|ARN",
        help="the layer's name, if you published it with --name; its ARN, if it is of another account",
    )
    _add_change(detach)
    _add_account(detach, region=True)


def _add_status(commands: _Commands) -> None:
    status = commands.add_parser(
        "status",
        help="list the functions that have the layer, with its version, their configuration, and warnings",
        description="Lists the functions of the region that have the layer or a variable of Keystart: the layer's "
        "version, Keystart's version, where the configuration is, and what is wrong. It changes nothing.",
    )
    status.set_defaults(command=_status)
    _add_selection(status, required=False)
    status.add_argument(
        "--layer",
        type=_layer_or_name,
        metavar="NAME|ARN",
        help="the layer's name, if you published it with --name; its ARN, if it is of another account",
    )
    status.add_argument("--json", action="store_true", help="print the list as JSON")
    _add_account(status, region=True)


def _add_roll(commands: _Commands) -> None:
    roll = commands.add_parser(
        "roll", help="restart functions when their secrets have changed", description=_ROLL
    )
    roll.set_defaults(command=_roll)
    group = _add_selection(roll, required=True)
    group.add_argument(
        "--uses",
        type=_secret,
        metavar="SECRET",
        help="the functions whose configuration names this secret: its name, its ARN, or ssm: and a parameter",
    )
    roll.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration of functions that have it in an image or in another layer",
    )
    roll.add_argument(
        "--over",
        type=_duration,
        default=_duration("5m"),
        metavar="TIME",
        help="the time over which the functions change, in random order, such as 90s, 5m or 1h (default: 5m)",
    )
    _add_safety(roll)
    _add_account(roll, region=True)


def add_values(parser: argparse.ArgumentParser) -> None:
    """Adds --set to a command that reads a configuration elsewhere than in the function."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_value,
        metavar="NAME=VALUE",
        help="the value of ${NAME} in ids, as in the function; repeat it for more names",
    )


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals and re.fullmatch("[A-Za-z][A-Za-z0-9_]+", name) and value.isprintable():
        return name, value
    raise argparse.ArgumentTypeError("write NAME=VALUE, with the name of a variable of the function")


def account_id(text: str) -> str:
    """Parses the id of an account from the command line."""
    if re.fullmatch("[0-9]{12}", text):
        return text
    raise argparse.ArgumentTypeError("the id of an account has 12 digits")


def _add_change(parser: argparse.ArgumentParser) -> None:
    _add_selection(parser, required=True)
    _add_safety(parser)


def _add_safety(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 3 if --dry-run shows a change"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--no-revision-check",
        action="store_true",
        help="change functions although the endpoint reports no revision of them, as an emulator does",
    )
    parser.add_argument("--json", action="store_true", help="print the result for each function as JSON")


def _add_selection(parser: argparse.ArgumentParser, *, required: bool) -> argparse._MutuallyExclusiveGroup:
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument(
        "functions", nargs="*", default=[], metavar="FUNCTION", help="a function's name or ARN"
    )
    group.add_argument(
        "--tag",
        action="append",
        default=[],
        type=_tag,
        metavar="KEY=VALUE",
        help="the functions with this tag; repeat it for functions that have all of several tags",
    )
    group.add_argument(
        "--from",
        dest="from_file",
        type=Path,
        metavar="FILE",
        help='the functions in a file, one a line; "-" is standard input',
    )
    return group


def _secret(text: str) -> str:
    if text and text.isprintable():
        return text
    raise argparse.ArgumentTypeError(
        "write the name or the ARN of a secret, or ssm: and the name of a parameter"
    )


def _duration(text: str) -> float:
    """Parses a time as the configuration writes it, in seconds."""
    found = re.fullmatch("([0-9]{1,6})(s|m|h)", text)
    if found and (seconds := int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]) <= _LONGEST:
        return seconds
    raise argparse.ArgumentTypeError("write a time up to 24h, such as 90s, 5m or 1h")


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if key and equals and text.isprintable():
        return key, value
    raise argparse.ArgumentTypeError("write KEY=VALUE")


def _add_account(parser: argparse.ArgumentParser, *, region: bool) -> None:
    if region:
        parser.add_argument("--region", help=_REGION)
    parser.add_argument("--profile", help="the profile of your AWS configuration (default: AWS_PROFILE)")


def _layer_version(text: str) -> str:
    if _LAYER_VERSION.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(
        "this is not the ARN of a layer's version, such as "
        "arn:aws:lambda:eu-west-1:123456789012:layer:keystart-x86_64:1"
    )


def _layer_or_name(text: str) -> str:
    if _LAYER_VERSION.fullmatch(text):
        return text.rpartition(":")[0]
    return text if LAYER.fullmatch(text) else _layer_name(text)


def _regions(text: str) -> list[str]:
    from ..text import is_region

    regions = list(dict.fromkeys(text.split(",")))
    if not all(map(is_region, regions)):
        raise argparse.ArgumentTypeError(
            "write regions with commas between them, such as eu-west-1,us-east-1"
        )
    return regions


def _organization(text: str) -> str:
    if re.fullmatch("o-[a-z0-9]{10,32}", text):
        return text
    raise argparse.ArgumentTypeError("the id of an organization is such as o-a1b2c3d4e5")


def _layer_name(text: str) -> str:
    if _LAYER_NAME.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(
        "the name of a layer has 1 to 140 letters, digits, hyphens and underscores"
    )


def _build(arguments: argparse.Namespace) -> int:
    try:
        from .build import CHECKOUT, build
    except ModuleNotFoundError:
        raise DeployError(NO_SOURCES) from None
    return build(CHECKOUT, arguments.arch)


@contextmanager
def _needing_boto3() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise DeployError(WITHOUT_BOTO3) from None


def _publish(arguments: argparse.Namespace) -> int:
    with _needing_boto3():
        from .layer import publish
    return publish(
        arguments.zips,
        arguments.name,
        arguments.regions or [arguments.region],
        arguments.organization,
        arguments.profile,
        as_json=arguments.json,
    )


def _attach(arguments: argparse.Namespace) -> int:
    with _needing_boto3():
        from .attach import attach
    return attach(arguments)


def _detach(arguments: argparse.Namespace) -> int:
    with _needing_boto3():
        from .attach import detach
    return detach(arguments)


def _roll(arguments: argparse.Namespace) -> int:
    with _needing_boto3():
        from .roll import roll
    return roll(arguments)


def _status(arguments: argparse.Namespace) -> int:
    with _needing_boto3():
        from .status import status
    return status(arguments)
