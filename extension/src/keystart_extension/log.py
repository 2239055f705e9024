"""Writes the log lines of the process: `[keystart] …` as text, or JSON lines when Lambda is set so.

The core writes them (core/store/src/log.rs), because a log that nobody reads must neither raise nor block. Not the
module `logging`: its import alone costs half of what the process may use at a cold start.
"""

from __future__ import annotations

from .core import ffi, lib, text


class Log:
    """The log on standard error. The environment decides what is written; messages hold ids and names, never values."""

    def hold(self) -> None:
        """Keeps messages until `release`, for a deed that must not wait for the log."""
        lib.keystart_log_hold(ffi.NULL)

    def release(self) -> None:
        """Writes the messages that were kept, and the following ones at once."""
        lib.keystart_log_release(ffi.NULL)

    def debug(self, message: str) -> None:
        """Logs what explains a start step by step."""
        self._write("DEBUG", message)

    def info(self, message: str) -> None:
        """Logs what went as it should."""
        self._write("INFO", message)

    def warn(self, message: str) -> None:
        """Logs what somebody should look at."""
        self._write("WARN", message)

    def error(self, message: str) -> None:
        """Logs why there are no secrets; no level hides it."""
        self._write("ERROR", message)

    def _write(self, level: str, message: str) -> None:
        lib.keystart_log_write(*text(level), *text(message), ffi.NULL)
