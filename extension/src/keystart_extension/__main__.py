"""What `keystart` starts: the extension process where Lambda did it, without arguments, else the command line.

The process is on the way of a cold start, so that nothing is imported here that only people need.
"""

import os
import sys

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


def main() -> int:
    """Runs what was asked for and returns the exit code."""
    if len(sys.argv) == 1 and os.environ.get("AWS_LAMBDA_RUNTIME_API"):
        from . import _native

        native: Any = _native  # cffi gives a library that no type checker can look into
        began = native.ffi.new("uint64_t *")
        # From here on signals wait until the process waits (process.py): what was begun would stay as it is.
        native.lib.keystart_process_prepare(began, native.ffi.NULL)
        # Before the rest is loaded: registering and fetching run meanwhile. What goes wrong is an event.
        name = os.fsencode(sys.argv[0]).rpartition(b"/")[2]
        native.lib.keystart_extension_begin(name, len(name), native.ffi.NULL)
        try:
            from .process import run

            code = run(os.environ, began[0] / 1e9)
        except Exception as error:
            code = 1
            _fail(native, error)
        # At once, for Lambda waits for it: to take the interpreter apart takes longer than many a fetch.
        os._exit(code)
    from . import cli

    return cli.main()


def _fail(native: "Any", error: Exception) -> None:
    """Has the core report that its process cannot run; it needs nothing that would have to be loaded."""
    # Of an error's text only what the system or the import system said: the rest may hold anything.
    why = error.strerror if isinstance(error, OSError) else getattr(error, "name", None)
    kind = b"Extension.Internal"
    said = f"{type(error).__name__}{f' ({why})' if isinstance(why, str) else ''}"
    message = (
        f"The code of the extension cannot run: {said}. Install it again, or raise the limit that this names."
    )
    text = message.encode(errors="replace")
    native.lib.keystart_extension_fail(kind, len(kind), text, len(text), native.ffi.NULL, native.ffi.NULL)


if __name__ == "__main__":
    sys.exit(main())
