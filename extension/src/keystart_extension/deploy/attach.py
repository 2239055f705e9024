"""Adds the layer to functions, and removes it, through Lambda's API: reads all, shows, asks, changes, and waits.

It prints no value of a function's variable, because any of them may be a secret. An id is not a secret, so it is shown
with the variables that `${NAME}` names in it.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from botocore.exceptions import WaiterError

from ..aws import AwsError, session
from ..aws.errors import ask
from ..plan import VARIABLE, ConfigurationError, InlineError, Plan
from ..text import shown_path
from .change import (
    NO_CHANGE,
    WRAPPER,
    WRAPPER_PATH,
    Change,
    Layer,
    Setting,
    attached,
    detached,
    fitting,
    variables_of,
)
from .preflight import Findings, Preflight
from .selection import progress, selected
from .terms import DeployError, is_terminal

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration


_Look = Callable[[Mapping[str, Any]], tuple[Change, Findings]]
Result = Literal["changed", "unchanged", "planned", "failed"]

_EXIT_FAILED = 1
_EXIT_WRONG_USE = 2
_EXIT_INTERRUPTED = 128 + 2
_COLOURS = {"+": "\033[32m", "-": "\033[31m", "~": "\033[33m", " ": ""}
_PLAIN = "\033[0m"
# After these words, Lambda's message about too many variables repeats all of them.
_MEASURED = "String measured"
_SHORTEST = 4  # characters; a shorter value may be part of ordinary words


def attach(arguments: Namespace) -> int:
    """Attaches the layer and returns the exit code."""
    region = _region(arguments.layer)
    configuration = _Configuration(arguments.config, dict(arguments.set), region, wrapper=arguments.wrapper)
    if not _can_ask(arguments):
        return _EXIT_WRONG_USE
    clients = session.Clients(region, arguments.profile)
    client: LambdaClient = clients("lambda")
    layers = _layers(client, arguments.layer)
    preflight = Preflight(clients, region)

    def look(answer: Mapping[str, Any]) -> tuple[Change, Findings]:
        function: Configuration = answer["Configuration"]
        try:
            plan, settings = configuration.of(function)
        except DeployError as error:
            return NO_CHANGE, Findings((str(error),))
        change = attached(function, fitting(function, layers), settings)
        return change, Findings() if change.problems else preflight.examine(answer, change, plan)

    code = _run(arguments, clients, client, look)
    if preflight.unknown is not None:
        print(f"keystart: What the roles may do is not known. {preflight.unknown}", file=sys.stderr)
    return code


def detach(arguments: Namespace) -> int:
    """Detaches the layer and returns the exit code."""
    if not _can_ask(arguments):
        return _EXIT_WRONG_USE
    clients = session.Clients(arguments.region, arguments.profile)

    def look(answer: Mapping[str, Any]) -> tuple[Change, Findings]:
        return detached(answer["Configuration"], arguments.layer), Findings()

    return _run(arguments, clients, clients("lambda"), look)


def _region(layers: Sequence[str]) -> str:
    """Returns the region of the layers. A function accepts only those of its region."""
    regions = sorted({layer.split(":")[3] for layer in layers})
    if len(regions) > 1:
        raise DeployError(f"The layers are in {' and '.join(regions)}. Attach in one region at a time.")
    return regions[0]


class _Configuration:
    """The file of --config, and the variables that attach sets for it.

    `${NAME}` in its ids takes the value of --set, else the function's own variable.
    """

    def __init__(self, file: Path | None, values: Mapping[str, str], region: str, *, wrapper: bool) -> None:
        self._file = file
        self._values = values
        self._region = region
        self._wrapper = wrapper
        # If all functions get the same, a wrong file is reported before anything is asked.
        self._same = None if file is not None and _has_variables(file) else self._read(values)

    def of(self, function: Configuration) -> tuple[Plan | None, Mapping[str, Setting]]:
        """Returns the plan of a function, and its variables."""
        if self._same is not None:
            return self._same
        own = {name: value for name, value in variables_of(function).items() if "\n" not in value}
        lambdas = {"AWS_REGION": self._region, "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"]}
        return self._read({**own, **lambdas, **self._values})

    def _read(self, values: Mapping[str, str]) -> tuple[Plan | None, Mapping[str, Setting]]:
        file, settings, plan = self._file, dict[str, Setting](), None
        wrapper = self._wrapper
        if file is not None:
            try:
                plan = Plan.file(file, values)
                text = plan.inline(self._region)
            except ConfigurationError as error:
                raise DeployError(str(error)) from None
            except InlineError as error:
                raise DeployError(
                    f"{plan.source if plan else file}: {error} Put the keystart.json that keystart compile writes into "
                    "the function's package, and attach without --config."
                ) from None
            shown = (
                f"{plan.counts.entries} of `secrets:` in {shown_path(file.name)}, {len(text.encode())} bytes"
            )
            settings[VARIABLE] = Setting(text, shown)
            wrapper = wrapper or plan.counts.variables > 0
        if wrapper:
            settings[WRAPPER] = Setting(WRAPPER_PATH, WRAPPER_PATH)
        return plan, settings


def _has_variables(file: Path) -> bool:
    try:
        return file.is_file() and b"${" in file.read_bytes()
    except OSError:  # the core reports it
        return False


def _can_ask(arguments: Namespace) -> bool:
    if arguments.dry_run or arguments.yes or is_terminal(sys.stdin):
        return True
    print(
        "keystart: There is no terminal to ask at. Pass --yes, or --dry-run to look first.", file=sys.stderr
    )
    return False


def _layers(client: LambdaClient, arns: Sequence[str]) -> list[Layer]:
    """Reads the versions of the layer: one, or one for each architecture."""
    layers = [_layer(client, arn) for arn in dict.fromkeys(arns)]
    taken: dict[str, str] = {}
    for layer in layers:
        for architecture in layer.architectures or ("every architecture",):
            if architecture in taken:
                raise DeployError(
                    f"{taken[architecture]} and {layer.arn} are both for {architecture}. Name one of them."
                )
            taken[architecture] = layer.arn
    return layers


def _layer(client: LambdaClient, arn: str) -> Layer:
    name, _, version = arn.rpartition(":")

    def call() -> Layer:
        answer = client.get_layer_version(LayerName=name, VersionNumber=int(version))
        return Layer(arn, tuple(answer.get("CompatibleArchitectures", ())), answer["Content"]["CodeSize"])

    try:
        return ask(f"lambda:GetLayerVersion on {arn}", call)
    except AwsError as error:
        raise DeployError(f"{arn}: {error}") from None


_NO_REVISION = (
    "The endpoint reports no revision of the function, so this could overwrite what somebody else changes meanwhile. "
    "For an emulator add --no-revision-check."
)


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

    def look(self, look: _Look) -> None:
        """Reads the function, and works out the change."""

        def call() -> Findings:
            answer = self._client.get_function(FunctionName=self.name)
            configuration = answer["Configuration"]
            self._revision = configuration.get("RevisionId")
            if self._revision is None and self._needs_revision:
                raise AwsError("NoRevision", _NO_REVISION)
            self._variables = variables_of(configuration)
            self.name = configuration["FunctionName"]
            self.arn = configuration["FunctionArn"].removesuffix(":$LATEST")
            self.stack = answer.get("Tags", {}).get("aws:cloudformation:stack-name")
            self.change, findings = look(answer)
            return findings

        try:
            findings = ask(f"lambda:GetFunction on {self.name}", call)
        except AwsError as error:
            self._fail(str(error))
            return
        self.result = "planned" if self.change.is_needed else "unchanged"
        self.warnings = findings.warnings
        for problem in (*self.change.problems, *findings.problems):
            self._fail(problem)

    def update(self) -> None:
        """Changes the function, unless somebody else has changed it since it was read."""
        request: dict[str, Any] = {} if self._revision is None else {"RevisionId": self._revision}
        if self.change.layers is not None:
            request["Layers"] = list(self.change.layers)
        if self.change.variables is not None:
            request["Environment"] = {"Variables": dict(self.change.variables)}
        self.is_asked_for = True

        def call() -> None:
            self._client.update_function_configuration(FunctionName=self.arn, **request)

        try:
            ask(
                f"lambda:UpdateFunctionConfiguration on {self.arn}, and lambda:GetLayerVersion on its layers",
                call,
            )
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
            self._fail(f"It was changed, and is not known to run so. {error}")

    def _fail(self, error: str) -> None:
        self.result = "failed"
        self.errors.append(error)

    def _without_values(self, message: str) -> str:
        message = message.partition(_MEASURED)[0]
        for value in sorted(self._variables.values(), key=len, reverse=True):
            if len(value) >= _SHORTEST:
                message = message.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
        return message

    def to_dict(self) -> dict[str, Any]:
        changes = [line._asdict() for line in self.change.lines if line.sign != " "]
        return {
            "function": self.arn,
            "result": self.result,
            "changes": changes,
            "warnings": list(self.warnings),
            "errors": self.errors,
        }


def _run(arguments: Namespace, clients: session.Clients, client: LambdaClient, look: _Look) -> int:
    """Reads all functions, changes them if nothing prevents it, and returns the exit code."""
    out = sys.stderr if arguments.json else sys.stdout
    functions: dict[str, _Function] = {}
    try:
        names = selected(arguments, clients)
        for number, name in enumerate(names, 1):
            progress("looking at", number, len(names))
            function = _Function(client, name, needs_revision=not arguments.no_revision_check)
            function.look(look)
            functions.setdefault(function.arn, function)
        for function in functions.values():
            _show(function, out)
        code = _apply(arguments, list(functions.values()), out)
    except KeyboardInterrupt:
        asked = ", ".join(function.name for function in functions.values() if function.is_asked_for)
        what = f"Lambda was asked to change {asked}." if asked else "Nothing is changed."
        print(f"\nkeystart: Interrupted. {what}", file=sys.stderr)
        return _EXIT_INTERRUPTED
    if arguments.json:
        print(json.dumps([function.to_dict() for function in functions.values()], indent=2))
    return code


def _apply(arguments: Namespace, functions: Sequence[_Function], out: TextIO | None) -> int:
    needed = [function for function in functions if function.result == "planned"]
    failed = [function for function in functions if function.result == "failed"]
    if failed:
        _print_errors(failed)
        print("keystart: Nothing is changed.", file=sys.stderr)
        return _EXIT_FAILED
    if arguments.dry_run or not needed:
        return 0
    if not arguments.yes and not _agreed(needed, out):
        print("keystart: Nothing is changed.", file=sys.stderr)
        return _EXIT_FAILED
    for number, function in enumerate(needed, 1):
        progress("changing", number, len(needed))
        function.update()
    for function in needed:
        if function.result == "changed":
            function.wait()
        if function.result == "changed":
            print(f"changed {function.name}", file=out)
    failed = [function for function in needed if function.result == "failed"]
    if not failed:
        return 0
    _print_errors(failed)
    print(f"keystart: {len(failed)} of {len(needed)} functions failed.", file=sys.stderr)
    return _EXIT_FAILED


def _agreed(functions: Sequence[_Function], out: TextIO | None) -> bool:
    what = functions[0].name if len(functions) == 1 else f"these {len(functions)} functions"
    print(f"Change {what}? [y/N] ", end="", file=out, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_errors(functions: Sequence[_Function]) -> None:
    for function in functions:
        for error in function.errors:
            print(f"keystart: {function.name}: {error}", file=sys.stderr)


def _show(function: _Function, out: TextIO | None) -> None:
    coloured = is_terminal(out) and not os.environ.get("NO_COLOR")
    print(function.arn, file=out)
    for line in function.change.lines:
        text = f"  {line.sign} {line.kind:8}  {line.name}{f'  {line.detail}' if line.detail else ''}"
        print(f"{_COLOURS[line.sign]}{text}{_PLAIN}" if coloured else text, file=out)
    if function.result == "unchanged":
        print("    nothing to change", file=out)
    for warning in function.warnings:
        print(f"{_COLOURS['~']}  ! {warning}{_PLAIN}" if coloured else f"  ! {warning}", file=out)
    if function.stack is not None:
        print(
            f"    CloudFormation's stack {function.stack} made it, and may undo the change when it is deployed again. "
            "Write it into the template too.",
            file=out,
        )
