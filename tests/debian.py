"""Debian systems from debootstrap in a folder, for tests that run only with --chroot: each takes two minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def make_debian(request: pytest.FixtureRequest, suite: str, folder: Path, packages: str) -> None:
    """Makes a Debian with these packages. Skips the test unless --chroot was passed for this suite."""
    wanted = request.config.getoption("--chroot")
    if not wanted or (wanted != "all" and suite not in wanted.split(",")):
        pytest.skip(f"only with --chroot or --chroot={suite}: it downloads a Debian and needs root")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.fail("--chroot needs root and debootstrap (apt-get install debootstrap)")
    # All suites of debootstrap are one script. Older versions lack the name of a newer suite.
    script = "/usr/share/debootstrap/scripts/sid"
    own_mirror = ""
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={packages}",
        suite,
        str(folder),
        own_mirror,
        script,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
