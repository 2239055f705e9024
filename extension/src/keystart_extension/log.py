"""Writes the log lines of the process: `[keystart] …` as text, or JSON lines when Lambda is set so.

The core writes them (core/store/src/log.rs), because a log that nobody reads must neither raise nor block. Not the
module `logging`: its import alone costs half of what the process may use at a cold start.
"""

from __future__ import annotations

from .core import ffi, lib, text

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


class Log:
    """A log on standard error; `level` is the lowest that is written. Messages hold ids and names, never values."""

    def __init__(self, level: str = "INFO", *, as_json: bool = False) -> None:
        self._lowest = LEVELS.index(level)
        self._as_json = as_json
        self._held: list[tuple[str, str]] | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, held: bool = False) -> Log:
        """Reads KEYSTART_LOG_LEVEL, else AWS_LAMBDA_LOG_LEVEL, and AWS_LAMBDA_LOG_FORMAT."""
        variable = "KEYSTART_LOG_LEVEL" if environ.get("KEYSTART_LOG_LEVEL") else "AWS_LAMBDA_LOG_LEVEL"
        wanted = (environ.get(variable) or "INFO").upper()
        known = wanted in LEVELS
        log = cls(wanted if known else "INFO", as_json=environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON")
        if held:
            log.hold()
        if not known:
            log.warn(f"{variable} must be one of {', '.join(LEVELS)}; INFO is used.")
        return log

    def hold(self) -> None:
        """Keeps lines until `release`, for a deed that must not wait for the log."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Writes the lines that were kept, and the following ones at once."""
        held, self._held = self._held or [], None
        for level, message in held:
            self._write(level, message)

    def debug(self, message: str) -> None:
        self._write("DEBUG", message)

    def info(self, message: str) -> None:
        self._write("INFO", message)

    def warn(self, message: str) -> None:
        self._write("WARN", message)

    def error(self, message: str) -> None:
        self._write("ERROR", message)

    def _write(self, level: str, message: str) -> None:
        if LEVELS.index(level) < self._lowest:
            return
        if self._held is not None:
            self._held.append((level, message))
        else:
            lib.keystart_log_write(*text(level), *text(message), int(self._as_json), ffi.NULL)
