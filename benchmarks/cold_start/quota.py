"""Gives a process a share of a CPU, as Lambda does by memory, through a control group of either version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds: the kernel's own


class NotApplied(Exception):
    """There is no control group that can be written to; the text says why."""


@contextmanager
def share(of_a_cpu: float) -> Iterator[Path]:
    """Makes a group with this share and gives the file that a process enters it by."""
    quota = int(of_a_cpu * _PERIOD)
    first = (_GROUPS / "cpu").is_dir()
    folder = _GROUPS / ("cpu" if first else "") / f"keystart-bench-{os.getpid()}"
    try:
        folder.mkdir()
        if first:
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD}")
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        raise NotApplied(f"{folder}: {error.strerror}") from None
    try:
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


def drop_caches() -> None:
    """Empties the page cache, as it is on a machine that has not started this function before."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise NotApplied(f"/proc/sys/vm/drop_caches: {error.strerror}") from None
