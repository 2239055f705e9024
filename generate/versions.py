"""The version of all packages, which Cargo.toml holds."""

from __future__ import annotations

import re
from pathlib import Path

from .contract import ContractError

_SOURCE = re.compile(r'^\[workspace\.package\]\nversion = "(.*)"$', re.MULTILINE)
# How often a file holds the version, and the text before it.
_PLACES = {
    "bindings/python/pyproject.toml": (1, r'^version = "'),
    "bindings/python/src/keystart/version.py": (1, r'^__version__ = "'),
    "bindings/node/package.json": (1, r'^  "version": "'),
    "bindings/node/src/version.mjs": (1, r"^export const version = '"),
    "bindings/node/package-lock.json": (2, r'^ +"name": "keystart",\n +"version": "'),
    "bindings/ruby/lib/keystart/version.rb": (1, r'^ *VERSION = "'),
    "extension/pyproject.toml": (2, r'^version = "|"keystart=='),
    "extension/src/keystart_extension/__init__.py": (1, r'^__version__ = "'),
    "examples/sync/requirements.txt": (1, r"^keystart-extension\[sync\]=="),
    "examples/sync/workflow.yaml": (1, r"keystart-extension\[sync\]=="),
    "examples/roll/template.yaml": (1, r'^  Version:\n +Type: String\n +Default: "'),
}


def current(root: Path) -> str:
    """Returns the version of the workspace."""
    found = _SOURCE.findall((root / "Cargo.toml").read_text())
    if len(found) != 1:
        raise ContractError("Cargo.toml has no version of the workspace")
    return str(found[0])


def outputs(root: Path) -> dict[str, str]:
    """Returns the text of each file that has the version, by its path below the root."""
    version = current(root)
    return {path: _with_version((root / path).read_text(), path, version) for path in _PLACES}


def _with_version(text: str, path: str, version: str) -> str:
    times, before = _PLACES[path]
    changed, count = re.subn(
        f"({before})[^\"'\n]*", lambda match: match[1] + version, text, flags=re.MULTILINE
    )
    if count != times:
        raise ContractError(f"{path} has {count} versions")
    return changed
