"""Writes the log lines of the process: `[keystart] …` as text, or JSON lines if Lambda is configured so.

The core writes them (core/store/src/log.rs), because a log that nobody reads must neither raise nor block. The module
`logging` is not used: its import alone costs half of what the process may use at a cold start.
"""

from __future__ import annotations

from .core import ffi, lib, text


class Log:
    """The log on standard error. The environment sets its level. Messages hold ids and names, never values."""

    def hold(self) -> None:
        """Keeps messages until `release`, for work that must not wait for the log."""
        lib.keystart_log_hold(ffi.NULL)

    def release(self) -> None:
        """Writes the kept messages, and from now on every message at once."""
        lib.keystart_log_release(ffi.NULL)

    def debug(self, message: str) -> None:
        """Logs a step of a start."""
        self._write("DEBUG", message)

    def info(self, message: str) -> None:
        """Logs a success."""
        self._write("INFO", message)

    def warn(self, message: str) -> None:
        """Logs what somebody should look at."""
        self._write("WARN", message)

    def error(self, message: str) -> None:
        """Logs why there are no secrets; no level hides it."""
        self._write("ERROR", message)

    def _write(self, level: str, message: str) -> None:
        lib.keystart_log_write(*text(level), *text(message), ffi.NULL)
