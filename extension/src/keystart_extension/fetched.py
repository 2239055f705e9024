"""Holds what came back for a plan and its entries: secrets under their names, or the reason why there are none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Draft


@dataclass(frozen=True)
class Answer:
    """One value as a service gave it. `source` is what the manifest tells about it (contract §4)."""

    value: bytes = field(repr=False)
    encoding: str
    source: dict[str, Any]
    fetched_at: str


@dataclass(frozen=True)
class Secret:
    """One value under the name that it is published with."""

    name: str
    value: bytes = field(repr=False)
    encoding: str
    source: dict[str, Any]
    fetched_at: str


class Unavailable(Exception):
    """Says why an entry could not be fetched or shaped; `code` is the service's own where it has one."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Fetched:
    """What a source gave: how many secrets, the entries without any, and the way of the secrets into a draft."""

    count: int
    unavailable: dict[str, Unavailable]
    fill: Callable[[Draft], None]


def wall_clock() -> str:
    """Gives the time of contract 4.3: RFC 3339, UTC, milliseconds."""
    now = time.time_ns() // 1_000_000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 1000))}.{now % 1000:03d}Z"
