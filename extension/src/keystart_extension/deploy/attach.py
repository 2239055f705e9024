"""Adds the layer to functions, with their configuration, and removes it.

An id is not a secret, so it is shown with the variables that `${NAME}` names in it.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    attach_change,
    detach_change,
    fitting,
    values_of,
)
from .configuration import InvalidConfigurationError, plan_of
from .preflight import Findings, Preflight
from .selection import selected
from .terms import DeployError
from .update import EXIT_WRONG_USE, Manner, can_ask, run

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration


_NOT_CHECKED = (
    "Its configuration cannot be read from here, so attach does not check whether its secrets exist and its role may "
    "fetch them."
)
_MANNER = Manner(advice_of_stack="Write it into the template too.")


def attach(arguments: Namespace) -> int:
    """Attaches the layer and returns the exit code."""
    region = _region(arguments.layer)
    configuration = _Configuration(arguments.config, dict(arguments.set), region, wrapper=arguments.wrapper)
    if not can_ask(arguments):
        return EXIT_WRONG_USE
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
        change = attach_change(function, fitting(function, layers), settings)
        if change.problems:
            return change, Findings()
        own = Findings()
        if plan is None:
            plan, own = _own_configuration(answer, clients.authorities)
        return change, preflight.examine(answer, change, plan, own)

    code = run(arguments, client, lambda: selected(arguments, clients), look, _MANNER)
    if preflight.unknown is not None:
        print(f"keystart: What the roles may do is not known. {preflight.unknown}", file=sys.stderr)
    return code


def detach(arguments: Namespace) -> int:
    """Detaches the layer and returns the exit code."""
    if not can_ask(arguments):
        return EXIT_WRONG_USE
    clients = session.Clients(arguments.region, arguments.profile)

    def look(answer: Mapping[str, Any]) -> tuple[Change, Findings]:
        return detach_change(answer["Configuration"], arguments.layer), Findings()

    return run(arguments, clients("lambda"), lambda: selected(arguments, clients), look, _MANNER)


def _own_configuration(answer: Mapping[str, Any], authorities: str | bool) -> tuple[Plan | None, Findings]:
    """Returns the configuration that a function has already, or why it cannot be examined."""
    try:
        return plan_of(answer, None, authorities), Findings()
    except InvalidConfigurationError as error:
        return None, Findings((f"{error} It would not start.",))
    except DeployError:
        return None, Findings(warnings=(_NOT_CHECKED,))


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
        return self._read({**values_of(function), **self._values})

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
