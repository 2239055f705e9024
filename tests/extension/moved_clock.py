"""Starts the extension with a wall clock that a test moves: python moved_clock.py FILE EXECUTABLE.

FILE holds how many seconds the clock is ahead. Only Python's clock moves, and only decisions about refreshes use it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from keystart_extension.__main__ import main


def move(clock: Path) -> None:
    """Lets time.time() be as far ahead as the file says."""
    real = time.time

    def moved() -> float:
        return real() + float(clock.read_text())

    time.time = moved


if __name__ == "__main__":
    move(Path(sys.argv[1]))
    del sys.argv[:2]
    sys.exit(main())
