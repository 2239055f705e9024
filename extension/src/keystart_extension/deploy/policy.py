"""Writes the least privilege that a configuration needs as an IAM policy. The providers know what is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import core
from ..text import characters
from .terms import FORMATS, DeployError

if TYPE_CHECKING:
    from ..plan import Plan

_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")


class Account(NamedTuple):
    """The account and region of secrets whose entry has no ARN."""

    id: str | None
    region: str | None


def policy(plan: Plan, account: Account, role: str | None, keys: Sequence[str]) -> dict[str, Any]:
    """Returns the policy for the function's role, or for a `role` that the configuration assumes."""
    statements = [_allow(one["sid"], one["action"], one["resources"]) for one in needs(plan, account, role)]
    for key in keys:
        if not _KEY.fullmatch(key):
            raise DeployError(
                f"--kms-key of {characters(key)} is not the ARN of a key, such as "
                "arn:aws:kms:eu-west-1:123456789012:key/…; IAM takes no alias for it."
            )
    if keys:
        statements.append(_allow("Keys", "kms:Decrypt", list(dict.fromkeys(keys))))
    return {"Version": "2012-10-17", "Statement": statements}


def needs(plan: Plan, account: Account, role: str | None) -> list[dict[str, Any]]:
    """Returns what the entries of a plan need, as the core says."""
    problem = core.ffi.new("keystart_bytes *")
    places = (part for value in (role, account.id, account.region) for part in core.text_or_null(value))
    permissions = core.call_for_text(core.lib.keystart_policy_read, plan.handle, *places, problem)
    if sentence := core.take_text(problem):
        raise DeployError(sentence)
    needs: list[dict[str, Any]] = json.loads(permissions)
    return needs


def notes(document: Mapping[str, Any], account: str | None, form: str) -> list[str]:
    """Returns what people should know about a policy but cannot see in it. `account` is the function's."""
    lines = []
    statements = document["Statement"]
    keys = {
        arn.split(":")[4] for one in statements if one["Action"] == "kms:Decrypt" for arn in one["Resource"]
    }
    fetched = [
        arn
        for one in statements
        if one["Action"] not in ("kms:Decrypt", "sts:AssumeRole")
        for arn in one["Resource"]
    ]
    for arn in fetched:
        owner = (arn.split(":") + [""] * 5)[4]
        if account is not None and owner not in ("", "*", account, *keys):
            lines.append(
                f"{arn} is in another account: its policy there, and that of its key, must allow the role. "
                "Name the key with --kms-key."
            )
    if form == "json" and any(arn.split(":")[4:5] == ["*"] for one in statements for arn in one["Resource"]):
        lines.append(
            "No account is known for what has no ARN, so the policy has * instead. Name it with --account."
        )
    lines += [
        f"The role {arn} must trust the function's role, and needs its own policy: --role {arn}"
        for one in statements
        if one["Action"] == "sts:AssumeRole"
        for arn in one["Resource"]
    ]
    return lines


def written(document: Mapping[str, Any], form: str) -> str:
    """Returns a policy in one of the FORMATS. All except json take an unknown account from the deployment."""
    return _WRITERS[form](document)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)


def _sam(document: Mapping[str, Any]) -> str:
    """Returns the property Policies of an AWS::Serverless::Function."""
    lines = ["Policies:", f'  - Version: "{document["Version"]}"', "    Statement:"]
    for one in document["Statement"]:
        lines += [
            f"      - Sid: {one['Sid']}",
            f"        Effect: {one['Effect']}",
            f"        Action: {one['Action']}",
        ]
        lines.append("        Resource:")
        for arn in one["Resource"]:
            text = _with_account(arn, "${AWS::AccountId}")
            lines.append(f"          - {'!Sub ' if text != arn else ''}{json.dumps(text)}")
    return "\n".join(lines)


def _terraform(document: Mapping[str, Any]) -> str:
    """Returns a data source for the argument `policy` of an aws_iam_role_policy."""
    account = "${data.aws_caller_identity.current.account_id}"
    arns = [_with_account(arn, account) for one in document["Statement"] for arn in one["Resource"]]
    lines = ['data "aws_caller_identity" "current" {}', ""] if any(account in arn for arn in arns) else []
    lines.append('data "aws_iam_policy_document" "keystart" {')
    for one in document["Statement"]:
        lines += ["  statement {", f'    sid       = "{one["Sid"]}"', f'    actions   = ["{one["Action"]}"]']
        lines.append("    resources = [")
        lines += [f"      {json.dumps(_with_account(arn, account))}," for arn in one["Resource"]]
        lines += ["    ]", "  }"]
    return "\n".join([*lines, "}"])


def _cdk(document: Mapping[str, Any]) -> str:
    """Returns a module of JavaScript or TypeScript for addToRolePolicy."""
    account = "${Aws.ACCOUNT_ID}"
    lines = list[str]()
    for one in document["Statement"]:
        lines += [
            "  new PolicyStatement({",
            f"    sid: '{one['Sid']}',",
            f"    actions: ['{one['Action']}'],",
        ]
        lines.append("    resources: [")
        for arn in one["Resource"]:
            text = _with_account(arn, account)
            quote = "'" if text == arn else "`"
            lines.append(f"      {quote}{text}{quote},")
        lines += ["    ],", "  }),"]
    head = ["import { PolicyStatement } from 'aws-cdk-lib/aws-iam';"]
    if any(account in line for line in lines):
        head.insert(0, "import { Aws } from 'aws-cdk-lib';")
    use = "// for (const statement of keystart) handler.addToRolePolicy(statement);"
    return "\n".join([*head, "", use, "export const keystart = [", *lines, "];"])


_WRITERS = dict(zip(FORMATS, (_json, _sam, _terraform, _cdk), strict=True))


def _with_account(arn: str, account: str) -> str:
    """Returns an ARN with the account of the deployment where it is unknown."""
    parts = arn.split(":")
    return ":".join([*parts[:4], account, *parts[5:]]) if parts[4:5] == ["*"] else arn


def _allow(sid: str, action: str, resources: Sequence[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}
