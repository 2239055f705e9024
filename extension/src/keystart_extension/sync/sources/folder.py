"""A folder of files: the name of an entry is the path below the folder.

It reads mounts of Kubernetes as well: there `name` is a link to `..data/name`, and names that begin with `..` are its
own. Links are followed only if they stay in the folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..error import SyncError
from ..keys import Place, text_of
from ..secret import LARGEST, Value
from . import Entry

# A FIFO would make the open wait. A link cannot be there, unless somebody has just put it there.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


def source(document: object, place: Place) -> Folder:
    """Reads `source.folder` of a sync.yaml."""
    return Folder(place.folder / text_of(document, "source.folder"))


class Folder:
    """The files below a folder."""

    def __init__(self, path: Path) -> None:
        try:
            self._path = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise SyncError(f"The folder {path} of the source cannot be read: {_why(error)}.") from None
        if not self._path.is_dir():
            raise SyncError(f"{path}, the source, is not a folder.")

    def entries(self) -> Iterator[Entry]:
        """Lists the files below the folder, except hidden ones."""
        yield from self._below(self._path)

    def _below(self, folder: Path) -> Iterator[Entry]:
        try:
            paths = [(path, _is_folder(path)) for path in sorted(folder.iterdir()) if path.name[0] != "."]
        except OSError as error:
            raise SyncError(f"{folder} of the source cannot be read: {error.strerror}.") from None
        for path, is_folder in paths:
            if is_folder:
                if not path.is_symlink():  # a link to a folder would list its files twice, or without end
                    yield from self._below(path)
            else:
                yield Entry(str(path.relative_to(self._path)))

    def read(self, entry: Entry) -> Value:
        """Reads one file, which must be a regular one inside of the folder."""
        try:
            path = (self._path / entry.name).resolve(strict=True)
            if not path.is_relative_to(self._path):
                raise SyncError("It is a link that leads out of the folder.")
            descriptor = os.open(path, _READ)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SyncError("It is not a regular file.")
                return Value.of(file.read(LARGEST + 1))
        except (OSError, RuntimeError) as error:
            raise SyncError(f"It cannot be read: {_why(error)}.") from None


def _is_folder(path: Path) -> bool:
    """Returns whether a path is a folder, or a link to one. Raises if nobody can know: the list would not be whole."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
            return False  # `read` refuses it
        raise


def _why(error: OSError | RuntimeError) -> str:
    """Returns the reason of an error. `Path.resolve` raises a RuntimeError for links in a circle before Python 3.13."""
    return os.strerror(error.errno or errno.EIO if isinstance(error, OSError) else errno.ELOOP)
