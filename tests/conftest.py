"""Options of all tests."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Stops ignoring the signals that nohup or a shell's background job ignores, for processes inherit that."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


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
