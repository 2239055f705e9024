"""Brings secrets from where they live into Secrets Manager: the command sync. It imports its code only when it runs.

configuration  reads sync.yaml
keys           the keys of a mapping in it
sources        one file for each place where secrets live
rules          which of a source's entries become which secret
secret         what a sync wants of a secret, and what exists in Secrets Manager
digest         compares values that may not be read
step           decides what to do with one secret: a pure function
target         Secrets Manager
pace           keeps a run below its quotas
lock           keeps two syncs with the same id from writing at once
sync           plans and applies
policy         the least privilege of a sync
command        shows, asks, and reports
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..aws import WITHOUT_BOTO3
from .error import SyncError

__all__ = ["SyncError", "add_to", "is_configuration", "policy"]

_WITHOUT_YAML = "PyYAML, which reads sync.yaml, is not installed. Run: pip install 'keystart-extension[sync]'"
_DESCRIPTION = """\
Compares the secrets of the source that sync.yaml names with Secrets Manager. It changes only secrets that carry the
tag of this sync. A secret that somebody else made stays as it is, unless you adopt it by its name. `plan` changes
nothing. Exit codes: 0 nothing to do or done, 1 something failed or you did not agree, 2 wrong use, 3 the plan has
changes (with --detailed-exitcode), 130 interrupted.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    sync = commands.add_parser(
        "sync", help="bring secrets from where they live into Secrets Manager", description=_DESCRIPTION
    )
    of_sync = sync.add_subparsers(title="commands", metavar="COMMAND")
    plan = of_sync.add_parser("plan", help="show what apply would change; change nothing (the default)")
    plan.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 3 if there is something to change"
    )
    apply = of_sync.add_parser("apply", help="show what to change, ask, and change it")
    apply.add_argument("--yes", action="store_true", help="do not ask")
    for command in (plan, apply):
        command.set_defaults(command=_sync, applies=command is apply)
        command.add_argument(
            "configuration",
            nargs="?",
            type=Path,
            default=Path("sync.yaml"),
            metavar="FILE",
            help="default: sync.yaml",
        )
        command.add_argument(
            "--adopt",
            action="append",
            default=[],
            metavar="NAME",
            help="take over this secret, which somebody else made; repeat it for more",
        )
        command.add_argument(
            "--prune", action="store_true", help="delete secrets of this sync that the source no longer has"
        )
        command.add_argument(
            "--prune-limit",
            type=_count,
            metavar="N",
            help="the most secrets to delete at once (default: a tenth of those of this sync)",
        )
        command.add_argument("--json", action="store_true", help="print the steps as JSON")
        command.add_argument("--profile", help="the profile of your AWS configuration (default: AWS_PROFILE)")
    sync.set_defaults(command=lambda _: _sync(plan.parse_args([])))


def is_configuration(path: Path | None) -> bool:
    """Returns whether a file is a sync.yaml. Without PyYAML it can only be another configuration.

    So can a pipe, which could be read only once.
    """
    if path is None or not path.is_file():
        return False
    try:
        from .configuration import is_of_sync
    except ModuleNotFoundError:
        return False
    return is_of_sync(path)


def policy(file: Path, account: str | None, region: str | None) -> str:
    """Returns the policy that a sync.yaml needs, as JSON."""
    try:
        from .policy import policy as of
    except ModuleNotFoundError as error:
        raise SyncError(_WITHOUT_YAML if error.name == "yaml" else WITHOUT_BOTO3) from None
    return json.dumps(of(file, account or "*", region or "*"), indent=2)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError("write a whole number")


def _sync(arguments: argparse.Namespace) -> int:
    try:
        from .command import run
    except ModuleNotFoundError as error:
        raise SyncError(_WITHOUT_YAML if error.name == "yaml" else WITHOUT_BOTO3) from None
    return run(arguments)
