"""Checks the extension's system calls: Lambda's kernels are 5.10 and 6.1, this machine's is newer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.timed import TimedCloud

from .sandbox import Layer

# Since 5.0 every architecture has the same numbers. The last one of 5.10 is that of process_madvise.
LAST_OF_5_10 = 440
NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def calls(executable: Path, folder: Path, *injected: str) -> dict[str, int]:
    """Returns the system calls of a life of the extension, from its start to SHUTDOWN, with their numbers."""
    cloud = TimedCloud(folder)
    (folder / "keystart.yaml").write_text(
        "version: 1\nsecrets: {db: prod/db}\n"
    )  # the longest way: Python reads it
    variables = {
        **cloud.variables(),
        "KEYSTART_CONFIG": str(folder / "keystart.yaml"),
        "KEYSTART_DIR": str(folder / "store"),
    }
    strace: Sequence[str | Path] = ["strace", "-f", "-c", "-o", folder / "calls", *injected]
    process = subprocess.Popen([*strace, executable], env=variables, stderr=subprocess.PIPE, text=True)
    assert cloud.waits(20)
    cloud.shut_down()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    made = [line.split()[-1] for line in (folder / "calls").read_text().splitlines()[2:-2]]
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", NUMBERS.read_text()))
    return {name: int(numbers[name]) for name in made}


def test_no_call_is_newer_than_the_kernels_of_lambda(native: Layer, tmp_path: Path) -> None:
    made = calls(native.executable, tmp_path)
    # The trace is not empty. futex is left out: whether a thread waits for another is chance.
    assert {"execve", "openat", "renameat", "connect", "eventfd2"} <= made.keys()
    assert {name for name, number in made.items() if number > LAST_OF_5_10} == set()


def test_the_newest_of_them_are_not_needed(native: Layer, tmp_path: Path) -> None:
    newer = "clone3,rseq,statx"
    made = calls(native.executable, tmp_path, f"--inject={newer}:error=ENOSYS")
    assert {"clone3", "clone", "statx"} <= made.keys()  # refused, and then done in the old way
