"""Adds the fixture `keystart_store` to a conftest.py that says `pytest_plugins = ["keystart.pytest_plugin"]`.

It is deliberately not an entry point: pytest would load this package and its library in every run of every project
that has it installed, and before a coverage plugin could see it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import testing


@pytest.fixture
def keystart_store() -> Iterator[testing.Store]:
    """Yields a store without secrets, which the default client reads during the test; `publish` adds some."""
    with testing.store() as one:
        yield one
