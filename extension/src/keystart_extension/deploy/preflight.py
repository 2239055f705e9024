"""Looks for what Lambda would accept, and what would fail all the same: no configuration, a role without the rights.

A problem stops the change, because the function would not start. A warning does not, because it may be wrong: IAM's
simulation does not see the policies of secrets and keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..plan import VARIABLE
from .change import WRAPPER, Change, variables_of
from .package import files_of
from .rights import Rights

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

    from ..aws import AwsError
    from ..aws.session import Clients
    from ..plan import Plan

CONFIG = "KEYSTART_CONFIG"
TASK_ROOT = "/var/task/"
# Where the extension looks without a variable (docs/configuration.md).
IN_PACKAGE = ("keystart.json", "keystart.yaml", "keystart.yml", "config.yaml")
_NOT_READABLE = "Its package cannot be read"


class Findings(NamedTuple):
    """What would fail: for certain, and perhaps."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Preflight:
    """Examines functions before a change. It asks once for what several functions share."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._rights = Rights(clients, region)

    @property
    def unknown(self) -> AwsError | None:
        """Why nobody knows what the roles may do."""
        return self._rights.unknown

    def examine(
        self, answer: Mapping[str, Any], change: Change, plan: Plan | None, own: Findings
    ) -> Findings:
        """Returns what would fail after a change.

        `answer` is that of GetFunction, `plan` what attach sets or the function has, and `own` what is wrong with what
        the function has.
        """
        function: Configuration = answer["Configuration"]
        before = variables_of(function)
        after = before if change.variables is None else change.variables
        found = configuration_findings(answer, after, self._clients.authorities)
        if not found.problems:
            found = Findings(own.problems, (*found.warnings, *own.warnings))
        if not change.is_needed:
            found = Findings(warnings=(*found.problems, *found.warnings))
        if plan is None:
            return found
        of_variables = _kept(plan, before) if WRAPPER in after else _unset(plan)
        more = (*of_variables, *_too_short(plan, function), *self._rights.lacks(plan, function))
        return Findings(found.problems, (*found.warnings, *more))


def configuration_findings(
    answer: Mapping[str, Any], variables: Mapping[str, str], authorities: str | bool
) -> Findings:
    """Returns what is wrong with the place of the configuration."""
    if "Error" in answer["Configuration"].get("Environment", {}):
        return Findings()  # its variables cannot be read
    named = variables.get(CONFIG, "")
    if named and not named.startswith(TASK_ROOT):
        return Findings()  # in a layer, or in an image
    if not named and variables.get(VARIABLE):
        return Findings()
    files = files_of(str(answer.get("Code", {}).get("Location", "")), authorities)
    if named:
        if files is None or named.removeprefix(TASK_ROOT) in files:
            return Findings()
        return Findings(
            (f"Its variable {CONFIG} names a file that is not in its package. Correct that variable.",)
        )
    if files is None:
        return Findings(
            warnings=(f"{_NOT_READABLE}. Without a configuration in it the function would not start.",)
        )
    if not files.isdisjoint(IN_PACKAGE):
        return Findings()
    return Findings(
        (
            "It has no configuration, so that it would not start: neither a variable nor its package has one. Attach "
            f"with --config, or put {IN_PACKAGE[0]} into the package first.",
        )
    )


def _kept(plan: Plan, variables: Mapping[str, str]) -> list[str]:
    """Returns which variables the wrapper would keep, so that the function does not see the secret."""
    lines = []
    for entry in plan.facts["entries"]:
        env = entry["env"]
        if env is None:
            continue
        if env.endswith("*"):
            found = sorted(name for name in variables if name.startswith(env[:-1]))
        else:
            found = [env] if env in variables else []
        lines += [
            f"Its variable {name} exists, so {WRAPPER} keeps its value, and the function would not see the secret "
            f"{entry['name']} there. Remove that variable."
            for name in found
        ]
    return lines


def _unset(plan: Plan) -> list[str]:
    """Returns which variables the function does not get, because the wrapper does not run."""
    names = [entry["env"] for entry in plan.facts["entries"] if entry["env"] is not None]
    if not names:
        return []
    return [
        f"Its configuration has env: for {', '.join(names)}, and {WRAPPER} is not set, so the function would not get "
        "these variables. Attach with --wrapper."
    ]


def _too_short(plan: Plan, function: Configuration) -> list[str]:
    """Returns whether Lambda would end a start that is repeated in an invocation before it can say what is late."""
    deadline, timeout = plan.facts["deadline"], function.get("Timeout")
    if timeout is None or timeout > deadline:
        return []
    return [
        f"Its timeout of {timeout} s is not longer than the deadline of {deadline:g} s. If Lambda repeats the Init in "
        "an invocation, it ends the function before the log says which secret is late. Set a longer timeout."
    ]
