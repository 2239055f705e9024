"""Adds the fixture `keystart_store` to a conftest.py that says `pytest_plugins = ["keystart.pytest_plugin"]`.

It is not an entry point on purpose: pytest would load this package, and its library, in every run of every project
that only has it installed, and before a coverage plugin could see it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import testing


@pytest.fixture
def keystart_store() -> Iterator[testing.Store]:
    """A store without secrets, which the default client reads for the length of the test; `publish` puts some in."""
    with testing.store() as one:
        yield one
