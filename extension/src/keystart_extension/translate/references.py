"""The texts in which tools name secrets of AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping

Source = Mapping[str, str | bool]

_SECRET = re.compile(r"arn:[^:]+:secretsmanager:[^:]*:[^:]*:secret:[^:]+")
_PARAMETER = re.compile(r"arn:[^:]+:ssm:[^:]*:[^:]*:parameter/.+")
DYNAMIC = re.compile(r"\{\{resolve:(secretsmanager|ssm|ssm-secure):(.+?)\}\}")
# An ARN of the stack's own account and region is the name alone.
_OWN = re.compile(
    r"arn:(?:\$\{AWS::Partition\}|aws):(secretsmanager|ssm):\$\{AWS::Region\}:\$\{AWS::AccountId\}:"
    r"(?:secret:|parameter(?=/))"
)


def own_account(text: str) -> str:
    """Replaces ARNs of the stack's own account and region by names."""
    return _OWN.sub(lambda found: "" if found[1] == "secretsmanager" else "ssm:", text)


def source_of(text: str) -> Source | None:
    """Returns what a whole text refers to; None if it is not a reference."""
    if found := DYNAMIC.fullmatch(text):
        return _dynamic(found[1], found[2])
    if found := _SECRET.match(text):
        return secret(found[0], *text[found.end() :].split(":")[1:])
    if _PARAMETER.fullmatch(text):
        return {"parameter": text}
    if text.startswith("ssm:"):
        return {"parameter": text.removeprefix("ssm:")}
    return None


def secret(id_: str, field: str = "", stage: str = "", version: str = "", *_: str) -> Source:
    """Returns a secret with the parts that references put behind its id. Empty parts do not count."""
    known = {
        "secret": id_,
        "field": field,
        "stage": "" if stage == "AWSCURRENT" else stage,
        "version_id": version,
    }
    return {key: value for key, value in known.items() if value}


def _dynamic(service: str, body: str) -> Source:
    if service != "secretsmanager":
        return {"parameter": body.removeprefix("ssm:")}
    if found := _SECRET.match(body):
        id_, rest = found[0], body[found.end() :].split(":")[1:]
    else:
        id_, *rest = body.split(":")
    return secret(id_, *rest[1:])  # the first one is SecretString
