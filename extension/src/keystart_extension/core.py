"""Is the extension's own core: the store's writer, AWS's SDK and the Extensions API in one library."""

from __future__ import annotations

import json
from typing import Any

from keystart.core import Library, text

from . import _native

_library = Library(_native, "keystart-extension")
ffi, lib = _library.ffi, _library.lib
call, give_bytes = _library.call, _library.give_bytes


def as_json(value: Any) -> tuple[Any, int]:
    """Gives a value as JSON: pointer and length."""
    return text(json.dumps(value))


class Task:
    """What `function` of the core has started: it goes on in a thread of the core until it is over."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        out = ffi.new("keystart_task **")
        call(function, *arguments, out)
        self.handle = ffi.gc(out[0], lib.keystart_task_free)

    def wait(self) -> Any:
        """Waits for the end and gives what it told, once. Handlers of signals run meanwhile."""
        while not (told := give_bytes(lib.keystart_task_wait, self.handle)):
            pass  # a signal came: Python has run its handler before it is here again
        return json.loads(told)
