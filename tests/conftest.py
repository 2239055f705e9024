"""Options of all tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter

import pytest

ONE_OF = 8  # cases of a test that is marked `sampled`: the others are marked `long`


@pytest.fixture(scope="session")
def private_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips a test where root cannot mount a file system that no other process sees, as in many containers."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path_factory.mktemp("mount"))]
    tried = subprocess.run(["unshare", "--mount", *mount], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no private file system can be mounted here: {tried.stderr.strip()}")


def pytest_configure() -> None:
    """Stops ignoring the signals that nohup or a shell's background job ignores, for processes inherit that."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all cases of a `sampled` test `long` except its first and every 8th after that."""
    cases: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            if cases[test] % ONE_OF:
                item.add_marker(pytest.mark.long)
            cases[test] += 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the sessions packages, packages-quick and layer."""
    parser.addoption(
        "--quick", action="store_true", help="packages: one CPython, and nothing that compiles for minutes"
    )
    parser.addoption(
        "--chroot",
        nargs="?",
        const="all",
        metavar="SUITES",
        help="packages, layer: also try them in Debians made by debootstrap, all or those named, as in "
        "trixie,forky; needs root and a mirror",
    )
