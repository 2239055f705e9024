"""Moves the changelog's unreleased section under the version and its date."""

from __future__ import annotations

import datetime
import re

from .errors import ReleaseError

_HEADING = re.compile(r"^## .*$", re.MULTILINE)
_UNRELEASED = re.compile(r"^## (?:Unreleased|[0-9.]+ \(unreleased\))$", re.MULTILINE)


def cut(text: str, version: str, date: datetime.date) -> tuple[str, str]:
    """Returns the changelog with an empty unreleased section above the version's, and the version's notes."""
    found = _UNRELEASED.findall(text)
    if len(found) != 1:
        raise ReleaseError(f"CHANGELOG.md has {len(found)} unreleased sections, and a release needs one")
    if re.search(rf"^## {re.escape(version)} \([0-9]", text, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has {version} already")
    before, _, after = text.partition(found[0])
    following = _HEADING.search(after)
    notes = after[: following.start() if following else len(after)].strip()
    if not notes:
        raise ReleaseError("CHANGELOG.md's unreleased section is empty")
    return f"{before}## Unreleased\n\n## {version} ({date.isoformat()}){after}", notes + "\n"
