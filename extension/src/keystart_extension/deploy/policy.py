"""Works out the least privilege that a configuration needs, as a policy of IAM; it asks nobody.

Names are matched as they are fetched: a secret without its ARN by the six characters that Secrets Manager adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..configuration.references import is_region, is_role
from ..names import characters
from .terms import CannotDeploy

if TYPE_CHECKING:
    from ..plan import Entry, Plan

# As botocore's partitions have them; every other region is of the partition aws.
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}
_WITH_SUFFIX = re.compile(".*-[A-Za-z0-9]{6}")
_ANY_SUFFIX = "-??????"
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")


class Account(NamedTuple):
    """Where what has no ARN is: the account, and the function's own region."""

    id: str | None
    region: str | None


def policy(plan: Plan, account: Account, role: str | None, keys: Sequence[str]) -> dict[str, Any]:
    """Gives the policy for the function's role, or for a `role` that the configuration has it assume."""
    roles = _roles(plan)
    if role is not None and role not in roles:
        known = f"It has {', '.join(roles)}." if roles else "It has none."
        shown = f"the role {role}" if is_role(role) else f"this role of {characters(role)}"
        raise CannotDeploy(f"{plan.source}: no secret has {shown}. {known}")
    for key in keys:
        if not _KEY.fullmatch(key):
            raise CannotDeploy(
                f"--kms-key of {characters(key)} is not the ARN of a key, such as "
                "arn:aws:kms:eu-west-1:123456789012:key/…; IAM takes no alias for it."
            )
    entries = [entry for entry in plan.entries if entry.role == role]
    if role is not None:
        account = account._replace(id=account.id or role.split(":")[4])
    secrets = [_secret(entry, account) for entry in entries if entry.kind == "secret"]
    parameters = [_parameter(entry, account) for entry in entries if entry.kind == "parameter"]
    paths = [arn for entry in entries if entry.kind == "parameters" for arn in _path(entry, account)]
    statements = [
        _allow("Secrets", "secretsmanager:GetSecretValue", secrets),
        _allow("Batches", "secretsmanager:BatchGetSecretValue", _batches(plan, entries)),
        _allow("Parameters", "ssm:GetParameters", parameters),
        _allow("Paths", "ssm:GetParametersByPath", paths),
        _allow("Keys", "kms:Decrypt", keys),
        _allow("Roles", "sts:AssumeRole", () if role is not None else roles),
    ]
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one["Resource"]]}


def notes(plan: Plan, account: Account, role: str | None) -> list[str]:
    """Gives what people should know of the policy, and cannot see in it."""
    lines = []
    own = [entry for entry in plan.entries if entry.role == role]
    if role is None and account.id is None and any(not entry.id.startswith("arn:") for entry in own):
        lines.append("No account is known for what has no ARN, so that it is *. Name it with --account.")
    if role is None:
        lines += [
            f"The role {one} must trust the function's role, and needs a policy of its own: --role {one}"
            for one in _roles(plan)
        ]
    return lines


def partition(region: str) -> str:
    """Gives the partition of AWS in whose ARNs a region stands."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def _roles(plan: Plan) -> list[str]:
    return list(dict.fromkeys(entry.role for entry in plan.entries if entry.role is not None))


def _batches(plan: Plan, entries: Iterable[Entry]) -> list[str]:
    # A batch takes no versions, and one secret alone is not asked for in one. The call can be allowed for everything
    # only; what it may give is what GetSecretValue is allowed for.
    ids = {entry.id for entry in entries if entry.kind == "secret" and not (entry.stage or entry.version_id)}
    return ["*"] if plan.batch and len(ids) > 1 else []


def _allow(sid: str, action: str, resources: Iterable[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": list(dict.fromkeys(resources))}


def _secret(entry: Entry, account: Account) -> str:
    if entry.id.startswith("arn:"):
        # Secrets Manager takes an ARN without the six characters too, unless its end looks like them.
        return entry.id if _WITH_SUFFIX.fullmatch(entry.id) else entry.id + _ANY_SUFFIX
    return f"{_place(entry, account, 'secretsmanager')}:secret:{entry.id}{_ANY_SUFFIX}"


def _parameter(entry: Entry, account: Account) -> str:
    if entry.id.startswith("arn:"):
        return ":".join(entry.id.split(":")[:6])  # without a version or label
    return _named(entry.id.partition(":")[0], entry, account)


def _path(entry: Entry, account: Account) -> Iterable[str]:
    # Who may read a path may read all below it, so that the second gives nothing more. It is for the path as it
    # stands with a slash at its end.
    return (_named(entry.id, entry, account), _named(f"{entry.id.rstrip('/')}/*", entry, account))


def _named(name: str, entry: Entry, account: Account) -> str:
    return f"{_place(entry, account, 'ssm')}:parameter/{name.removeprefix('/')}"


def _place(entry: Entry, account: Account, service: str) -> str:
    region = entry.region or account.region
    if region is None:
        raise CannotDeploy(
            f"{entry.name}: no region is known for {entry.id}. Give --region, or set AWS_REGION."
        )
    if not is_region(region):
        raise CannotDeploy(
            f"A text of {characters(region)} is not a region such as eu-west-1. Correct --region, or AWS_REGION."
        )
    return f"arn:{partition(region)}:{service}:{region}:{account.id or '*'}"
