"""Starts the extension with clocks that a test moves: python moved_clock.py FILE EXECUTABLE.

FILE holds how many seconds the clocks are ahead. Only Python's clocks move, and only decisions about refreshes and
logins use them. The monotonic clock never runs backwards.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from keystart_extension.__main__ import main


def move(clock: Path) -> None:
    """Lets time.time() and time.monotonic() be as far ahead as the file says."""
    real, real_monotonic = time.time, time.monotonic
    furthest = 0.0

    def moved() -> float:
        return real() + float(clock.read_text())

    def moved_monotonic() -> float:
        nonlocal furthest
        furthest = max(furthest, float(clock.read_text()))
        return real_monotonic() + furthest

    time.time, time.monotonic = moved, moved_monotonic


if __name__ == "__main__":
    move(Path(sys.argv[1]))
    del sys.argv[:2]
    sys.exit(main())
