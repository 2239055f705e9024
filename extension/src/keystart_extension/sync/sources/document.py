"""JSON of sources, read so that no member and no digit gets lost."""

from __future__ import annotations

from typing import Any

from ..error import SyncError


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the members of an object. Raises `ValueError` if a name stands twice: JSON would take the last one."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError
    return document


def exact(text: str) -> float:
    """Returns a number. Raises `SyncError` if it would not come out as it is written."""
    if repr(float(text)) != text:
        raise SyncError("The source holds a number that would change. Store it as text.")
    return float(text)
