"""Looks for what a configuration names and AWS does not have, and for what roles may not do, as IAM simulates it.

IAM's simulation does not see the policies of secrets and keys, so what it denies may be allowed there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..aws import AwsError
from ..aws.errors import ask
from .policy import Account, needs

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

    from ..aws.session import Clients
    from ..plan import Plan

_ADDED = re.compile(r"-\?{6}$")  # what Secrets Manager puts behind a name
_KEY_ID = re.compile(r"[0-9a-f-]{36}|mrk-[0-9a-f]{32}")
# A secret under the name of a parameter, which DescribeParameters does not list.
_REFERENCE = ":parameter/aws/reference/secretsmanager/"
_MISSING = "ResourceNotFoundException"


class _Target(NamedTuple):
    """What AWS says of a secret or a parameter."""

    arn: str
    # Of KMS; None if it is AWS's own key, which needs no permission, or if nobody knows.
    key: str | None = None


class Rights:
    """What roles may do. It asks once for what several functions share."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region
        self._simulated: dict[tuple[str, ...], list[str]] = {}
        self._targets: dict[str, _Target | None] = {}
        self.unknown: AwsError | None = None

    def lacks(self, plan: Plan, function: Configuration) -> list[str]:
        """Returns a sentence for each thing that does not exist, and for each action that a role may not do."""
        account = function["FunctionArn"].split(":")[4]
        lines = list(self._lacks_of(plan, account, function["Role"], None))
        roles = dict.fromkeys(entry["role"] for entry in plan.facts["entries"] if entry["role"])
        for role in roles:
            if role.split(":")[4] == account:
                lines += self._lacks_of(plan, account, role, role)
            else:
                lines.append(
                    f"The role {role} is in another account, so attach does not check what it may do."
                )
        return lines

    def _lacks_of(self, plan: Plan, account: str, source: str, role: str | None) -> Iterator[str]:
        """Yields what one role lacks. `role` is that of entries, None for the function's."""
        whose = "its role" if role is None else f"the role {role}"
        more = "" if role is None else f" --role {role}"
        keys: dict[str, str] = {}
        for need in needs(plan, Account(account, self._region), role):
            action: str = need["action"]
            found = []
            for resource in need["resources"]:
                target = self._target(action, resource, account)
                if target is None:
                    kind = "parameter" if action.startswith("ssm:") else "secret"
                    region = resource.split(":")[3]
                    yield (
                        f"There is no {kind} {_name(resource)} in {region}. Create it, or correct its name or region."
                    )
                    continue
                found.append(target.arn)
                if target.key is not None:
                    keys.setdefault(target.key, _name(resource))
            if denied := self._simulation(source, action, found):
                whole = "its policy names the whole ARN, or " if any(map(_ADDED.search, denied)) else ""
                yield (
                    f"By IAM's simulation {whose} may not do {action} on {', '.join(denied)}.\n"
                    f"Unless {whole}the resource's own policy allows it, add what this prints:\n"
                    f"  keystart iam-policy{more}"
                )
        for key in self._simulation(source, "kms:Decrypt", list(keys)):
            yield (
                f"By IAM's simulation {whose} may not do kms:Decrypt on {key}, the key of {keys[key]}.\n"
                f"Unless the key's own policy allows it, add what this prints:\n"
                f"  keystart iam-policy{more} --kms-key {key}"
            )

    def _target(self, action: str, resource: str, account: str) -> _Target | None:
        """Returns a secret or a parameter: None if it does not exist, only the ARN if nobody knows."""
        _, _, service, region, owner, *_ = (*resource.split(":"), "", "", "", "", "")
        if owner != account or _REFERENCE in resource:
            return _Target(resource)
        describe = {
            "secretsmanager:GetSecretValue": self._secret,
            "ssm:GetParameters": self._parameter,
        }.get(action)
        if describe is None:
            return _Target(resource)
        if resource not in self._targets:
            client = self._clients(service, region)
            try:
                self._targets[resource] = describe(client, resource)
            except AwsError as error:
                self._targets[resource] = None if error.code == _MISSING else _Target(resource)
        return self._targets[resource]

    def _secret(self, client: Any, resource: str) -> _Target:
        id_ = _name(resource) if _ADDED.search(resource) else resource
        answer = ask(
            f"secretsmanager:DescribeSecret on {resource}", lambda: client.describe_secret(SecretId=id_)
        )
        arn = str(answer["ARN"])
        return _Target(arn, _key(answer.get("KmsKeyId"), arn))

    def _parameter(self, client: Any, resource: str) -> _Target | None:
        name = _name(resource)
        # The ARN of /flags and that of flags are the same.
        names = [name] if "/" in name else [name, f"/{name}"]
        filters = [{"Key": "Name", "Option": "Equals", "Values": names}]

        def call() -> list[dict[str, Any]]:
            # A page may be empty although another follows.
            pages = client.get_paginator("describe_parameters").paginate(ParameterFilters=filters)
            return [one for page in pages for one in page["Parameters"]]

        found = ask("ssm:DescribeParameters on *", call)
        if not found:
            return None
        is_secure = found[0].get("Type") == "SecureString"
        return _Target(resource, _key(found[0].get("KeyId"), resource) if is_secure else None)

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


def _key(key: str | None, of: str) -> str | None:
    """Returns the ARN of a key of KMS. An alias does not say which key it is, and AWS's own keys have one."""
    if key is None or key.startswith("arn:"):
        return None if key is None or ":alias/" in key else key
    _, partition, _, region, account, *_ = of.split(":")
    return f"arn:{partition}:kms:{region}:{account}:key/{key}" if _KEY_ID.fullmatch(key) else None


def _name(resource: str) -> str:
    """Returns the name in the ARN of a secret or a parameter."""
    service = resource.split(":")[2]
    if service == "ssm":
        name = resource.split(":", 5)[5].removeprefix("parameter/")
        return f"/{name}" if "/" in name else name
    return _ADDED.sub("", resource.split(":", 6)[6])


def _sample(resource: str) -> str:
    """Returns an ARN that a pattern of ours matches, because IAM simulates single resources."""
    return _ADDED.sub("-a1B2c3", resource).replace("/*", "/x")
