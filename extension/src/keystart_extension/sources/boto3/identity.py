"""Whether an answer is about what was asked for: no other secret's value may stand below a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SUFFIX = re.compile("-[A-Za-z0-9]{6}")


def is_secret(id: str, region: str, arn: str, name: str) -> bool:
    """Says whether an id asks for this secret: by name, by ARN, or by ARN without its last six characters."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or parts[2:4] != ["secretsmanager", region]:
        return False
    is_asked = is_secret_id(id, arn) if id.startswith("arn:") else id == name
    belongs = parts[5].startswith(f"secret:{name}") and _SUFFIX.fullmatch(parts[5][len("secret:" + name) :])
    return is_asked and bool(belongs)


def is_secret_id(id: str, other: str) -> bool:
    """Says whether an error of a batch, which has only an id, is about what this id asks for."""
    by_part = id.startswith("arn:") and other.startswith(id) and _SUFFIX.fullmatch(other[len(id) :])
    return id == other or bool(by_part)


def is_version(
    stage: str | None, version_id: str | None, answered: str, stages: Sequence[str] | None
) -> bool:
    """Says whether a version is the one that is asked for: by its id, by a stage, or the current one."""
    if version_id is not None:
        return version_id == answered
    return not stages or (stage or "AWSCURRENT") in stages  # some emulators list none


def is_parameter(region: str, name: str, arn: str | None) -> bool:
    """Says whether the ARN of a parameter, which some emulators leave out, is that of its name and region."""
    named_by_arn = name.startswith("arn:")  # as one is that another account shares
    if named_by_arn and arn not in (None, name):
        return False
    arn = arn or (name if named_by_arn else None)
    if arn is None:
        return True
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or parts[2:4] != ["ssm", region]:
        return False
    path = parts[5].removeprefix("parameter")
    return path != parts[5] and (named_by_arn or name in (path, path.removeprefix("/")))


def is_selected(selector: str | None, version: int) -> bool:
    """Says whether a selector is none, a label, or the number of this version."""
    number = (selector or "").removeprefix(":")
    return not number.isdecimal() or int(number) == version


def is_below(path: str, name: str) -> bool:
    """Says whether a parameter lies below a path. Below the root lie also names without a slash."""
    path = path.rstrip("/")
    return not path or (name.startswith(f"{path}/") and len(name) > len(path) + 1)
