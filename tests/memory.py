"""Searches the memory of a process."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path


def copies(pid: int, wanted: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Returns the writable mappings in which each of the texts lies."""
    found: dict[str, list[str]] = {name: [] for name in wanted}
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            place, modes, *rest = line.split(maxsplit=5)
            if "w" not in modes or "r" not in modes:
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            try:
                content = os.pread(memory.fileno(), end - start, start)
            except OSError as error:
                if error.errno == errno.EIO:  # a thread has ended since, and its stack is unmapped
                    continue
                raise
            for name, text in wanted.items():
                found[name] += [f"{rest[-1]} {place}"] * content.count(text)
    return found
