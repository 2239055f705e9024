"""Lists the functions that have the layer: its version, Keystart's version, the configuration, and what is wrong.

It shows names of variables, never their values.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..aws import AwsError, session
from ..aws.errors import ask
from ..plan import VARIABLE
from .change import (
    ATTACHED,
    WRAPPER,
    WRAPPER_PATH,
    architecture_of,
    changed_since,
    keystart_layers,
    variables_of,
)
from .preflight import CONFIG, configuration_findings
from .selection import every_function, progress, selected
from .terms import laid_out, one_line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

_EXIT_FAILED = 1
_VERSION = re.compile(r"Keystart ([0-9.]+) for ")  # the description that keystart layer publish writes
_KEYSTART = (VARIABLE, CONFIG, ATTACHED)


class _Release(NamedTuple):
    """What a version of the layer holds. None is unknown."""

    version: str | None
    architectures: tuple[str, ...]


class _Row(NamedTuple):
    """One function."""

    function: str
    layers: list[str]
    version: str | None
    configuration: str
    warnings: list[str]


def status(arguments: Namespace) -> int:
    """Prints the list and returns the exit code."""
    clients = session.Clients(arguments.region, arguments.profile)
    client: LambdaClient = clients("lambda")
    names = selected(arguments, clients)
    rows, failed, releases = [], list[str](), dict[str, _Release]()
    functions = every_function(client) if not names else _named(client, names, failed)
    for function in functions:
        # An answer that is not whole is a failure of the call.
        row = ask("lambda:GetFunction", partial(_row, clients, client, function, arguments.layer, releases))
        if names or row is not None:
            rows.append(
                row or _Row(function["FunctionArn"], [], None, "none", ["It does not have the layer."])
            )
    versions = sorted({row.version for row in rows if row.version is not None}, key=_order)
    for row in rows:
        if row.version is not None and row.version != versions[-1]:
            row.warnings.append(f"Its Keystart is older than {versions[-1]}, which other functions have.")
    if arguments.json:
        warnings = (list(map(one_line, row.warnings)) for row in rows)
        shown = [{**row._asdict(), "warnings": lines} for row, lines in zip(rows, warnings, strict=True)]
        print(json.dumps(shown, indent=2))
    else:
        _print(rows, client.meta.region_name)
    for line in failed:
        print(f"keystart: {line}", file=sys.stderr)
    return _EXIT_FAILED if failed else 0


def _named(client: LambdaClient, names: list[str], failed: list[str]) -> Iterator[Configuration]:
    for number, name in enumerate(names, 1):
        progress("looking at", number, len(names))
        try:
            # The stubs have two types for one answer.
            yield ask(
                f"lambda:GetFunctionConfiguration on {name}",
                lambda name=name: client.get_function_configuration(FunctionName=name),  # type: ignore[misc]
            )
        except AwsError as error:
            failed.append(f"{name}: {error}")


def _row(
    clients: session.Clients,
    client: LambdaClient,
    function: Configuration,
    layer: str | None,
    releases: dict[str, _Release],
) -> _Row | None:
    """Returns what is known of a function; None if it has nothing of Keystart."""
    variables = variables_of(function)
    layers = keystart_layers(function, layer)
    if not layers and not any(variables.get(name) for name in _KEYSTART):
        return None
    for arn in layers:
        if arn not in releases:
            releases[arn] = _release(client, arn)
    found = [releases[arn] for arn in layers]
    where, warnings = _configuration(clients, client, function) if layers else (_variable(variables), [])
    warnings += _warnings(function, layers, found)
    version = found[-1].version if found else None
    return _Row(function["FunctionArn"].removesuffix(":$LATEST"), layers, version, where, warnings)


def _release(client: LambdaClient, arn: str) -> _Release:
    name, _, version = arn.rpartition(":")
    try:
        answer = ask(
            f"lambda:GetLayerVersion on {arn}",
            lambda: client.get_layer_version(LayerName=name, VersionNumber=int(version)),
        )
    except AwsError:  # it was deleted, or the caller may not read it
        return _Release(None, ())
    known = _VERSION.match(answer.get("Description", ""))
    return _Release(known and known[1], tuple(answer.get("CompatibleArchitectures", ())))


def _configuration(
    clients: session.Clients, client: LambdaClient, function: Configuration
) -> tuple[str, list[str]]:
    """Returns where the configuration of a function is, and what is wrong with that."""
    if "Error" in function.get("Environment", {}):
        return "unknown", ["Its variables cannot be read. Allow kms:Decrypt on their key."]
    variables = variables_of(function)
    answer: Mapping[str, Any] = {"Configuration": function}
    if variables.get(CONFIG) or not variables.get(VARIABLE):
        name = function["FunctionName"]
        try:
            answer = ask(f"lambda:GetFunction on {name}", lambda: client.get_function(FunctionName=name))
        except AwsError as error:
            return _variable(variables), [f"Its package cannot be read. {error}"]
    findings = configuration_findings(answer, variables, clients.authorities)
    where = _variable(variables) if any(map(variables.get, _KEYSTART[:2])) else "package"
    return ("none" if findings.problems and where == "package" else where), [
        *findings.problems,
        *findings.warnings,
    ]


def _variable(variables: Mapping[str, str]) -> str:
    """Returns the variable that names or holds the configuration."""
    return next((name for name in (CONFIG, VARIABLE) if variables.get(name)), "none")


def _warnings(function: Configuration, layers: list[str], releases: list[_Release]) -> list[str]:
    variables = variables_of(function)
    lines = []
    if not layers:
        lines.append("It has variables of Keystart and not the layer, so that no secrets are fetched.")
    if len(layers) > 1:
        lines.append(f"It has {len(layers)} versions of the layer, and the last one hides the others.")
    architecture = architecture_of(function)
    if releases and releases[-1].architectures and architecture not in releases[-1].architectures:
        lines.append(
            f"It runs on {architecture}, and its layer is for {' and '.join(releases[-1].architectures)}: the function "
            "cannot start."
        )
    if not layers and variables.get(WRAPPER) == WRAPPER_PATH:
        lines.append(
            f"{WRAPPER} names {WRAPPER_PATH}, which only the layer brings: the function cannot start."
        )
    if variables.get(CONFIG) and variables.get(VARIABLE):
        lines.append(f"{CONFIG} wins over {VARIABLE}. Remove one of them.")
    lines += [f"{name} was changed or removed after attach had set it." for name in changed_since(variables)]
    return lines


def _print(rows: list[_Row], region: str) -> None:
    if not rows:
        print(f"No function of {region} has the layer.", file=sys.stderr)
        return
    table = [("FUNCTION", "LAYER", "KEYSTART", "CONFIGURATION")]
    for row in rows:
        layers = ", ".join(":".join(arn.split(":")[6:]) for arn in row.layers)
        table.append(
            (":".join(row.function.split(":")[6:]), layers or "-", row.version or "-", row.configuration)
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print("  ".join(map(str.ljust, table[0], widths)).rstrip())
    for line, row in zip(table[1:], rows, strict=True):
        print("  ".join(map(str.ljust, line, widths)).rstrip())
        for warning in row.warnings:
            print(f"  ! {laid_out(warning, sys.stdout, '    ')}")


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]
