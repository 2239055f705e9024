"""Writes the log lines of the process: `[keystart] …` as text, or JSON lines if Lambda is configured so.

The core writes them (core/store/src/log.rs), because a log that nobody reads must neither raise nor block. The module
`logging` is not used: its import alone costs half of what the process may use at a cold start.
"""

from __future__ import annotations

from . import core
from .core import ffi, lib, text

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class Log:
    """The log on standard error. The environment sets its level. Messages hold ids and names, never values.

    Members are words and numbers for programs. Only a line in JSON has them (docs/monitoring.md lists them).
    """

    def __init__(self) -> None:
        out = ffi.new("uint32_t *")
        core.call(lib.keystart_log_is_json, out)
        self.is_json = bool(out[0])

    def hold(self) -> None:
        """Keeps messages until `release`, for work that must not wait for the log."""
        lib.keystart_log_hold(ffi.NULL)

    def release(self) -> None:
        """Writes the kept messages, and from now on every message at once."""
        lib.keystart_log_release(ffi.NULL)

    def debug(self, message: str, **members: str | int) -> None:
        """Logs a step of a start."""
        self._write("DEBUG", message, members)

    def info(self, message: str, **members: str | int) -> None:
        """Logs a success."""
        self._write("INFO", message, members)

    def warn(self, message: str, **members: str | int) -> None:
        """Logs what somebody should look at."""
        self._write("WARN", message, members)

    def error(self, message: str, **members: str | int) -> None:
        """Logs why there are no secrets; no level hides it."""
        self._write("ERROR", message, members)

    def _write(self, level: str, message: str, members: dict[str, str | int]) -> None:
        listed = ffi.new("keystart_log_member[]", len(members) if self.is_json else 0)
        kept: list[Any] = []  # cffi frees a text with its last reference
        for place, (name, value) in zip(listed, members.items(), strict=False):
            kept.append(ffi.from_buffer("uint8_t[]", text(name)[0]))
            place.name, place.name_len = kept[-1], len(kept[-1])
            if isinstance(value, int):
                place.number = value
            else:
                kept.append(ffi.from_buffer("uint8_t[]", text(value)[0]))
                place.text, place.text_len = kept[-1], len(kept[-1])
        lib.keystart_log_write(*text(level), *text(message), listed, len(listed), ffi.NULL)
