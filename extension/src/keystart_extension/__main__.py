"""The entry point of `keystart`: the extension process if Lambda starts it without arguments, else the command line.

A cold start waits for this module, so it imports nothing that only people need. Nothing of a start imports `os`, whose
abstract classes take a sixth of the instructions of the layer's executable, nor `posix`, whose names take a twentieth.
"""

import sys

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

_ONLY_LINUX = (
    "keystart: AWS_LAMBDA_RUNTIME_API is set, so this would be the extension process, which runs on Linux only. "
    "To run a command here, name it: keystart --help lists them."
)


def main() -> int:
    """Runs the process or the command line, and returns the exit code."""
    import posix  # a start of the executable does not come here: its main calls serve

    if len(sys.argv) == 1 and posix.environ.get(b"AWS_LAMBDA_RUNTIME_API"):
        if sys.platform != "linux":
            print(_ONLY_LINUX, file=sys.stderr)
            return 1
        # Exit at once, because Lambda waits: to shut the interpreter down takes longer than many a fetch.
        posix._exit(serve())
    from . import cli

    return cli.main()


def serve() -> int:
    """Runs the process, and returns the exit code."""
    from . import _native

    native: Any = _native  # no type checker can look into a cffi library
    began = native.ffi.new("uint64_t *")
    # From now on signals wait until the process waits (process.py), so that none interrupts the start.
    native.lib.keystart_process_prepare(began, native.ffi.NULL)
    # Begin before the rest is loaded: registering and fetching run meanwhile. A failure becomes an event.
    name = (
        sys.argv[0].encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()).rpartition(b"/")[2]
    )
    native.lib.keystart_extension_begin(name, len(name), native.ffi.NULL)
    try:
        from .process import run

        return run(began[0] / 1e9)
    except Exception as error:
        _fail(native, error)
        return 1


def _fail(native: "Any", error: Exception) -> None:
    """Lets the core report that the process cannot run. It needs no module that is not loaded yet."""
    # Only the system's or the import system's words: the rest of an error's text may hold anything.
    why = error.strerror if isinstance(error, OSError) else getattr(error, "name", None)
    kind = b"Extension.Internal"
    cause = f"{type(error).__name__}{f' ({why})' if isinstance(why, str) else ''}"
    message = f"The code of the extension cannot run: {cause}. Install it again, or raise the limit that this names."
    text = message.encode(errors="replace")
    native.lib.keystart_extension_fail(kind, len(kind), text, len(text), native.ffi.NULL, native.ffi.NULL)


if __name__ == "__main__":
    sys.exit(main())
