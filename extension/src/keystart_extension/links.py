"""Makes the links that functions written for Square's extension read: `<SecretsHome>/<file>` to the published secret.

A link is this store's if this user owns it and it leads to a secret of this store. Anything else in its place stays.
The module follows no link on the way: a link planted in the folder would lead its writes elsewhere.

A start waits for this module, so paths are texts, and it loads nothing that the process has not loaded.
"""

from __future__ import annotations

import errno
import posix
import stat

from .text import is_name

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable

    Identity = tuple[int, int]

_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class LinkError(Exception):
    """A link cannot be made or removed. The message says which, why, and what to do."""


class _NoFolderError(LinkError):
    """A part of the path is not a folder, so none of our links can lie below it."""


class Links:
    """The links of one start, and the folders made for them.

    Each of the `links` is an absolute path and the name of a secret.
    """

    def __init__(self, links: Iterable[tuple[str, str]], root: str) -> None:
        self._root = root
        self._secrets = f"{root}/current/secrets/"
        self._wanted = [("/" + "/".join(_parts(path)), self._secrets + name) for path, name in links]
        self._folders: list[tuple[str, Identity]] = []
        self._made: list[tuple[str, str, str | None]] = []  # path, target, and the target before

    def check(self) -> None:
        """Raises for a place where no link can be made. It changes nothing."""
        guard = _Guard(self._root)
        for path, _ in self._wanted:
            self._check(path, guard)

    def make(self) -> None:
        """Makes every link or none: it checks all places first, and undoes what it did if a later one fails."""
        self.check()
        guard = _Guard(self._root)
        try:
            for path, target in self._wanted:
                self._make(path, target, guard)
        except LinkError as first:
            try:
                self.restore()
            except LinkError:
                raise first from None  # the first error says what to do
            raise

    def restore(self) -> None:
        """Undoes what `make` did. It raises a failure only after it has tried all."""
        made, self._made = self._made[::-1], []
        self._remove((path, target, before) for path, target, before in made)

    def remove(self) -> None:
        """Removes the links, and the empty folders made for them. It raises a failure only after it has tried all."""
        self._made = []
        self._remove((path, target, None) for path, target in self._wanted)

    def _remove(self, links: Iterable[tuple[str, str, str | None]]) -> None:
        refused = []
        for path, target, before in links:
            try:
                _remove_link(path, target, before)
            except LinkError as error:
                refused.append(str(error))
        while self._folders:
            try:
                _remove_folder(*self._folders.pop())
            except LinkError as error:
                refused.append(str(error))
        if refused:
            raise LinkError(" ".join(refused))

    def _check(self, path: str, guard: _Guard) -> None:
        try:
            with _Parent(path, guard) as folder:
                self._find(folder, path)
        except FileNotFoundError:
            return  # the folder does not exist yet
        except OSError as error:
            raise _failed(path, "made", error) from None

    def _make(self, path: str, target: str, guard: _Guard) -> None:
        name = _name(path)
        try:
            with _Parent(path, guard, self._folders) as folder:
                found = self._find(folder, path)
                if found == target:
                    return
                if found is not None:
                    posix.unlink(name, dir_fd=folder)  # another configuration made it
                self._made.append((path, target, found))
                posix.symlink(target, name, dir_fd=folder)  # fails if something else is there by now
        except OSError as error:
            raise _failed(path, "made", error) from None

    def _find(self, folder: int, path: str) -> str | None:
        """Returns the target of this store's link, or None if nothing is there. Raises for anything else."""
        try:
            target = _own_link(folder, _name(path))
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


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _remove_link(path: str, target: str, before: str | None) -> None:
    """Removes a link to the target, and puts back the one `before`."""
    name = _name(path)
    try:
        with _Parent(path) as folder:
            if _own_link(folder, name) == target:
                posix.unlink(name, dir_fd=folder)
                if before is not None:
                    posix.symlink(before, name, dir_fd=folder)
    except (FileNotFoundError, _NoFolderError):
        return
    except OSError as error:
        raise _failed(path, "removed", error) from None


def _remove_folder(path: str, identity: Identity) -> None:
    name = _name(path)
    try:
        with _Parent(path) as folder:
            if _identity(posix.stat(name, dir_fd=folder, follow_symlinks=False)) == identity:
                posix.rmdir(name, dir_fd=folder)
    except (FileNotFoundError, _NoFolderError):
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise LinkError(f"The folder {path} cannot be removed: {error.strerror}.") from None


def _failed(path: str, what: str, error: OSError) -> LinkError:
    return LinkError(f"The link {path} cannot be {what}: {error.strerror}.")


def _identity(status: posix.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _own_link(folder: int, name: str) -> str | None:
    """Returns the target of a link of this user; None for anything else."""
    status = posix.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode) or status.st_uid != posix.geteuid():
        return None
    return posix.readlink(name, dir_fd=folder)


class _Guard:
    """A check for folders. It refuses the store's folder, and one in which others could replace a link."""

    def __init__(self, root: str) -> None:
        try:
            self._store: Identity | None = _identity(posix.stat(root))
        except FileNotFoundError:
            self._store = None

    def check(self, path: str, status: posix.stat_result) -> None:
        if status.st_uid not in (0, posix.geteuid()):
            raise LinkError(f"{path} belongs to another user. Choose another SecretsHome.")
        if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
            raise LinkError(
                f"Others may write to {path}, and so exchange the links. Run chmod go-w {path}, or choose another "
                "SecretsHome."
            )
        if _identity(status) == self._store:
            raise LinkError(f"{path} is the store itself. Choose another SecretsHome.")


class _Parent:
    """The open folder that holds a path.

    The `guard` may refuse each folder on the way. With `made`, it makes missing ones 0700 and notes them.
    """

    def __init__(
        self, path: str, guard: _Guard | None = None, made: list[tuple[str, Identity]] | None = None
    ) -> None:
        self._parts = _parts(path)[:-1]
        self._guard = guard
        self._made = made

    def __enter__(self) -> int:
        self._folder = posix.open("/", _FOLDER)
        try:
            path = ""
            for part in self._parts:
                path += f"/{part}"
                self._enter(part, path)
        except BaseException:
            posix.close(self._folder)
            raise
        return self._folder

    def __exit__(self, *_: object) -> None:
        posix.close(self._folder)

    def _enter(self, name: str, path: str) -> None:
        outer = self._folder
        self._folder, is_new = _open(name, outer, path, make=self._made is not None)
        posix.close(outer)
        status = posix.fstat(self._folder)
        if is_new and self._made is not None:
            self._made.append((path, _identity(status)))
        if self._guard is not None:
            self._guard.check(path, status)


def _open(name: str, folder: int, path: str, *, make: bool) -> tuple[int, bool]:
    """Opens the folder of that name, and returns whether it made it."""
    try:
        try:
            return posix.open(name, _FOLDER, dir_fd=folder), False
        except FileNotFoundError:
            if not make:
                raise
            try:
                _make_folder(name, folder)
                is_new = True
            except FileExistsError:
                is_new = False  # somebody else has made it
            return posix.open(name, _FOLDER, dir_fd=folder), is_new
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise _NoFolderError(
                f"{path} is not a folder, or is a symbolic link. Move it away, or choose another SecretsHome."
            ) from None
        raise


def _make_folder(name: str, folder: int) -> None:
    # The caller's umask could remove our rights. What another thread makes meanwhile is at least as closed.
    umask = posix.umask(0o077)
    try:
        posix.mkdir(name, 0o700, dir_fd=folder)
    finally:
        posix.umask(umask)
