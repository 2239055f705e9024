"""Takes over what the core has begun of this start before anything else was loaded."""

from __future__ import annotations

from . import core
from .core import Task, ffi, lib
from .store import Writer

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class Begun:
    """What goes on: the writer; the task of registering and that of the fetch, each None where it waits for Python.

    Both do where the core does not read the configuration by itself; the first one also with `start: before`, the
    second one when registering failed. Raises the `CoreError` that the store gave.
    """

    def __init__(self) -> None:
        writer = ffi.new("keystart_writer **")
        registered, fetch = ffi.new("keystart_task **"), ffi.new("keystart_task **")
        core.call(lib.keystart_start_take, writer, registered, fetch)
        self.writer = Writer(writer[0])
        self.registered = _task(registered[0])
        self.fetch = _task(fetch[0])


def _task(handle: Any) -> Task | None:
    return None if handle == ffi.NULL else Task(handle)
