"""Small file systems, mounted where no other process sees them. They need root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


class Mount:
    """A mount namespace that a process holds. Its mounts end with the process."""

    def __init__(self, folder: Path, holder: int) -> None:
        self._folder, self._holder = folder, holder
        # The folder as that namespace sees it.
        self.path = Path(f"/proc/{holder}/root{folder}")

    def remount(self, options: str) -> None:
        """Changes the mount at the folder."""
        inside = ["nsenter", "--mount", "--root", f"--target={self._holder}"]
        subprocess.run([*inside, "mount", "-o", f"remount,{options}", str(self._folder)], check=True)


@contextmanager
def mounted(folder: Path, arguments: str) -> Iterator[Mount]:
    """Mounts something at the folder, where no other process sees it: `mount ARGUMENTS FOLDER`."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    script = 'mount $1 "$2" && echo mounted && exec cat'
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", arguments, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert holder.stdout
        said = holder.stdout.readline().decode().strip()
        if said != "mounted":
            pytest.skip(f"this machine does not let root mount a file system: {said}")
        yield Mount(folder, holder.pid)
    finally:
        holder.communicate()


class Disk:
    """A file system of one mebibyte and two hundred files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @staticmethod
    @contextmanager
    def make(folder: Path) -> Iterator[Disk]:
        """Mounts it at the folder."""
        with mounted(folder, "-t tmpfs -o size=1m,nr_inodes=200 tmpfs") as mount:
            yield Disk(mount.path)

    def fill(self, pages: int | None = None, files: int | None = None) -> None:
        """Leaves room for that many pages and files. None: all, except those of the filler."""
        self._filler.mkdir()
        if pages is not None:
            with (self._filler / "pages").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, (os.statvfs(self.path).f_bavail - pages) * PAGE)
        if files is not None:
            for number in range(os.statvfs(self.path).f_favail - files):
                (self._filler / str(number)).touch()

    def make_room(self) -> None:
        """Removes the filler."""
        for file in self._filler.iterdir():
            file.unlink()
        self._filler.rmdir()
