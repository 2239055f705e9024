"""Writes the least privilege that a configuration needs as an IAM policy. The providers know what is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import core
from ..text import characters, is_role
from .terms import DeployError

if TYPE_CHECKING:
    from ..plan import Plan

_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")


class Account(NamedTuple):
    """The account and region of secrets whose entry has no ARN."""

    id: str | None
    region: str | None


def policy(plan: Plan, account: Account, role: str | None, keys: Sequence[str]) -> dict[str, Any]:
    """Returns the policy for the function's role, or for a `role` that the configuration assumes."""
    roles = _roles(plan)
    if role is not None and role not in roles:
        known = f"It has {', '.join(roles)}." if roles else "It has none."
        shown = f"the role {role}" if is_role(role) else f"this role of {characters(role)}"
        raise DeployError(f"{plan.source}: no secret has {shown}. {known}")
    for key in keys:
        if not _KEY.fullmatch(key):
            raise DeployError(
                f"--kms-key of {characters(key)} is not the ARN of a key, such as "
                "arn:aws:kms:eu-west-1:123456789012:key/…; IAM takes no alias for it."
            )
    if role is not None:
        account = account._replace(id=account.id or role.split(":")[4])
    statements = [
        *_fetches(plan, account, role),
        _allow("Keys", "kms:Decrypt", keys),
        _allow("Roles", "sts:AssumeRole", () if role is not None else roles),
    ]
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one["Resource"]]}


def _fetches(plan: Plan, account: Account, role: str | None) -> list[dict[str, Any]]:
    """Returns the statements that the providers of the plan's entries need."""
    problem = core.ffi.new("keystart_bytes *")
    places = (part for value in (role, account.id, account.region) for part in core.text_or_null(value))
    permissions = json.loads(core.give_text(core.lib.keystart_policy_read, plan.handle, *places, problem))
    if missing := core.taken_text(problem):
        raise DeployError(missing)
    return [_allow(one["sid"], one["action"], one["resources"]) for one in permissions]


def notes(plan: Plan, account: Account, role: str | None) -> list[str]:
    """Returns what people should know about the policy but cannot see in it."""
    lines = []
    own = [entry for entry in plan.facts["entries"] if entry["role"] == role]
    if role is None and account.id is None and any(not entry["id"].startswith("arn:") for entry in own):
        lines.append("No account is known for what has no ARN, so that it is *. Name it with --account.")
    if role is None:
        lines += [
            f"The role {one} must trust the function's role, and needs a policy of its own: --role {one}"
            for one in _roles(plan)
        ]
    return lines


def _roles(plan: Plan) -> list[str]:
    entries = plan.facts["entries"]
    return list(dict.fromkeys(entry["role"] for entry in entries if entry["role"] is not None))


def _allow(sid: str, action: str, resources: Iterable[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": list(dict.fromkeys(resources))}
