"""Sends a signal to a program in Python at a moment when the program notices it at once."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.waiting import until

_ASLEEP = "S"  # proc_pid_stat(5): sleeping in an interruptible wait


def interrupt(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> None:
    """Sends the signal as soon as the main thread sleeps in a system call.

    Python checks for signals between bytecodes. A signal after the last check and before a system call that waits is
    noticed only when that call returns: a person presses Ctrl-C again, a test would wait for the server.
    """
    assert until(lambda: _state(process.pid) == _ASLEEP), "the process never waited for anything"
    process.send_signal(number)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
