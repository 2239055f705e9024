"""Puts a new version into the files that hold it, into lock files, and into names of files in pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from generate import versions

from .errors import ReleaseError

_FORM = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
_LOCKS = ("Cargo.lock", "core/fuzz/Cargo.lock")
# Files that users name on their command line, with the version inside.
_PAGES = ("*.md", "examples/container/*.Dockerfile")


def current(root: Path) -> str:
    """Returns the version of the workspace."""
    found = re.search(r'^\[workspace\.package\]\nversion = "(.*)"$', (root / "Cargo.toml").read_text(), re.M)
    if found is None:
        raise ReleaseError("Cargo.toml has no version of the workspace")
    return found[1]


def check(old: str, new: str) -> None:
    """Refuses a version that is not of the form 1.2.3, or older than the current one."""
    if not _FORM.fullmatch(new):
        raise ReleaseError(f"{new} is not a version like 1.2.3")
    if _numbers(new) < _numbers(old):
        raise ReleaseError(f"{new} is older than {old}, which the checkout has")


def bump(root: Path, new: str) -> list[str]:
    """Writes the version wherever it is, and returns the changed files by their paths below the root."""
    old = current(root)
    check(old, new)
    changed: dict[str, str] = {}
    cargo = (root / "Cargo.toml").read_text()
    changed["Cargo.toml"] = cargo.replace(
        f'[workspace.package]\nversion = "{old}"', f'[workspace.package]\nversion = "{new}"'
    )
    for lock in _LOCKS:
        changed[lock] = _in_lock((root / lock).read_text(), old, new)
    for page in _tracked(root, *_PAGES):
        changed[page] = in_file_names((root / page).read_text(), old, new)
    written = _write(root, changed)
    return written + _write(root, versions.outputs(root))


def in_file_names(text: str, old: str, new: str) -> str:
    """Returns a page with the new version in the names of packages and layers."""
    return re.sub(rf"(keystart(?:-layer|_extension)?-){re.escape(old)}\b", lambda match: match[1] + new, text)


def _in_lock(text: str, old: str, new: str) -> str:
    # Crates of this workspace have no source.
    mine = rf'(name = "keystart-[a-z-]+"\nversion = "){re.escape(old)}("\n(?!source))'
    return re.sub(mine, lambda match: match[1] + new + match[2], text)


def _write(root: Path, texts: Mapping[str, str]) -> list[str]:
    changed = [path for path, text in texts.items() if (root / path).read_text() != text]
    for path in changed:
        (root / path).write_text(texts[path])
    return changed


def _tracked(root: Path, *patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=root, capture_output=True, text=True)
    if listed.returncode != 0:
        raise ReleaseError(f"git ls-files failed: {listed.stderr.strip()}")
    return [path for path in listed.stdout.splitlines() if path != "CHANGELOG.md"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
