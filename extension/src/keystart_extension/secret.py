"""Holds values on their way through Python, where boto3 gives them; on the native path none comes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
