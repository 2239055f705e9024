"""The readers of all languages, and the core alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.runner import chosen_languages

from .seen import Readers


@pytest.fixture(scope="session")
def runners() -> Iterator[Readers]:
    """Starts them once, because that takes longer than a test."""
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
    """The core alone, for tests that look at very many stores."""
    made = Readers(("core",))
    yield made
    made.close()
