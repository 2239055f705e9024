"""Options of all tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the sessions packages, packages-quick and layer."""
    parser.addoption(
        "--quick", action="store_true", help="packages: one CPython, and nothing that compiles for minutes"
    )
    parser.addoption(
        "--chroot",
        action="store_true",
        help="packages, layer: also try them in other Debians made by debootstrap; needs root and a mirror",
    )
