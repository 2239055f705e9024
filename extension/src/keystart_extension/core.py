"""Is the extension's own core: the store's writer, AWS's SDK and the Extensions API in one library."""

from __future__ import annotations

from keystart.core import Library

from . import _native

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

_library = Library(_native, "keystart-extension")
ffi, lib = _library.ffi, _library.lib
call, give_bytes = _library.call, _library.give_bytes


class ApiError(Exception):
    """Lambda's Extensions API could not be reached or refused a call; the message is a sentence."""


class Task:
    """What goes on in a thread of the core until it is over: what `function` has started, by its handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = ffi.gc(handle, lib.keystart_task_free)

    @classmethod
    def start(cls, function: Any, *arguments: Any) -> Task:
        """Starts one."""
        out = ffi.new("keystart_task **")
        call(function, *arguments, out)
        return cls(out[0])

    def wait(self) -> str:
        """Waits for the end and gives what it told, once. Handlers of signals run meanwhile. Raises ApiError."""
        refused = ffi.new("uint32_t *")
        while not (told := give_bytes(lib.keystart_task_wait, self.handle, refused).decode()):
            pass  # a signal came: Python has run its handler before it is here again
        if refused[0]:
            raise ApiError(told)
        return told
