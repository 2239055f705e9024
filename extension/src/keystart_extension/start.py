"""Takes over what the core has begun of this start before anything else was loaded."""

from __future__ import annotations

from . import core
from .core import Task, ffi, lib
from .store import Writer

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class Begun:
    """What the core has begun: the writer, and the tasks of registering and of the fetch.

    With `start: before` there is no task of registering, and no fetch when registering failed. When the
    configuration is wrong there is neither, and `problems` says why. `links` are those that it asks for, as JSON.
    Raises the `CoreError` that the store gave.
    """

    def __init__(self) -> None:
        writer = ffi.new("keystart_writer **")
        registered, fetch = ffi.new("keystart_task **"), ffi.new("keystart_task **")
        problems, links = ffi.new("keystart_bytes *"), ffi.new("keystart_bytes *")
        core.call(lib.keystart_start_take, writer, problems, links, registered, fetch)
        self.writer = Writer(writer[0])
        self.problems, self.links = core.taken_text(problems), core.taken_text(links)
        self.registered = _task(registered[0])
        self.fetch = _task(fetch[0])


def _task(handle: Any) -> Task | None:
    return None if handle == ffi.NULL else Task(handle)
