"""The command line of a sync: plans, shows, asks, applies, and reports."""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TextIO

from ..aws import session
from ..deploy.terms import is_terminal
from .configuration import read
from .digest import digest
from .lock import Lock
from .step import Action, Choices, Step
from .sync import Sync
from .target import Target

_EXIT_FAILED = 1
_EXIT_WRONG_USE = 2
_EXIT_CHANGES = 3
_CHANGING: tuple[Action, ...] = ("create", "change", "delete")
_SIGNS: Mapping[Action, tuple[str, str]] = {  # with the colour
    "create": ("+", "\033[32m"),
    "change": ("~", "\033[33m"),
    "delete": ("-", "\033[31m"),
    "refused": ("!", "\033[31m"),
}
_PLAIN = "\033[0m"


def run(arguments: Namespace) -> int:
    """Runs `keystart sync plan` or `apply` and returns the exit code."""
    if arguments.applies and not arguments.yes and not is_terminal(sys.stdin):
        print(
            "keystart: There is no terminal to ask at. Add --yes, or run keystart sync plan.", file=sys.stderr
        )
        return _EXIT_WRONG_USE
    if arguments.prune_limit is not None and not arguments.prune:
        print("keystart: --prune-limit is only for --prune.", file=sys.stderr)
        return _EXIT_WRONG_USE
    configuration = read(arguments.configuration, arguments.profile)
    clients = session.Clients(configuration.region, arguments.profile)
    compared = configuration.digest and digest(clients, configuration.digest, configuration.id)
    target = Target(clients("secretsmanager"), configuration.id, configuration.recovery_days, compared)
    sync = Sync(configuration, target, frozenset(arguments.adopt), Choices(configuration.id, digest=compared))
    out = sys.stderr if arguments.json else sys.stdout
    if not arguments.applies:
        steps = sync.plan(prune=arguments.prune, limit=arguments.prune_limit)
        _show(steps, out)
        code = _EXIT_CHANGES if arguments.detailed_exitcode and _needed(steps) else 0
        return _report(steps, code, as_json=arguments.json)
    # Pipelines end what they cancel with SIGTERM. The lock is freed then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Lock(clients("ssm"), configuration.id) as lock:
        # A plan of many secrets takes longer than a lock lasts, unless that is renewed.
        steps = sync.plan(prune=arguments.prune, limit=arguments.prune_limit, before_each=lock.check)
        _show(steps, out)
        needed = _needed(steps)
        if needed and not arguments.yes and not _is_agreed(len(needed), out):
            print("keystart: Nothing is changed.", file=sys.stderr)
            return _EXIT_FAILED
        ends: dict[str, Step] = {}
        try:
            for step in sync.apply(needed, lock.check):
                ends[step.name] = step
        except KeyboardInterrupt:
            print(
                f"keystart: {len(ends)} of {len(needed)} secrets are done. Run it again: it does the others, and "
                "repeats the one that was interrupted.",
                file=sys.stderr,
            )
            raise
        if needed:
            done = sum(step.action != "refused" for step in ends.values())
            print(f"Changed {done} of {len(needed)} {'secret' if len(needed) == 1 else 'secrets'}.", file=out)
        # Before the lock ends: that can fail too.
        return _report([ends.get(step.name, step) for step in steps], 0, as_json=arguments.json)


def _needed(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.action in _CHANGING]


def _report(steps: Sequence[Step], code: int, *, as_json: bool) -> int:
    """Prints what failed, and returns the exit code: `code` if nothing did."""
    failed = [step for step in steps if step.action == "refused"]
    for step in failed:
        print(f"keystart: {step.name}: {step.reason}", file=sys.stderr)
    if as_json:
        print(json.dumps([_document(step) for step in steps], indent=2))
    if not failed:
        return code
    print(f"keystart: {len(failed)} of {len(steps)} secrets cannot be synchronised.", file=sys.stderr)
    return _EXIT_FAILED


def _is_agreed(count: int, out: TextIO | None) -> bool:
    print(f"Change {count} {'secret' if count == 1 else 'secrets'}? [y/N] ", end="", file=out, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(steps: Sequence[Step], out: TextIO | None) -> None:
    coloured = is_terminal(out) and not os.environ.get("NO_COLOR")
    for step in steps:
        if step.action in _SIGNS:
            sign, colour = _SIGNS[step.action]
            text = f"{sign} {step.name}  {', '.join(step.changes) or step.action}"
            print(f"{colour}{text}{_PLAIN}" if coloured else text, file=out)
    counts = Counter(step.action for step in steps)
    words = ", ".join(f"{counts[action]} {action}" for action in (*_SIGNS, "unchanged") if counts[action])
    print(words or "The source has no secret that a rule includes.", file=out)


def _document(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "action": step.action,
        "changes": list(step.changes),
        "reason": step.reason or None,
    }
