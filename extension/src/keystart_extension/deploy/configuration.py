"""Reads the configuration that a function uses: from its variable, its package, or a file of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..plan import VARIABLE, ConfigurationError, Plan
from .change import unreadable, values_of, variables_of
from .package import contents_of
from .preflight import CONFIG, IN_PACKAGE, TASK_ROOT
from .terms import DeployError

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

_LARGEST = 262_144 + 1  # bytes; the core refuses a larger configuration, and says so
_ELSEWHERE = "Pass its configuration with --config FILE."


class InvalidConfigurationError(DeployError):
    """A function has a configuration with which it would not start."""


def plan_of(answer: Mapping[str, Any], file: Path | None, authorities: str | bool) -> Plan:
    """Returns the configuration of a function, by the answer of GetFunction. Raises if nobody can know it.

    `file` is the configuration of functions that have it neither in a variable nor in a package that can be read.
    """
    function: Configuration = answer["Configuration"]
    if problems := unreadable(function):
        raise DeployError(problems[0])
    variables, values = variables_of(function), values_of(function)
    named = variables.get(CONFIG, "")
    try:
        if not named and variables.get(VARIABLE):
            return Plan.variable(variables[VARIABLE], values)
        if named.startswith(TASK_ROOT) or not named:
            found = _package_files(answer, named.removeprefix(TASK_ROOT), authorities)
            if found is not None:
                return _plan(found, named.removeprefix(TASK_ROOT), values)
        if file is not None:
            return Plan.file(file, values)
    except ConfigurationError as error:
        raise InvalidConfigurationError(
            f"Its configuration is not valid: {error.problems[0]['message']}"
        ) from None
    raise DeployError(f"Its configuration is in no variable, and its package cannot be read. {_ELSEWHERE}")


def _package_files(answer: Mapping[str, Any], named: str, authorities: str | bool) -> dict[str, bytes] | None:
    """Returns the files that a function looks for; None if its package cannot be read."""
    if answer["Configuration"].get("PackageType") == "Image":
        return None
    location = str(answer.get("Code", {}).get("Location", ""))
    return contents_of(location, authorities, (named,) if named else IN_PACKAGE, _LARGEST)


def _plan(files: Mapping[str, bytes], named: str, values: Mapping[str, str]) -> Plan:
    if not files:
        raise DeployError("It has no configuration, neither in a variable nor in its package.")
    with TemporaryDirectory(prefix="keystart-roll-") as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        if named:
            return Plan.file(Path(folder) / Path(named).name, values)
        return Plan.package(Path(folder), values)
