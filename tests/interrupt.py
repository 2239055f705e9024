"""Sends a signal to a program in Python at a moment when the program notices it at once."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

_PATIENCE = 20.0  # seconds; only a test that fails waits for so long
_ASLEEP = "S"  # proc_pid_stat(5): sleeping in an interruptible wait


def interrupt(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> None:
    """Sends the signal as soon as the main thread sleeps in a system call.

    Python checks for signals between bytecodes. A signal after the last check and before a system call that waits is
    noticed only when that call returns: a person presses Ctrl-C again, a test would wait for the server.
    """
    end = time.monotonic() + _PATIENCE
    while _state(process.pid) != _ASLEEP:
        assert time.monotonic() < end, "the process never waited for anything"
        time.sleep(0.001)
    process.send_signal(number)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
