"""Is what `keystart` starts: the extension process where Lambda did it, without arguments, else the command line.

The process is on the way of a cold start, so that nothing is imported here that only people need.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Runs what was asked for and gives the exit code."""
    if len(sys.argv) == 1 and os.environ.get("AWS_LAMBDA_RUNTIME_API"):
        from .process import run

        return run(os.environ, sys.argv[0])
    from . import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
