"""Keeps the links that functions written for Square's extension read: `<SecretsHome>/<file>` to the published secret.

Nothing is followed on the way: a link planted in the folder would carry ours elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from .plan import Plan

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkRefused(Exception):
    """A link cannot be made; the message says which, and the cure."""


def make(plan: Plan, root: str) -> None:
    """Makes every link of the plan, or raises; a link that is there is replaced, a file is not."""
    if plan.links_home is None:
        return
    for link in plan.links:
        path = PurePosixPath(plan.links_home, link.path)
        with _folder(plan.links_home, PurePosixPath(link.path).parent) as folder:
            _replace(folder, path, f"{root}/current/secrets/{link.name}")


def remove(plan: Plan) -> None:
    """Removes the plan's links at the end; what is no link is left alone."""
    if plan.links_home is None:
        return
    for link in plan.links:
        path = PurePosixPath(link.path)
        with contextlib.suppress(FileNotFoundError), _folder(plan.links_home, path.parent) as folder:
            if _is_link_or_free(folder, path.name):
                os.unlink(path.name, dir_fd=folder)


@contextlib.contextmanager
def _folder(home: str, below: PurePosixPath) -> Iterator[int]:
    """Opens a folder below the home, making what is missing 0700."""
    folder = os.open("/", _FOLDER)
    try:
        walked = "/"
        for part in (*PurePosixPath(home).parts[1:], *below.parts):
            walked = f"{walked.rstrip('/')}/{part}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=folder)
            try:
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except OSError:
                raise LinkRefused(f"{walked} is not a folder, or is a symbolic link. Remove it.") from None
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _replace(folder: int, path: PurePosixPath, target: str) -> None:
    if not _is_link_or_free(folder, path.name):
        raise LinkRefused(f"{path} is in the way of the link to a secret. Remove it.")
    temporary = f".{path.name}.{os.getpid()}"
    os.symlink(target, temporary, dir_fd=folder)
    os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_link_or_free(folder: int, name: str) -> bool:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISLNK(mode)
