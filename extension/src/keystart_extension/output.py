"""Writes a file that a person asked for: whole or not at all, and only in place of a regular file.

It makes the new file next to the old one and renames it. So a full disk or a crash leaves the old bytes, and so does
another name of the old file (a hard link). The new file has the old one's mode and owner.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .text import shown_path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OutputError(Exception):
    """A file cannot be written. The message says which, why, and what to do."""


def existing(path: Path) -> os.stat_result | None:
    """Returns the status of the file to replace, None if it does not exist. Raises for one that must stay."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise OutputError(f"{shown_path(str(path))} is a symbolic link. Name the file that it leads to.")
        if not stat.S_ISREG(status.st_mode):
            raise OutputError(f"{shown_path(str(path))} is not a regular file. Name another one.")
        # A rename would replace even a read-only file.
        os.close(os.open(path, _OLD))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, error) from None
    return status


def write(path: Path, text: str, old: os.stat_result | None) -> None:
    """Writes the file in place of `old`, or as a new one if that is None."""
    try:
        with _new_file(path, 0o666 if old is None else 0o600) as (descriptor, new):
            if old is not None:
                _take_over(descriptor, old)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(text.encode())
            os.fsync(descriptor)
            if old is None:
                _place(new, path)
            else:
                new.replace(path)
    except FileExistsError:
        raise OutputError(
            f"{shown_path(str(path))} was made by somebody else in the meantime. Look at it, and try again."
        ) from None
    except OSError as error:
        raise _failed(path, error) from None


@contextlib.contextmanager
def _new_file(path: Path, mode: int) -> Iterator[tuple[int, Path]]:
    """Makes a file in the same folder, and removes it at the end if it still has its name."""
    new = path.with_name(f".keystart-{os.urandom(8).hex()}")
    descriptor = os.open(new, _NEW, mode)
    try:
        yield descriptor, new
    finally:
        os.close(descriptor)
        new.unlink(missing_ok=True)


def _take_over(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _place(new: Path, path: Path) -> None:
    """Links the file to its name, unless that exists: a rename would replace the other file."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        new.rename(path)


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{shown_path(str(path))} cannot be written: {error.strerror}.")
