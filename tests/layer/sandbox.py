"""The layer as Lambda unpacks it, in a root that holds nothing else.

Its executable runs there as another user who may write only to /tmp. A layer for another machine runs under qemu.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from extension.standalone.toolchain import Target
from tests.fakes.timed import TimedCloud

from .unpack import latest, unpack

PATIENCE = 30.0  # seconds; only a test that fails waits for so long
# Makes the root read-only except for a separate /tmp, in a mount namespace that ends with the process.
_ENTER = """
mount --make-rprivate / && mount --bind "$1" "$1" && mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" &&
mount -t proc proc "$1/proc" && mount -o remount,bind,ro "$1" && root="$1" && shift &&
exec chroot --userspec=65534:65534 "$root" "$@"
"""


class Layer(NamedTuple):
    """A built zip, and what Lambda unpacks of it under /opt."""

    target: Target
    zip: Path
    opt: Path
    emulator: Path | None  # runs its programs on this machine

    @property
    def executable(self) -> Path:
        return self.opt / "extensions/keystart"


def unpacked(target: Target, folder: Path) -> Layer:
    """Skips the test if the zip for another machine is missing, or if nothing here runs it."""
    path = latest(target)
    assert path or not target.is_native, "there is no layer in dist: ./dev layer"
    if path is None:
        pytest.skip(f"there is no layer for {target.name}; ./dev layer says what it needs")
    emulator = None
    if not target.is_native:
        program = shutil.which(f"qemu-{target.machine}-static")
        if program is None:
            pytest.skip(f"nothing here runs programs for {target.name}: apt-get install qemu-user-static")
        emulator = Path(program)
    return Layer(target, path, unpack(path, folder), emulator)


class Sandbox:
    """Makes the root. It holds only what `files` lists below /opt and /var/task."""

    def __init__(self, root: Path, layer: Layer) -> None:
        self.root = root
        self.program = "/opt/extensions/keystart"
        for folder in ("opt/extensions", "var/task", "tmp", "proc", "etc"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy2(layer.executable, root / "opt/extensions/keystart")
        self._emulator = []
        if layer.emulator is not None:
            shutil.copy2(layer.emulator, root / layer.emulator.name)
            self._emulator = [f"/{layer.emulator.name}"]

    def start(self, arguments: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        enter: list[str | Path] = ["unshare", "-m", "sh", "-c", _ENTER, "sh", self.root]
        return subprocess.Popen(
            [*enter, *self._emulator, self.program, *arguments],
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(arguments, variables)
        out, error = process.communicate(timeout=PATIENCE)
        return process.returncode, out, error


def open_to_others(folder: Path) -> None:
    """Lets the sandbox's user enter a folder of the tests. Skips the test without root."""
    if os.getuid() != 0:
        pytest.skip("an empty root needs the rights of root: run the tests as root")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and "pytest" in parent.name:
            parent.chmod(0o755)


class Life:
    """One start until `next`, what was published and read meanwhile, and the end at SHUTDOWN.

    `readers` are commands that run next to the extension, in its root and as its user.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        cloud: TimedCloud,
        variables: dict[str, str],
        readers: Sequence[Sequence[str]] = (),
    ) -> None:
        cloud.begin()
        address = {**cloud.variables(), "AWS_CA_BUNDLE": "/opt/authority.pem"}
        process = sandbox.start([], {**address, **variables})
        self.ready = cloud.waits(20)
        store = Path(f"/proc/{process.pid}/root/tmp/keystart/current")
        self.manifest = json.loads((store / "manifest.json").read_text()) if self.ready else {}
        folder = store / "secrets"
        self.values = {
            str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()
        }
        self.owner = folder.stat().st_uid if self.ready else -1
        enter = [
            "nsenter",
            f"--target={process.pid}",
            "--mount",
            "--root",
            "--setuid=65534",
            "--setgid=65534",
        ]
        self.read = [
            subprocess.run(
                [*enter, *reader], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ).stdout
            for reader in readers
            if self.ready
        ]
        (cloud.shut_down if self.ready else process.kill)()
        _, said = process.communicate(timeout=20)
        # The shell that makes the sandbox gets LD_PRELOAD too.
        self.said = "".join(
            line for line in said.splitlines(keepends=True) if not line.startswith("ERROR: ld.so")
        )
        self.code = process.returncode
        self.api_calls = [name for name in cloud.events if name in ("register", "next", "error")]
