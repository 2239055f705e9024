"""Runs the layer's executable in a root that holds nothing else, as another user, with nothing to write but /tmp."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/cold_start"))  # Secrets Manager with TLS, and the Extensions API
sys.path.insert(0, str(ROOT / "tests/packages"))  # the interpreters of this machine
from cloud import Cloud  # noqa: E402

EXECUTABLE = ROOT / "target/standalone" / platform.machine() / "keystart"
NOBODY = 65534
_PATIENCE = 20.0  # seconds; only a test that fails waits for so long
# Makes the root read-only but for a /tmp of its own, in a mount namespace that ends with the process.
_ENTER = """
mount --make-rprivate / && mount --bind "$1" "$1" && mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" &&
mount -t proc proc "$1/proc" && mount -o remount,bind,ro "$1" && root="$1" && shift &&
exec chroot --userspec=65534:65534 "$root" "$@"
"""


class Sandbox:
    """The root; what stands in `files` below /opt and /var/task is all there is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("opt/extensions", "var/task", "tmp", "proc"):
            (root / folder).mkdir(parents=True)
        shutil.copy2(EXECUTABLE, root / "opt/extensions/keystart")

    def start(self, arguments: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        command: list[str | Path] = [
            "unshare",
            "-m",
            "sh",
            "-c",
            _ENTER,
            "sh",
            self.root,
            "/opt/extensions/keystart",
            *arguments,
        ]
        return subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(arguments, variables)
        out, error = process.communicate(timeout=_PATIENCE)
        return process.returncode, out, error


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    if os.getuid() != 0:
        pytest.skip("an empty root needs the rights of root: run the tests as root")
    # Others must be able to go through to it.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/") and "pytest" in folder.name:
            folder.chmod(0o755)
    return Sandbox(tmp_path / "root")


@pytest.fixture
def cloud(sandbox: Sandbox, tmp_path: Path) -> Cloud:
    made = Cloud(tmp_path, latency=0.0)
    shutil.copy2(tmp_path / "authority.pem", sandbox.root / "opt/authority.pem")
    return made
