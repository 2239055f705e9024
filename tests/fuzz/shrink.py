"""Makes a document smaller piece by piece, as long as it stays interesting. It does not know stores.

Not Hypothesis, whose shrinker works on the choices of its generators. A store takes 200 choices, some take 6,000.
With Hypothesis making these choices (`st.randoms`), 575 of 1,000 stores were different and 702 had secrets, at 19 a
second. Without it all differ and 993 have secrets, at 350 a second. One example here is also one of thousands that the
readers answer at the same time, and its number alone finds it again.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any


class _OverError(Exception):
    """No time is left."""


def shrunk(document: Any, interesting: Callable[[Any], bool], *, seconds: float = 20) -> Any:
    """Returns the smallest document found in this time. `document` itself must be interesting."""
    best = document
    until = time.monotonic() + seconds

    def accepted(candidate: Any) -> bool:
        nonlocal best
        if time.monotonic() > until:
            raise _OverError
        if candidate == best or not interesting(candidate):
            return False
        best = candidate
        return True

    try:
        before = None
        while before != best:
            before = best
            _part(best, lambda whole: whole, accepted)
    except _OverError:
        pass
    return best


def _part(part: Any, whole: Callable[[Any], Any], accepted: Callable[[Any], bool]) -> Any:
    """Returns the part made smaller. `whole` returns the document with another part in its place."""
    if isinstance(part, dict):
        encoded = part.get("base64")
        if isinstance(encoded, str):
            part = _text_of(part, whole, accepted)
            if not isinstance(part, dict):
                return part
        for key in list(part):
            without = {name: value for name, value in part.items() if name != key}
            if accepted(whole(without)):
                part = without
        for key in list(part):
            part = {**part, key: _part(part[key], _within(part, key, whole), accepted)}
        return part
    if isinstance(part, list):
        part = _sequence(part, whole, accepted)
        for at in range(len(part)):
            part = [*part[:at], _part(part[at], _at(part, at, whole), accepted), *part[at + 1 :]]
        return part
    if isinstance(part, str):
        return _sequence(part, whole, accepted)
    return part


def _within(part: dict[str, Any], key: str, whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda smaller: whole({**part, key: smaller})


def _at(part: list[Any], at: int, whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda smaller: whole([*part[:at], smaller, *part[at + 1 :]])


def _text_of(part: dict[str, Any], whole: Callable[[Any], Any], accepted: Callable[[Any], bool]) -> Any:
    """Returns bytes made smaller as bytes, or as text if they are text."""
    try:
        data = base64.b64decode(part["base64"], validate=True)
    except binascii.Error:
        return part

    def of(smaller: bytes) -> dict[str, Any]:
        return {**part, "base64": base64.b64encode(smaller).decode()}

    data = _sequence(data, lambda smaller: whole(of(smaller)), accepted)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return of(data)
    return text if accepted(whole(text)) else of(data)


def _sequence(items: Any, whole: Callable[[Any], Any], accepted: Callable[[Any], bool]) -> Any:
    """Returns text, bytes or a list without the pieces that are not needed. It tries large pieces first."""
    length = len(items)
    while length > 0:
        at = 0
        while at < len(items):
            without = items[:at] + items[at + length :]
            if accepted(whole(without)):
                items = without
            else:
                at += length
        length = min(length, len(items) + 1) // 2
    return items
