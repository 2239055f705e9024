"""Runs a process and measures its peak memory.

exec hands the peak of the memory that it replaces on to ru_maxrss of the new process. A child of
pytest shares or copies pytest's memory until its exec, so its ru_maxrss is at least as large as
pytest. A small launcher between the two has little to hand on.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

# The output and the errors of the command go to the launcher's errors, and its own output is the answer.
_LAUNCHER = """
import os, signal, sys
patience, *command = sys.argv[1:]
child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(int(patience))
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


class Exit(NamedTuple):
    """How a process ended, and its peak memory in KiB."""

    code: int
    peak: int


def run(command: Sequence[str | Path], variables: Mapping[str, str], output: IO[str], patience: int) -> Exit:
    """Runs a command until it ends. Kills it after `patience` seconds."""
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(patience), *command],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=output,
        text=True,
        check=True,
    )
    code, peak = map(int, launched.stdout.split())
    return Exit(code, peak)
