"""The command with a clock that moves when it sleeps between two changes, so that a test does not wait for the pace.

Its first argument is a file, in which it writes how many seconds it would have slept.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from keystart_extension.cli import main
from keystart_extension.deploy import update


class Clock:
    """What `update` uses of the module `time`."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def run() -> int:
    """Runs the command with the other arguments, and returns its exit code."""
    clock = Clock()
    update.time = clock  # type: ignore[assignment, attr-defined]  # an import of that module
    file = Path(sys.argv.pop(1))
    try:
        return main()
    finally:
        file.write_text(str(clock.slept))


if __name__ == "__main__":
    sys.exit(run())
