"""The clocks of the extension, which a test moves."""

from __future__ import annotations

import time
from pathlib import Path

MOVED_CLOCK = Path(__file__).with_name("moved_clock.py")


class Clock:
    """The clocks of the extension."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ahead"
        self._ahead = self._monotonic = 0.0
        self.pass_by(0)

    def pass_by(self, seconds: float, *, is_frozen: bool = False) -> None:
        """Lets that much time pass for the extension. A negative one sets its wall clock back.

        A freeze may stop the monotonic clock.
        """
        self._ahead += seconds
        if not is_frozen:
            self._monotonic += max(0.0, seconds)
        new = self.file.with_suffix(".new")
        new.write_text(f"{self._ahead} {self._monotonic}")
        new.replace(self.file)

    def now(self) -> float:
        return time.time() + self._ahead
