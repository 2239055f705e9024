"""Places built files in dist/, by exact names. Everything else there stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from .toolchain import ROOT, BuildError

DIST = ROOT / "dist"


def release() -> str:
    """Returns the version number, which all packages share."""
    found = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("Cargo.toml has no version")
    return found[1]


def check(folder: Path, names: Iterable[str]) -> list[Path]:
    """Returns what an earlier build placed under these names. Refuses a name that is not such a file."""
    _check_folder(folder)
    found = [folder / name for name in names if os.path.lexists(folder / name)]
    for path in found:
        _check_file(path)
    return found


def clear(folder: Path, names: Iterable[str]) -> None:
    """Removes what an earlier build placed: no file is better than one from other sources."""
    for path in check(folder, names):
        path.unlink()


def place(file: Path, folder: Path) -> Path:
    """Places a file whole in the folder, under its own name."""
    _check_folder(folder)
    folder.mkdir(exist_ok=True)
    path = folder / file.name
    if os.path.lexists(path):
        _check_file(path)
    whole = folder / f".keystart-{os.urandom(8).hex()}"
    try:
        with whole.open("xb") as new, file.open("rb") as old:
            shutil.copyfileobj(old, new)
        whole.replace(path)
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        whole.unlink(missing_ok=True)
    return path


def _check_folder(folder: Path) -> None:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise BuildError(f"{folder} is a link or no folder. Move it away: the build makes a folder.")
    if status.st_uid not in (0, os.geteuid(), ROOT.stat().st_uid):
        raise BuildError(f"{folder} belongs to another user. Move it away: the build makes a folder.")


def _check_file(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BuildError(
            f"{path} is in the way of what is built, and is not a file of an earlier build. Move it away."
        )
