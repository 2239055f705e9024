"""Holds what came back for a plan, and the reason of each entry that has no secrets."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .store import Draft


class Unavailable(Exception):
    """Says why an entry could not be fetched or shaped; `code` is the service's own where it has one."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Fetched:
    """What a source gave: how many secrets, the entries without any, and the way of the secrets into a draft."""

    def __init__(self, count: int, fill: Callable[[Draft], None]) -> None:
        self.count = count
        self.fill = fill
        self.required: dict[str, Unavailable] = {}
        self.optional: dict[str, Unavailable] = {}

    def add(self, name: str, why: Unavailable, *, optional: bool) -> None:
        """Notes an entry without secrets."""
        (self.optional if optional else self.required)[name] = why


def wall_clock() -> str:
    """Gives the time of contract 4.3: RFC 3339, UTC, milliseconds."""
    now = time.time_ns() // 1_000_000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 1000))}.{now % 1000:03d}Z"
