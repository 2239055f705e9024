"""Starts the extension with clocks that a test moves: python moved_clock.py FILE EXECUTABLE.

FILE holds how many seconds the wall clock is ahead, and the monotonic clock. Only Python's clocks move, and only
decisions about refreshes and logins use them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from keystart_extension.__main__ import main


def move(clock: Path) -> None:
    """Lets time.time() and time.monotonic() be as far ahead as the file says."""
    real, real_monotonic = time.time, time.monotonic

    def ahead() -> list[float]:
        return [float(seconds) for seconds in clock.read_text().split()]

    time.time = lambda: real() + ahead()[0]
    time.monotonic = lambda: real_monotonic() + ahead()[1]


def break_once(method: str) -> None:
    """Lets a method of Attempts fail at its first call, as a fault of ours would."""
    from keystart_extension.attempts import Attempts

    real = getattr(Attempts, method)

    def broken(self: Attempts, action: object) -> object:
        setattr(Attempts, method, real)
        return 1 // 0

    setattr(Attempts, method, broken)


if __name__ == "__main__":
    move(Path(sys.argv[1]))
    if "KEYSTART_TEST_BREAK_ONCE" in os.environ:
        break_once(os.environ["KEYSTART_TEST_BREAK_ONCE"])
    del sys.argv[:2]
    sys.exit(main())
