"""The errors of the simulator. Each message ends with what the processes wrote.

SimulatorError
├── InitError          Init did not end well; Lambda repeats it inside the next invocation
├── InvocationError    the answer is an error, and a caller asked for its value
└── RuntimeMissingError      a runtime's client is not installed; the message says how to install it
"""

from __future__ import annotations

from collections.abc import Sequence

from .timeline import LogLine

TAIL = 60  # lines of the log in a message


class SimulatorError(Exception):
    """The base of all of them."""


def with_log(message: str, log: Sequence[LogLine]) -> str:
    if not log:
        return f"{message}\n(the processes wrote nothing)"
    return "\n".join([message, *(f"  {line}" for line in log[-TAIL:])])


class InitError(SimulatorError):
    """Init did not end well.

    `error_type` is Lambda's (Extension.Crash, Extension.InitError, Extension.LaunchError, Runtime.ExitError,
    Sandbox.Timedout, …). `who` is the extension or "runtime" that failed first. `reported` is what an extension sent to
    /init/error or /exit/error, and `payload` what the runtime sent to its /init/error.
    """

    def __init__(
        self,
        error_type: str,
        reason: str,
        who: str,
        reported: str | None,
        payload: bytes | None,
        log: Sequence[LogLine],
    ) -> None:
        said = f", reported {reported}" if reported else ""
        super().__init__(with_log(f"Init failed: {error_type} ({who}: {reason}{said})", log))
        self.error_type = error_type
        self.reason = reason
        self.who = who
        self.reported = reported
        self.payload = payload


class InvocationError(SimulatorError):
    """The answer is an error, and a caller asked for its value."""

    def __init__(self, error_type: str, message: str, log: Sequence[LogLine]) -> None:
        super().__init__(with_log(f"{error_type}: {message}", log))
        self.error_type = error_type


class RuntimeMissingError(SimulatorError):
    """A runtime's client is not installed; the message says how to install it."""
