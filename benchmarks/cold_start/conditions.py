"""Limits the share of a CPU and the page cache of the measured processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
# A fifth of the kernel's default: with 100 ms a process that needs 10 ms of CPU would not notice a
# quota of 0.1.
PERIOD_US = 20_000
MB_OF_A_CPU = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html


class NotAppliedError(Exception):
    """This machine does not allow a condition. The text says why."""


def share_of(memory_mb: int) -> float:
    """Returns the share of a CPU that a function with this memory gets on Lambda."""
    return memory_mb / MB_OF_A_CPU


@contextmanager
def limited(share: float, cgroups: Path = CGROUPS) -> Iterator[Path]:
    """Makes a cgroup that has a share of one CPU, and yields the file that its processes are written into.

    Raises `NotAppliedError` if it cannot write cgroups, version 1 or 2. At the end all its processes must have ended.
    """
    group, files = settings(share, cgroups)
    try:
        group.mkdir()
    except OSError as why:
        raise NotAppliedError(f"cgroups cannot be written here ({why.strerror}: {group})") from None
    try:
        try:
            for name, text in files.items():
                (group / name).write_text(text)
        except OSError as why:
            raise NotAppliedError(f"no CPU quota can be set here ({why.strerror}: {why.filename})") from None
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def settings(share: float, cgroups: Path) -> tuple[Path, dict[str, str]]:
    """Returns the folder of a cgroup, and the settings for its files."""
    name, quota = f"keystart-bench-{os.getpid()}", round(share * PERIOD_US)
    if (cgroups / "cgroup.controllers").exists():
        return cgroups / name, {"cpu.max": f"{quota} {PERIOD_US}"}
    # Version 1 takes no period shorter than the quota, which is unlimited at first.
    return cgroups / "cpu" / name, {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": f"{quota}"}


def empty_page_cache() -> None:
    """Drops what no process has mapped from the page cache, as on a machine that never ran this.

    Raises `NotAppliedError` if the machine does not allow that.
    """
    os.sync()  # unwritten pages would stay
    try:
        DROP_CACHES.write_text("3")
    except OSError as why:
        raise NotAppliedError(
            f"the page cache cannot be dropped here ({why.strerror}: {DROP_CACHES})"
        ) from None
