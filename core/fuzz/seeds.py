"""Writes what the conformance cases hold as the first inputs of the fuzz targets: its argument is a folder."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from tests.conformance import store
from tests.conformance.case import load

# Longer inputs make every run slow, and add nothing except their length.
LONGEST = 4096


def main() -> None:
    """Writes one file for each different input."""
    folder = Path(sys.argv[1])
    for case in load():
        described = case.store
        if described["base"] == "good":
            made: dict[str, Any] = {"generation": 3, "secrets": {"db": "value of db\n"}, **described}
            _write(folder / "manifest", store.manifest(made))
            for value in made["secrets"].values():
                _write(folder / "json", store.content(value))
        if "state" in described:
            _write(folder / "state", store.content(described["state"]))
        name = case.ask.get("name")
        if isinstance(name, str):
            lines = "\n".join([name, *described.get("secrets", {})])
            _write(folder / "name", lines.encode(errors="replace"))


def _write(folder: Path, data: bytes) -> None:
    if len(data) <= LONGEST:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
