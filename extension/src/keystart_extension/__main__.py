"""Is what `keystart` starts: the extension process where Lambda did it, without arguments, else the command line.

The process is on the way of a cold start, so that nothing is imported here that only people need.
"""

import os
import sys
import time

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # what `signal` is made of; it takes 4 ms more, for enumerations


def main() -> int:
    """Runs what was asked for and gives the exit code."""
    if len(sys.argv) == 1 and os.environ.get("AWS_LAMBDA_RUNTIME_API"):
        from . import _native

        native: Any = _native  # cffi gives a library that no type checker can look into
        began = time.monotonic()
        # Until the process can answer it (process.py): what was begun would be left as it is.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        # Before the rest is loaded: registering and fetching go on meanwhile. What goes wrong is told when it is taken.
        name = os.fsencode(sys.argv[0]).rpartition(b"/")[2]
        native.lib.keystart_start_begin(name, len(name), native.ffi.NULL)
        from .process import run

        code = run(os.environ, name.decode(), began)
        # At once, for Lambda waits for it: to take boto3 apart takes the interpreter longer than many a fetch.
        os._exit(code)
    from . import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
