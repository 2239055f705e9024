"""Makes up folders of somebody else, with every kind of file, and reports what has changed in one."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

NOBODY = 65_534
_IS_ROOT = os.geteuid() == 0
_MODES = (0o000, 0o400, 0o600, 0o644, 0o664, 0o755, 0o4755, 0o777)
_FOLDER_MODES = (0o700, 0o755, 0o775, 0o777, 0o1777, 0o2755)
# Only root may change a file's owner. Without root all files belong to this user.
OWNERS = (os.geteuid(), NOBODY) if _IS_ROOT else (os.geteuid(),)


class TreeEntry(NamedTuple):
    """One entry of a folder: its path, its kind, and what its kind needs."""

    path: str
    kind: str
    mode: int
    owner: int
    text: str


def trees(
    names: Sequence[str], texts: Sequence[str], targets: Sequence[str]
) -> st.SearchStrategy[list[TreeEntry]]:
    """Returns folders with the names at any depth. `texts` are contents of files, `targets` those of links."""
    paths = st.lists(st.sampled_from(names), min_size=1, max_size=3).map("/".join)
    kinds = ("file", "file", "folder", "folder", "link", "link", "hard link", "fifo")

    def one(kind: str) -> st.SearchStrategy[TreeEntry]:
        modes = _FOLDER_MODES if kind == "folder" else _MODES
        content = targets if kind == "link" else texts
        return st.builds(
            TreeEntry,
            paths,
            st.just(kind),
            st.sampled_from(modes),
            st.sampled_from(OWNERS),
            st.sampled_from(content),
        )

    return st.lists(st.sampled_from(kinds).flatmap(one), max_size=8)


def build(folder: Path, victim: Path, things: Sequence[TreeEntry]) -> None:
    """Makes the folder. A hard link is one to the victim, a file elsewhere. Leaves out what does not fit the rest."""
    folder.mkdir(parents=True)
    victim.write_text("somebody else's")
    modes: list[tuple[Path, int]] = []
    for made in things:
        path = folder / made.path
        ways = [way for way in path.parents if way.is_relative_to(folder)]
        if os.path.lexists(path) or any(os.path.lexists(way) and not is_folder(way) for way in ways):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, made, victim)
        if made.kind != "hard link":
            os.chown(path, made.owner, -1, follow_symlinks=False)
        if made.kind not in ("link", "hard link"):
            modes.append((path, made.mode))
    for path, mode in modes:  # last, because they may forbid the access to what lies below
        path.chmod(mode)


def is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _make(path: Path, made: TreeEntry, victim: Path) -> None:
    if made.kind == "folder":
        path.mkdir()
    elif made.kind == "link":
        path.symlink_to(made.text)
    elif made.kind == "hard link":
        path.hardlink_to(victim)
    elif made.kind == "fifo":
        os.mkfifo(path)
    else:
        with path.open("x") as file:
            file.write(made.text)


Facts = tuple[object, ...]


def facts(folder: Path, without: Collection[Path] = (), changed: Collection[Path] = ()) -> dict[str, Facts]:
    """Returns all facts about the content of a folder, except what is in `without`.

    `changed` are those whose number of names may change. For a folder, that includes its size and its time.
    """
    found: dict[str, Facts] = {}
    files = {path.lstat().st_ino for path in changed if os.path.lexists(path)}  # with all of their names
    for path in (folder, *sorted(folder.rglob("*"))):
        if path not in without:
            found[str(path)] = _facts(path, is_changed=path.lstat().st_ino in files)
    return found


def _facts(path: Path, *, is_changed: bool) -> Facts:
    status = path.lstat()
    content: object = None
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    names = None if is_changed else status.st_nlink
    time = None if is_changed and stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
    return (status.st_ino, oct(status.st_mode), status.st_uid, status.st_gid, content, names, time)
