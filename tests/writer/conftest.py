"""Lets the tests of this folder import what lies beside them and the conformance suite's runners."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]
# Last, as names there are those of other modules too.
sys.path.append(str(HERE.parents[1] / "extension" / "tests"))

from runner import chosen_languages  # noqa: E402
from seen import Readers  # noqa: E402


@pytest.fixture(scope="session")
def runners() -> Iterator[Readers]:
    """Started once: that takes longer than a test."""
    made = Readers(tuple(chosen_languages()))
    yield made
    made.close()


@pytest.fixture
def readers(runners: Readers) -> Iterator[Readers]:
    """The readers of all languages."""
    yield runners
    runners.forget()


@pytest.fixture(scope="session")
def core() -> Iterator[Readers]:
    """The core alone, where very many stores are looked at."""
    made = Readers(("core",))
    yield made
    made.close()
