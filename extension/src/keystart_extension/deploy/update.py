"""Changes functions through Lambda's API: reads all, shows, asks, changes, and waits.

It prints no value of a function's variable, because any of them may be a secret.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

from botocore.exceptions import WaiterError

from ..aws import AwsError
from ..aws.errors import ask, without
from .change import NO_CHANGE, Change, variables_of
from .preflight import Findings
from .selection import progress
from .terms import DeployError, is_terminal, laid_out, one_line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


# What to do with a function, by the answer of GetFunction; None if the command is not about it.
Look = Callable[[Mapping[str, Any]], tuple[Change, Findings] | None]
Result = Literal["changed", "unchanged", "planned", "failed"]

EXIT_WRONG_USE = 2
_EXIT_FAILED = 1
_EXIT_CHANGES = 3
_EXIT_INTERRUPTED = 128 + 2
_COLOURS = {"+": "\033[32m", "-": "\033[31m", "~": "\033[33m", " ": ""}
_PLAIN = "\033[0m"
# After these words, Lambda's message about too many variables repeats all of them.
_MEASURED = "String measured"
# Lambda takes 15 requests a second in a region for all that reads and writes functions except GetFunction (AWS's page
# "Lambda quotas"). Deployments need some of them.
_APART = 1 / 5  # seconds between two changes


def can_ask(arguments: Namespace) -> bool:
    """Returns whether a person can be asked, or need not be; prints what to do if neither."""
    if arguments.dry_run or arguments.yes or is_terminal(sys.stdin):
        return True
    print(
        "keystart: There is no terminal to ask at. Pass --yes, or --dry-run to look first.", file=sys.stderr
    )
    return False


_NO_REVISION = (
    "The endpoint reports no revision of the function, so this could overwrite what somebody else changes in the "
    "meantime. For an emulator add --no-revision-check."
)


class Manner(NamedTuple):
    """How a command makes its changes.

    `stops` says whether a problem with one function keeps all others from changing too. `over` is the time, in seconds,
    over which the changes begin, in random order; None makes them one after the other, in the order of the names.
    `if_none` is the error if the command is about none of the functions.
    """

    stops: bool = True
    over: float | None = None
    advice_of_stack: str = ""
    if_none: str = ""


class _Function:
    """A function, the planned change, and its result."""

    def __init__(self, client: LambdaClient, name: str, *, needs_revision: bool) -> None:
        self._client = client
        self._needs_revision = needs_revision
        self._revision: str | None = None
        self._variables: Mapping[str, str] = {}
        self.name = name
        self.arn = name
        self.stack: str | None = None
        self.change = NO_CHANGE
        self.result: Result = "unchanged"
        self.errors: list[str] = []
        self.warnings: tuple[str, ...] = ()
        self.is_asked_for = False
        self.is_concerned = True

    def look(self, look: Look) -> None:
        """Reads the function, and works out the change."""

        def call() -> Findings | None:
            answer = self._client.get_function(FunctionName=self.name)
            configuration = answer["Configuration"]
            self._revision = configuration.get("RevisionId")
            if self._revision is None and self._needs_revision:
                raise AwsError("NoRevision", _NO_REVISION)
            self._variables = variables_of(configuration)
            self.name = configuration["FunctionName"]
            self.arn = configuration["FunctionArn"].removesuffix(":$LATEST")
            self.stack = answer.get("Tags", {}).get("aws:cloudformation:stack-name")
            looked = look(answer)
            if looked is None:
                return None
            self.change, findings = looked
            return findings

        try:
            findings = ask(f"lambda:GetFunction on {self.name}", call)
        except AwsError as error:
            self._fail(str(error))
            return
        if findings is None:
            self.is_concerned = False
            return
        self.result = "planned" if self.change.is_needed else "unchanged"
        self.warnings = findings.warnings
        for problem in (*self.change.problems, *findings.problems):
            self._fail(problem)

    def update(self) -> None:
        """Changes the function, unless somebody else has changed it since it was read."""
        request: dict[str, Any] = {} if self._revision is None else {"RevisionId": self._revision}
        action = f"lambda:UpdateFunctionConfiguration on {self.arn}"
        if self.change.layers is not None:
            request["Layers"] = list(self.change.layers)
            action += ", and lambda:GetLayerVersion on its layers"
        if self.change.variables is not None:
            request["Environment"] = {"Variables": dict(self.change.variables)}
        self.is_asked_for = True

        def call() -> None:
            self._client.update_function_configuration(FunctionName=self.arn, **request)

        try:
            ask(action, call)
        except AwsError as error:
            self._fail(self._without_values(str(error)))
        else:
            self.result = "changed"

    def wait(self) -> None:
        """Waits until Lambda has applied the change."""
        waiter = self._client.get_waiter("function_updated_v2")

        def call() -> None:
            try:
                waiter.wait(FunctionName=self.arn)
            except WaiterError as error:
                response: Any = error.last_response
                answer = response.get("Configuration", {})
                if answer.get("LastUpdateStatus") != "Failed":
                    raise
                code = answer.get("LastUpdateStatusReasonCode", "Failed")
                raise AwsError(
                    code, answer.get("LastUpdateStatusReason", "Lambda named no reason.")
                ) from None

        try:
            ask(f"lambda:GetFunction on {self.arn}", call)
        except AwsError as error:
            self._fail(
                f"It was changed, and perhaps does not run with the change yet. {self._without_values(str(error))}"
            )

    def _fail(self, error: str) -> None:
        self.result = "failed"
        self.errors.append(error)

    def _without_values(self, message: str) -> str:
        return without(message.partition(_MEASURED)[0], self._variables.values())

    def to_dict(self) -> dict[str, Any]:
        changes = [line._asdict() for line in self.change.lines if line.sign != " "]
        return {
            "function": self.arn,
            "result": self.result,
            "changes": changes,
            "warnings": [one_line(warning) for warning in self.warnings],
            "errors": [one_line(error) for error in self.errors],
        }


def run(
    arguments: Namespace,
    client: LambdaClient,
    names: Callable[[], Sequence[str]],
    look: Look,
    manner: Manner = Manner(),  # noqa: B008
) -> int:
    """Reads the functions of these names, changes them, and returns the exit code."""
    out = sys.stderr if arguments.json else sys.stdout
    functions: dict[str, _Function] = {}
    try:
        found = names()
        for number, name in enumerate(found, 1):
            progress("looking at", number, len(found))
            function = _Function(client, name, needs_revision=not arguments.no_revision_check)
            function.look(look)
            if function.is_concerned:
                functions.setdefault(function.arn, function)
        if not functions and manner.if_none:
            raise DeployError(manner.if_none)
        for function in functions.values():
            _show(function, manner, out)
        code = _apply(arguments, list(functions.values()), manner, out)
    except KeyboardInterrupt:
        asked = ", ".join(function.name for function in functions.values() if function.is_asked_for)
        what = f"Lambda was asked to change {asked}." if asked else "Nothing is changed."
        print(f"\nkeystart: Interrupted. {what}", file=sys.stderr)
        return _EXIT_INTERRUPTED
    if arguments.json:
        print(json.dumps([function.to_dict() for function in functions.values()], indent=2))
    return code


def starts(count: int, over: float) -> list[float]:
    """Returns when each of `count` changes begins, in seconds: evenly, and no faster than Lambda takes them."""
    apart = max(over / count, _APART)
    return [number * apart for number in range(count)]


def waits(starts: Sequence[float], clock: Callable[[], float]) -> Iterator[float]:
    """Yields for each change how long to wait before it. After one that takes long, the others keep their distance."""
    began = clock()
    last = began - _APART
    for start in starts:
        now = clock()
        last = max(now, began + start, last + _APART)
        yield last - now


def _apply(arguments: Namespace, functions: Sequence[_Function], manner: Manner, out: TextIO | None) -> int:
    needed = [function for function in functions if function.result == "planned"]
    refused = [function for function in functions if function.result == "failed"]
    _print_errors(refused)
    if refused and manner.stops:
        print("keystart: Nothing is changed.", file=sys.stderr)
        return _EXIT_FAILED
    if needed and arguments.dry_run and arguments.detailed_exitcode and not refused:
        return _EXIT_CHANGES
    if arguments.dry_run or not needed:
        return _EXIT_FAILED if refused else 0
    if not arguments.yes and not _is_agreed(needed, manner, out):
        print("keystart: Nothing is changed.", file=sys.stderr)
        return _EXIT_FAILED
    if manner.over is not None:
        random.shuffle(needed)
    pauses = waits(starts(len(needed), manner.over or 0), time.monotonic)
    for number, (function, pause) in enumerate(zip(needed, pauses, strict=True), 1):
        progress("changing", number, len(needed))
        time.sleep(pause)
        function.update()
    for function in needed:
        if function.result == "changed":
            function.wait()
        if function.result == "changed":
            print(f"changed {function.name}", file=out)
    failed = [function for function in needed if function.result == "failed"]
    _print_errors(failed)
    if not failed and not refused:
        return 0
    print(
        f"keystart: {len(failed) + len(refused)} of {len(needed) + len(refused)} functions failed.",
        file=sys.stderr,
    )
    return _EXIT_FAILED


def _is_agreed(functions: Sequence[_Function], manner: Manner, out: TextIO | None) -> bool:
    count = len(functions)
    what = functions[0].name if count == 1 else f"these {count} functions"
    if count > 1 and manner.over:
        what += f", one after the other in {starts(count, manner.over)[-1]:.0f} seconds"
    print(f"Change {what}? [y/N] ", end="", file=out, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_errors(functions: Sequence[_Function]) -> None:
    for function in functions:
        for error in function.errors:
            print(f"keystart: {function.name}: {laid_out(error, sys.stderr)}", file=sys.stderr)


def _show(function: _Function, manner: Manner, out: TextIO | None) -> None:
    coloured = is_terminal(out) and not os.environ.get("NO_COLOR")
    print(function.arn, file=out)
    for line in function.change.lines:
        text = f"  {line.sign} {line.kind:8}  {line.name}{f'  {line.detail}' if line.detail else ''}"
        print(f"{_COLOURS[line.sign]}{text}{_PLAIN}" if coloured else text, file=out)
    if function.result == "unchanged":
        print("    nothing to change", file=out)
    for warning in function.warnings:
        text = f"  ! {laid_out(warning, out, '    ')}"
        print(f"{_COLOURS['~']}{text}{_PLAIN}" if coloured else text, file=out)
    if function.stack is not None and manner.advice_of_stack:
        print(
            f"    CloudFormation's stack {function.stack} made it, and may undo the change when it is deployed again. "
            f"{manner.advice_of_stack}",
            file=out,
        )
