"""The C headers of both libraries, as cbindgen makes them from the sources."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .contract import ContractError

_HEADERS = {
    "reader": "core/capi/reader/include/keystart.h",
    "extension": "core/capi/extension/include/keystart_extension.h",
}


def outputs(root: Path) -> dict[str, str]:
    """Returns the text of each header by its path below the root."""
    return {path: _header(library, root) for library, path in _HEADERS.items()}


def _header(library: str, root: Path) -> str:
    command = ["cargo", "run", "--quiet", "--package", "keystart-headers", "--", library]
    ended = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        raise ContractError(f"the header of the library {library} cannot be made; the reason is above")
    return ended.stdout
