"""Holds types that annotations name. Only evaluating them loads it: typing takes longer to load than all else here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Predicate = Callable[[Exception], object]
Rejected = type[BaseException] | Sequence[type[BaseException]] | Predicate
