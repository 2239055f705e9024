"""Keeps the links that functions written for Square's extension read: `<SecretsHome>/<file>` to the published secret.

Nothing is followed on the way: a link planted in the folder would carry ours elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from .plan import Link, Plan

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkRefused(Exception):
    """A link cannot be made or removed; the message says which, why, and the cure."""


class _NoFolder(LinkRefused):
    """What lies on the way is no folder, so that nothing of ours can lie below it."""


def make(plan: Plan, root: str) -> None:
    """Makes every link of the plan, or raises; a link that is there is replaced, a file is not."""
    for link, path in _paths(plan):
        try:
            with _folder(path.parent, missing_too=True) as folder:
                _replace(folder, path, _target(root, link))
        except OSError as error:
            raise LinkRefused(f"The link {path} cannot be made: {error.strerror}.") from None


def remove(plan: Plan, root: str) -> None:
    """Removes the links that lead to secrets of this store; what leads elsewhere, or is no link, is left alone."""
    for link, path in _paths(plan):
        try:
            with _folder(path.parent) as folder:
                if _read_link(folder, path.name) == _target(root, link):
                    os.unlink(path.name, dir_fd=folder)
        except (FileNotFoundError, _NoFolder):
            continue
        except OSError as error:
            raise LinkRefused(f"The link {path} cannot be removed: {error.strerror}.") from None


def _paths(plan: Plan) -> Iterator[tuple[Link, PurePosixPath]]:
    if plan.links_home is not None:
        for link in plan.links:
            yield link, PurePosixPath(plan.links_home, link.path)


def _target(root: str, link: Link) -> str:
    return f"{root}/current/secrets/{link.name}"


@contextlib.contextmanager
def _folder(path: PurePosixPath, *, missing_too: bool = False) -> Iterator[int]:
    """Opens a folder, and makes it 0700 when it may be missing."""
    folder = os.open("/", _FOLDER)
    try:
        walked = PurePosixPath("/")
        for part in path.parts[1:]:
            walked /= part
            if missing_too:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=folder)
            try:
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise _NoFolder(f"{walked} is not a folder, or is a symbolic link. Remove it.") from None
                raise
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _replace(folder: int, path: PurePosixPath, target: str) -> None:
    if _read_link(folder, path.name) == "":
        raise LinkRefused(f"{path} is in the way of the link to a secret. Remove it.")
    temporary = f".keystart-{os.getpid()}"
    # A process with this number may have been killed between the two steps.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    os.symlink(target, temporary, dir_fd=folder)
    os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def _read_link(folder: int, name: str) -> str | None:
    """Gives where a link leads; "" for what is no link, None for what is not there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return ""
        raise
