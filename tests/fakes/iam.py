"""Evaluates IAM policies, as far as the policies of `keystart iam-policy` go: actions, resources and tags."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def allows(policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Returns whether a statement allows the action on the resource, in a context such as the tags of the resource."""
    return any(
        any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and all(_holds(operator, keys, context) for operator, keys in statement.get("Condition", {}).items())
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
    )


def _holds(operator: str, keys: Mapping[str, str | list[str]], context: Mapping[str, str]) -> bool:
    for key, values in keys.items():
        wanted = [values] if isinstance(values, str) else values
        match operator:
            case "StringEquals" | "ForAnyValue:StringEquals":
                holds = context.get(key) in wanted
            case "StringEqualsIfExists":
                holds = key not in context or context[key] in wanted
            case _:
                raise NotImplementedError(operator)
        if not holds:
            return False
    return True
