"""Looks for what Lambda would accept, and what would fail all the same: no configuration, a role without the rights.

A problem stops the change, because the function would not start. A warning does not, because it may be wrong: IAM's
simulation does not see the policies of secrets and keys.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..aws import AwsError
from ..aws.errors import ask
from ..plan import VARIABLE
from .change import WRAPPER, Change, variables_of
from .package import files_of
from .policy import Account, needs

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

    from ..aws.session import Clients
    from ..plan import Plan

CONFIG = "KEYSTART_CONFIG"
TASK_ROOT = "/var/task/"
# Where the extension looks without a variable (docs/configuration.md).
IN_PACKAGE = ("keystart.json", "keystart.yaml", "keystart.yml", "config.yaml")
_NOT_READABLE = "Its package cannot be read"
_ADDED = re.compile(r"-\?{6}$")  # what Secrets Manager puts behind a name


class Findings(NamedTuple):
    """What would fail: for certain, and perhaps."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Preflight:
    """Examines functions before a change. It asks once for what several functions share."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region
        self._simulated: dict[tuple[str, ...], list[str]] = {}
        self._arns: dict[str, str | None] = {}
        self.unknown: AwsError | None = None

    def examine(self, answer: Mapping[str, Any], change: Change, plan: Plan | None) -> Findings:
        """Returns what would fail after a change. `answer` is that of GetFunction, `plan` what attach sets."""
        function: Configuration = answer["Configuration"]
        before = variables_of(function)
        found = configuration_findings(
            answer, before if change.variables is None else change.variables, self._clients.authorities
        )
        if not change.is_needed:
            found = Findings(warnings=(*found.problems, *found.warnings))
        if plan is None:
            return found
        more = (*_kept(plan, before), *_too_short(plan, function), *self._denied(plan, function))
        return Findings(found.problems, (*found.warnings, *more))

    def _denied(self, plan: Plan, function: Configuration) -> list[str]:
        """Returns which secrets do not exist, and what the function's role may not do, as IAM simulates it."""
        role, account = function["Role"], function["FunctionArn"].split(":")[4]
        lines = []
        for need in needs(plan, Account(account, self._region), None):
            action: str = need["action"]
            resources = [self._arn(arn, account) for arn in need["resources"]]
            lines += [
                f"There is no secret {_name(arn)} in {arn.split(':')[3]}. Create it, or correct its name or region."
                for arn, known in zip(need["resources"], resources, strict=True)
                if known is None
            ]
            if denied := self._simulation(role, action, [arn for arn in resources if arn is not None]):
                whole = "its policy names the whole ARN, or " if any(map(_ADDED.search, denied)) else ""
                lines.append(
                    f"By IAM's simulation its role may not do {action} on {', '.join(denied)}. Add what keystart "
                    f"iam-policy prints, unless {whole}the resource's own policy allows it."
                )
        return lines

    def _arn(self, resource: str, account: str) -> str | None:
        """Returns the ARN of a secret that is known by its name: None if there is none, the pattern if nobody knows."""
        _, _, service, region, owner, *_ = resource.split(":")
        if service != "secretsmanager" or owner != account or not _ADDED.search(resource):
            return resource
        if resource not in self._arns:
            client = self._clients("secretsmanager", region)
            try:
                self._arns[resource] = ask(
                    f"secretsmanager:DescribeSecret on {resource}",
                    lambda: str(client.describe_secret(SecretId=_name(resource))["ARN"]),
                )
            except AwsError as error:
                self._arns[resource] = None if error.code == "ResourceNotFoundException" else resource
        return self._arns[resource]

    def _simulation(self, role: str, action: str, resources: Sequence[str]) -> list[str]:
        """Returns the resources that are denied; none if nobody knows."""
        key = (role, action, *resources)
        if resources and key not in self._simulated:
            self._simulated[key] = []
            try:
                self._simulated[key] = self._simulate(role, action, resources)
            except AwsError as error:
                self.unknown = error
        return self._simulated.get(key, [])

    def _simulate(self, role: str, action: str, resources: Sequence[str]) -> list[str]:
        samples = {_sample(resource): resource for resource in resources}

        def call() -> list[str]:
            pages = self._iam.get_paginator("simulate_principal_policy").paginate(
                PolicySourceArn=role, ActionNames=[action], ResourceArns=list(samples)
            )
            results = [one for page in pages for one in page["EvaluationResults"]]
            decisions = {one["EvalResourceName"]: one["EvalDecision"] for one in results}
            for result in results:
                for one in result.get("ResourceSpecificResults", ()):
                    decisions[one["EvalResourceName"]] = one["EvalResourceDecision"]
            return [arn for sample, arn in samples.items() if decisions.get(sample, "allowed") != "allowed"]

        return ask(f"iam:SimulatePrincipalPolicy on {role}", call)

    @functools.cached_property
    def _iam(self) -> Any:
        return self._clients("iam")


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


def _too_short(plan: Plan, function: Configuration) -> list[str]:
    """Returns whether Lambda would end a start that is repeated in an invocation before it can say what is late."""
    deadline, timeout = plan.facts["deadline"], function.get("Timeout")
    if timeout is None or timeout > deadline:
        return []
    return [
        f"Its timeout of {timeout} s is not longer than the deadline of {deadline:g} s. If Lambda repeats the Init in "
        "an invocation, it ends the function before the log says which secret is late. Set a longer timeout."
    ]


def _name(pattern: str) -> str:
    """Returns the name of a secret from the pattern of its ARN."""
    return _ADDED.sub("", pattern.split(":", 6)[6])


def _sample(resource: str) -> str:
    """Returns an ARN that a pattern of ours matches, because IAM simulates single resources."""
    return _ADDED.sub("-a1B2c3", resource).replace("/*", "/x")
