"""Makes the links that functions written for Square's extension read: `<SecretsHome>/<file>` to the published secret.

A link is this store's if this user owns it and it leads to a secret of this store. Anything else in its place stays.
The module follows no link on the way: a link planted in the folder would lead its writes elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from .text import is_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_Identity = tuple[int, int]
_Look = Callable[[PurePosixPath, os.stat_result], None]
_Folders = list[tuple[PurePosixPath, _Identity]]


class LinkError(Exception):
    """A link cannot be made or removed. The message says which, why, and what to do."""


class _NoFolderError(LinkError):
    """A part of the path is not a folder, so none of our links can lie below it."""


class Links:
    """The links of one start, and the folders made for them.

    Each of the `links` has two members: the `name` of the secret, and the `path` below the folder `home`.
    """

    def __init__(self, home: str, links: Iterable[Mapping[str, str]], root: str) -> None:
        folder = PurePosixPath(home)
        self._root = root
        self._secrets = f"{root}/current/secrets/"
        self._wanted = [(folder / link["path"], self._secrets + link["name"]) for link in links]
        self._folders: _Folders = []

    def make(self) -> None:
        """Makes every link or none: it checks all places first, and removes what it made if a later one fails."""
        look = _look_within(self._root)
        for path, _ in self._wanted:
            self._check(path, look)
        try:
            for path, target in self._wanted:
                self._make(path, target, look)
        except LinkError:
            with contextlib.suppress(LinkError):  # the first error says what to do
                self.remove()
            raise

    def remove(self) -> None:
        """Removes the links, and the empty folders made for them. It raises a failure only after it has tried all."""
        refused = []
        for path, target in self._wanted:
            try:
                _remove_link(path, target)
            except LinkError as error:
                refused.append(str(error))
        while self._folders:
            try:
                _remove_folder(*self._folders.pop())
            except LinkError as error:
                refused.append(str(error))
        if refused:
            raise LinkError(" ".join(refused))

    def _check(self, path: PurePosixPath, look: _Look) -> None:
        try:
            with _folder(path.parent, look) as folder:
                self._find(folder, path)
        except FileNotFoundError:
            return  # the folder does not exist yet
        except OSError as error:
            raise _failed(path, "made", error) from None

    def _make(self, path: PurePosixPath, target: str, look: _Look) -> None:
        try:
            with _folder(path.parent, look, self._folders) as folder:
                found = self._find(folder, path)
                if found == target:
                    return
                if found is not None:
                    os.unlink(path.name, dir_fd=folder)  # another configuration made it
                os.symlink(target, path.name, dir_fd=folder)  # fails if something else is there by now
        except OSError as error:
            raise _failed(path, "made", error) from None

    def _find(self, folder: int, path: PurePosixPath) -> str | None:
        """Returns the target of this store's link, or None if nothing is there. Raises for anything else."""
        try:
            target = _own_link(folder, path.name)
        except FileNotFoundError:
            return None
        if (
            target is None
            or not target.startswith(self._secrets)
            or not is_name(target[len(self._secrets) :])
        ):
            raise LinkError(
                f"{path} is in the way of the link to a secret. Move it away, or choose another SecretsHome."
            )
        return target


def _remove_link(path: PurePosixPath, target: str) -> None:
    try:
        with _folder(path.parent) as folder:
            if _own_link(folder, path.name) == target:
                os.unlink(path.name, dir_fd=folder)
    except (FileNotFoundError, _NoFolderError):
        return
    except OSError as error:
        raise _failed(path, "removed", error) from None


def _remove_folder(path: PurePosixPath, identity: _Identity) -> None:
    try:
        with _folder(path.parent) as folder:
            if _identity(os.stat(path.name, dir_fd=folder, follow_symlinks=False)) == identity:
                os.rmdir(path.name, dir_fd=folder)
    except (FileNotFoundError, _NoFolderError):
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise LinkError(f"The folder {path} cannot be removed: {error.strerror}.") from None


def _failed(path: PurePosixPath, what: str, error: OSError) -> LinkError:
    return LinkError(f"The link {path} cannot be {what}: {error.strerror}.")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _own_link(folder: int, name: str) -> str | None:
    """Returns the target of a link of this user; None for anything else."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
        return None
    return os.readlink(name, dir_fd=folder)


def _look_within(root: str) -> _Look:
    """Returns a check for folders. It refuses the store's folder, and one in which others could replace a link."""
    store = _identity(Path(root).stat()) if Path(root).exists() else None

    def look(path: PurePosixPath, status: os.stat_result) -> None:
        if status.st_uid not in (0, os.geteuid()):
            raise LinkError(f"{path} belongs to another user. Choose another SecretsHome.")
        if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
            raise LinkError(
                f"Others may write to {path}, and so exchange the links. Run chmod go-w {path}, or choose another "
                "SecretsHome."
            )
        if _identity(status) == store:
            raise LinkError(f"{path} is the store itself. Choose another SecretsHome.")

    return look


@contextlib.contextmanager
def _folder(path: PurePosixPath, look: _Look | None = None, made: _Folders | None = None) -> Iterator[int]:
    """Opens a folder. `look` may refuse each one on the way. With `made`, it makes missing ones 0700 and notes them."""
    folder = os.open("/", _FOLDER)
    try:
        walked = PurePosixPath("/")
        for part in path.parts[1:]:
            walked /= part
            inner, is_new = _open(part, folder, walked, make=made is not None)
            os.close(folder)
            folder = inner
            status = os.fstat(folder)
            if is_new and made is not None:
                made.append((walked, _identity(status)))
            if look is not None:
                look(walked, status)
        yield folder
    finally:
        os.close(folder)


def _open(name: str, folder: int, path: PurePosixPath, *, make: bool) -> tuple[int, bool]:
    """Opens the folder of that name, and returns whether it made it."""
    is_new = False
    try:
        try:
            return os.open(name, _FOLDER, dir_fd=folder), False
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                _make_folder(name, folder)
                is_new = True
            return os.open(name, _FOLDER, dir_fd=folder), is_new
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise _NoFolderError(
                f"{path} is not a folder, or is a symbolic link. Move it away, or choose another SecretsHome."
            ) from None
        raise


def _make_folder(name: str, folder: int) -> None:
    # The caller's umask could remove our rights. What another thread makes meanwhile is at least as closed.
    umask = os.umask(0o077)
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    finally:
        os.umask(umask)
