"""Reads the keys of a mapping in sync.yaml, and names the one that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ..text import is_region
from .error import SyncError


class Place(NamedTuple):
    """Where a sync.yaml lies, and the AWS profile of whoever runs the sync."""

    folder: Path
    profile: str | None


def keys_of(
    document: object, where: str, *, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns a mapping that has all required keys, and no unknown one."""
    of = f"`{where}`" if where else "The file"
    if not isinstance(document, dict):
        raise SyncError(f"{of} must be a mapping.")
    known = [*required, *optional]
    for key in document:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            # An unknown key that is close to a known one is not a secret.
            cure = f"Did you mean `{close[0]}`?" if close else f"Known are {', '.join(known)}."
            raise SyncError(f"{of} has an unknown key. {cure}")
    if missing := [key for key in required if key not in document]:
        cure = "Write `version: 1` at its top." if missing[0] == "version" else "Add it."
        raise SyncError(f"{of} lacks `{missing[0]}`. {cure}")
    return document


def text_of(value: object, where: str) -> str:
    """Returns a value that is text on one line, and not empty."""
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise SyncError(f"`{where}` must be text.")


def texts_of(value: object, where: str) -> tuple[str, ...]:
    """Returns one text, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(text_of(item, where) for item in values)


def some_of(value: object, where: str) -> tuple[str, ...]:
    """Returns one text, or a list of at least one. With an empty list --prune would delete everything."""
    if found := texts_of(value, where):
        return found
    raise SyncError(f"`{where}` is empty, so it names nothing. Write at least one into it.")


def file_of(place: Place, value: object, where: str) -> Path:
    """Returns the path of a file that exists. It is relative to sync.yaml."""
    path = place.folder / text_of(value, where)
    if not path.is_file():
        raise SyncError(f"`{where}` does not name a file.")
    return path


def region_of(value: object, where: str) -> str:
    """Returns the name of a region."""
    if isinstance(value, str) and is_region(value):
        return value
    raise SyncError(f"`{where}` is not a region such as eu-west-1.")


def truth_of(value: object, where: str) -> bool:
    """Returns true or false."""
    if isinstance(value, bool):
        return value
    raise SyncError(f"`{where}` must be true or false.")
