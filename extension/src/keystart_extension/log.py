"""Writes the log lines of the process: `[keystart] …` as text, or JSON lines when Lambda is set so.

Not the module `logging`: its import alone costs half of what the process may use at a cold start.
"""

from __future__ import annotations

import sys

from .fetched import wall_clock

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


class Log:
    """A log on standard error; `level` is the lowest that is written. Messages hold ids and names, never values."""

    def __init__(self, level: str = "INFO", *, as_json: bool = False) -> None:
        self._lowest = LEVELS.index(level)
        self._as_json: Callable[[object], str] | None = None
        if as_json:
            import json  # only here, because it takes 3 ms of a start

            self._as_json = json.dumps

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Log:
        """Reads KEYSTART_LOG_LEVEL, else AWS_LAMBDA_LOG_LEVEL, and AWS_LAMBDA_LOG_FORMAT."""
        variable = "KEYSTART_LOG_LEVEL" if environ.get("KEYSTART_LOG_LEVEL") else "AWS_LAMBDA_LOG_LEVEL"
        wanted = (environ.get(variable) or "INFO").upper()
        known = wanted in LEVELS
        log = cls(wanted if known else "INFO", as_json=environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON")
        if not known:
            log.warn(f"{variable} must be one of {', '.join(LEVELS)}; INFO is used.")
        return log

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
        if self._as_json is not None:
            record = {"timestamp": wall_clock(), "level": level, "logger": "keystart", "message": message}
            text = self._as_json(record)
        else:
            text = "\n".join(f"[keystart] {level:5} {line}" for line in message.splitlines())
        # One write for one line: the stream is shared with the function and other extensions.
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
