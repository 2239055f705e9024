"""The command `keystart` for people: check, compile, pull, ls, get, iam-policy. deploy, sync, translate have more."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import __version__, deploy, sync, translate
from .aws import WITHOUT_BOTO3, AwsError
from .text import shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TextIO

    from .plan import Plan

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXIT_FAILED = 1
_EXIT_WRONG_USE = 2
_EXIT_CHANGES = 3  # done too, and it shows a change
_EXIT_SIGNALLED = 128  # as a shell reports a signal, plus its number
_EXIT_INTERRUPTED = _EXIT_SIGNALLED + 2
_DAY = 86_400  # seconds
_MOST_ENVIRONMENTS = 1_000_000
_EXIT_BROKEN_PIPE = 128 + 13  # as a shell reports SIGPIPE, which ends other programs then

_EPILOG = """\
Lambda starts keystart from /opt/extensions, without arguments and with AWS_LAMBDA_RUNTIME_API set. It is then the
extension process. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. The help of a command says if it uses 3.
"""


def main() -> int:
    """Runs the command line and returns the exit code."""
    _open_streams()
    before = sys.stdout, sys.stderr
    # A stream that was closed stays None in a root without /dev.
    output = _Stream(sys.stdout) if sys.stdout else None
    errors = _Stream(sys.stderr, stops=False) if sys.stderr else None
    sys.stdout, sys.stderr = cast("Any", output), cast("Any", errors)
    streams = [stream for stream in (output, errors) if stream is not None]
    code, failure = 0, None
    try:
        code = _run()
        for stream in streams:
            stream.flush()
    except OSError as error:
        # Only standard output can break here: every command handles the files and sockets that it opens.
        failure = error
    finally:
        sys.stdout, sys.stderr = before
    failure = failure or next((stream.failure for stream in streams if stream.failure), None)
    if failure is None:
        return code
    if not isinstance(failure, BrokenPipeError):
        with contextlib.suppress(OSError):
            _fail(f"The output cannot be written: {failure.strerror}.")
    _drop_output()
    if code not in (0, _EXIT_CHANGES):
        return code
    return _EXIT_BROKEN_PIPE if isinstance(failure, BrokenPipeError) else _EXIT_FAILED


class _Stream:
    """A standard stream that remembers why it could not be written. Without `stops` that stops no command."""

    def __init__(self, stream: TextIO, *, stops: bool = True) -> None:
        self._stream = stream
        self._stops = stops
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Writes text, or remembers why it cannot."""
        with self._remembering():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered, or remembers why it cannot."""
        with self._remembering():
            self._stream.flush()

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            if self._stops:
                raise

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _open_streams() -> None:
    """Opens the standard streams that are closed, so that no other file gets their numbers."""
    with contextlib.suppress(OSError):  # a root without /dev
        while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(null)
        if sys.stderr is None:
            # argparse of the executable's Python writes there without a look.
            sys.stderr = os.fdopen(2, "w", closefd=False)


def _drop_output() -> None:
    """Keeps the interpreter from writing unwritten output at its end, and from complaining about it."""
    with contextlib.suppress(OSError):  # a root without /dev
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)


def _run() -> int:
    parser = _parser()
    try:
        arguments = parser.parse_args()
    except SystemExit as ended:  # help, version, or wrong use
        return ended.code if isinstance(ended.code, int) else 0
    if arguments.command is None:
        parser.print_help(sys.stderr)
        print(
            "\nkeystart: AWS_LAMBDA_RUNTIME_API is not set, so this is not Lambda. "
            'On your own machine "keystart pull" publishes once.',
            file=sys.stderr,
        )
        return 2
    try:
        code: int = arguments.command(arguments)
    except (AwsError, deploy.DeployError, sync.SyncError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("Interrupted.")
        return _EXIT_INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keystart",
        description="Fetches the secrets of an AWS Lambda function while it starts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"keystart {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_check, _add_compile, _add_pull, _add_ls, _add_get):
        add(commands)
    deploy.add_to(commands)
    sync.add_to(commands)
    _add_iam_policy(commands)
    translate.add_to(commands)
    return parser


def _add_check(commands: _Commands) -> None:
    check = commands.add_parser(
        "check",
        help="validate a configuration and show what it would fetch",
        description="Checks a configuration, and prints what Keystart would fetch, and what a ttl would cost. It sends "
        "nothing to AWS.",
    )
    check.set_defaults(command=_check)
    _add_configuration(check)
    deploy.add_values(check)
    check.add_argument("--json", action="store_true", help="print the plan, or the problems, as JSON")
    check.add_argument(
        "--environments",
        type=_count,
        default=1,
        metavar="N",
        help="the number of execution environments for which to show what a ttl costs (default: 1)",
    )


def _add_compile(commands: _Commands) -> None:
    compilation = commands.add_parser(
        "compile",
        help="write any configuration as one checked JSON file",
        description="Checks a configuration and writes it as keystart.json beside the file. Put that into the "
        "function's package if you want one checked artefact.",
    )
    compilation.set_defaults(command=_compile)
    _add_configuration(compilation)
    deploy.add_values(compilation)
    compilation.add_argument(
        "-o", "--output", metavar="FILE", help='default: keystart.json beside FILE; "-" is standard output'
    )


def _add_pull(commands: _Commands) -> None:
    pull = commands.add_parser(
        "pull",
        help="fetch and publish once, with your own AWS credentials",
        description="Fetches the secrets of a configuration once, with your own AWS credentials, and publishes them on "
        "this machine, where the readers find them. They stay there until you remove the store.",
    )
    pull.set_defaults(command=_pull)
    _add_configuration(pull)
    _add_root(pull)
    pull.add_argument("--profile", help="the profile of your AWS configuration (default: AWS_PROFILE)")


def _add_ls(commands: _Commands) -> None:
    ls = commands.add_parser(
        "ls", help="list what is published", description="Lists the names of the published secrets."
    )
    ls.set_defaults(command=_ls)
    ls.add_argument("prefix", nargs="?", help="only the names below this folder")
    _add_root(ls)
    ls.add_argument("--json", action="store_true", help="print all facts about each secret except its value")


def _add_get(commands: _Commands) -> None:
    get = commands.add_parser(
        "get",
        help="print a secret's exact bytes",
        description="Prints the exact bytes of a published secret.",
    )
    get.set_defaults(command=_get)
    get.add_argument("name", metavar="NAME", help="its name in the configuration")
    _add_root(get)


def _add_iam_policy(commands: _Commands) -> None:
    policy = commands.add_parser(
        "iam-policy",
        help="print the IAM policy that a configuration needs, and no more",
        description="Prints the policy that the function's role needs for its secrets and parameters, and no more. "
        "With --role, prints the policy of a role that the configuration names under `role:`. If FILE is a sync.yaml, "
        "prints what keystart sync needs.",
    )
    policy.set_defaults(command=_iam_policy)
    _add_configuration(policy)
    deploy.add_values(policy)
    policy.add_argument("--role", metavar="ARN", help="print the policy of this role instead")
    policy.add_argument(
        "--account",
        type=deploy.account_id,
        metavar="ID",
        help="the account of secrets that have no ARN (default: *)",
    )
    policy.add_argument("--region", help="the function's region (default: AWS_REGION)")
    policy.add_argument(
        "--format",
        choices=deploy.FORMATS,
        default="json",
        help="print it for IAM, or as a part of a SAM template, of Terraform or of a CDK app (default: json)",
    )
    policy.add_argument(
        "--kms-key",
        action="append",
        default=[],
        metavar="ARN",
        help="your own key that encrypts some of them; repeat it for more keys",
    )


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "configuration",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="default: $KEYSTART_CONFIG, $KEYSTART_SECRETS, or keystart.json, keystart.yaml, keystart.yml or "
        "config.yaml here",
    )


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", help="the store (default: $KEYSTART_DIR or /tmp/keystart)")


def _plan(file: Path | None, values: Mapping[str, str] | None = None) -> Plan:
    from .plan import Plan

    return Plan.find(_here(), values) if file is None else Plan.file(file, values)


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise deploy.DeployError("The working folder was removed. Change to another one.") from None


def _check(arguments: argparse.Namespace) -> int:
    from .plan import ConfigurationError

    try:
        plan = _plan(arguments.configuration, dict(arguments.set))
    except ConfigurationError as error:
        if arguments.json:
            print(json.dumps({"valid": False, "problems": error.problems}, indent=2))
        else:
            print(error, file=sys.stderr)
        return _EXIT_FAILED
    if arguments.json:
        shown = {"cost": _cost(plan, arguments.environments), "warnings": plan.warnings}
        print(json.dumps({"valid": True, "plan": plan.facts, **shown}, indent=2))
    else:
        print(plan.describe(), end="")
        if cost := _cost(plan, arguments.environments):
            print(f"\n{_cost_line(plan, cost)}")
        for warning in plan.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    return 0


def _cost(plan: Plan, environments: int) -> dict[str, Any] | None:
    """Returns what refreshes cost in a day at most, if every environment is busy all day; None without refreshes."""
    ttl = plan.facts["ttl"]
    if ttl is None or not plan.requests:
        return None
    shortest = int(ttl) * 9  # in tenths of a second, because an environment shortens the ttl by up to a tenth
    refreshes = -(-_DAY * 10 // shortest)
    requests = {name: one["count"] * refreshes * environments for name, one in plan.requests.items()}
    dollars = sum(count * plan.requests[name]["price"] for name, count in requests.items()) / 1_000_000
    return {"environments": environments, "requests_a_day": requests, "dollars_a_day": round(dollars, 4)}


def _cost_line(plan: Plan, cost: dict[str, Any]) -> str:
    of = "1 environment sends" if cost["environments"] == 1 else f"{cost['environments']:,} environments send"
    parts = [
        f"{count:,} to {plan.requests[name]['service']}" for name, count in cost["requests_a_day"].items()
    ]
    return f"With this ttl {of} at most {' and '.join(parts)} a day, for ${cost['dollars_a_day']:,.4f}."


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= number <= _MOST_ENVIRONMENTS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MOST_ENVIRONMENTS:,}")
    return number


def _compile(arguments: argparse.Namespace) -> int:
    from .output import OutputError, existing, write
    from .plan import ConfigurationError

    try:
        plan = _plan(arguments.configuration, dict(arguments.set))
    except ConfigurationError as error:
        return _fail(str(error))
    text = plan.compiled()
    if arguments.output == "-":
        print(text, end="")
        return 0
    source = _here() / (arguments.configuration or plan.path)
    output = source.with_name("keystart.json") if arguments.output is None else Path(arguments.output)
    shown = shown_path(str(output))
    if output.suffix != ".json":
        return _fail(f"{shown} would not be read: the name of a compiled configuration ends in .json.")
    if os.path.realpath(output) == os.path.realpath(source):
        return _fail(f"{shown} is what should be compiled. Name another file with --output.")
    try:
        old = existing(output)
        if arguments.output is None and old and not _is_compiled(output):
            return _fail(
                f"{shown} exists, and keystart compile did not write it. To replace it, name it with --output."
            )
        write(output, text, old)
    except OutputError as error:
        return _fail(str(error))
    print(output)
    return 0


def _is_compiled(file: Path) -> bool:
    """Returns whether `keystart compile` wrote a file: its plan, compiled again, is the same text."""
    from .plan import ConfigurationError, Plan

    try:
        return Plan.file(file, {}).compiled().encode() == file.read_bytes()
    except ConfigurationError:
        return False


def _pull(arguments: argparse.Namespace) -> int:
    from .core import CoreError, call, lib
    from .plan import ConfigurationError

    try:
        from .pull import PullError, pull
    except ModuleNotFoundError:
        return _fail(WITHOUT_BOTO3)

    call(lib.keystart_process_protect)  # before it holds a credential
    try:
        print(pull(_plan(arguments.configuration), arguments.root, arguments.profile))
    except (ConfigurationError, CoreError) as error:
        return _fail(str(error))
    except PullError as error:
        _fail(str(error))
        return error.code
    return 0


def _ls(arguments: argparse.Namespace) -> int:
    from keystart import Keystart, KeystartError

    try:
        store = Keystart(arguments.root, timeout=0).snapshot()
        names = store.names(arguments.prefix)
        known = {name: store.info(name) for name in names}
    except KeystartError as error:
        return _fail(str(error))
    if arguments.json:
        print(json.dumps(known, indent=2))
        return 0
    if not names:
        where = "" if arguments.prefix is None else " in this folder"
        print(f"keystart: No secret is published{where}.", file=sys.stderr)
    width = max(map(len, names), default=0)
    for name, info in known.items():
        source = info["source"]
        print(
            f"{name:{width}}  {info['size']:>7} bytes  {info['encoding']:6}  {source['provider']} {source['id']}"
        )
    return 0


def _get(arguments: argparse.Namespace) -> int:
    from keystart import Keystart, KeystartError

    try:
        value = Keystart(arguments.root, timeout=0).get_bytes(arguments.name)
    except KeystartError as error:
        return _fail(str(error))
    if sys.stdout is not None:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
    return 0


def _iam_policy(arguments: argparse.Namespace) -> int:
    from .deploy.policy import Account, notes, policy, written
    from .plan import ConfigurationError

    if sync.is_configuration(arguments.configuration):
        if arguments.format != "json" or arguments.role or arguments.set or arguments.kms_key:
            _fail("For a sync.yaml there are only --account and --region: the policy of a sync is JSON.")
            return _EXIT_WRONG_USE
        region = arguments.region or os.environ.get("AWS_REGION")
        print(sync.policy(arguments.configuration, arguments.account, region))
        if arguments.account is None:
            print(
                "keystart: No account is known, so the policy has * instead. Name it with --account.",
                file=sys.stderr,
            )
        return 0
    try:
        plan = _plan(arguments.configuration, dict(arguments.set))
    except ConfigurationError as error:
        return _fail(str(error))
    account = Account(arguments.account, arguments.region or os.environ.get("AWS_REGION") or None)
    document = policy(plan, account, arguments.role, arguments.kms_key)
    print(written(document, arguments.format))
    for note in notes(document, arguments.account, arguments.format):
        print(f"keystart: {note}", file=sys.stderr)
    return 0


def _fail(message: str) -> int:
    print(f"keystart: {message}", file=sys.stderr)
    return _EXIT_FAILED
