"""The extension of this process, which the core has begun: registers, fetches, and waits for the next event."""

from __future__ import annotations

from . import core
from .core import ffi, lib, text
from .fetch import Fetch
from .store import Writer

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class Event:
    """An event from the core. Its `kind` is one of the header's, which says what the other members mean."""

    def __init__(self, kind: int, number: int, name: str, text: str) -> None:
        self.kind = kind
        self.number = number
        self.name = name
        self.text = text


class Extension:
    """The one extension of the process. It raises `CoreError`."""

    def wait(self) -> Event:
        """Waits (for hours if need be) for the next event. A signal that ends the process is an event too."""
        event = ffi.new("keystart_event *")
        core.call(lib.keystart_extension_wait, event)
        name, said = core.borrowed(event.name, event.name_len), core.borrowed(event.text, event.text_len)
        return Event(event.kind, event.number, name, said)

    def writer(self) -> Writer | None:
        """Returns the writer of the store, or None if the store cannot be used."""
        handle = self._handle("keystart_writer **", lib.keystart_extension_writer)
        return None if handle is None else Writer(handle)

    def fetch(self) -> Fetch | None:
        """Returns the fetch, or None if none has begun."""
        handle = self._handle("keystart_fetch **", lib.keystart_extension_fetch)
        return None if handle is None else Fetch(handle)

    def plan(self) -> Any:
        """Returns the handle of the plan, or None if the configuration is invalid or was not read."""
        handle = self._handle("keystart_plan **", lib.keystart_extension_plan)
        return None if handle is None else ffi.gc(handle, lib.keystart_plan_free)

    def register(self) -> None:
        """Registers, unless that has begun already. The answer is an event."""
        core.call(lib.keystart_extension_register)

    def next(self) -> None:
        """Reports to Lambda that the extension is ready, and asks for the next event."""
        core.call(lib.keystart_extension_next)

    def fail(self, error_type: str, message: str, fetch: Fetch | None) -> None:
        """Ends the start with a reason, for readers, then for Lambda, then for the log."""
        handle = ffi.NULL if fetch is None else fetch.handle
        core.call(lib.keystart_extension_fail, *text(error_type), *text(message), handle)

    def _handle(self, kind: str, function: Any) -> Any:
        out = ffi.new(kind)
        core.call(function, out)
        return None if out[0] == ffi.NULL else out[0]
