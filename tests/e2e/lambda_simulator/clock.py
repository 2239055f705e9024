"""The wall clock of an environment, which a test can move by hours. It needs a C compiler.

The processes get it through LD_PRELOAD, so it does not reach programs that are linked statically. Their monotonic clock
stays: on Lambda, too, it need not run during a freeze. The times of files stay as well.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .errors import SimulatorError

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A wall clock. Pass it to one `Environment`, or to several that have the same time."""

    def __init__(self) -> None:
        self._library = _library()
        with tempfile.NamedTemporaryFile(dir=self._library.parent, delete=False) as file:
            file.write(bytes(8))
        self._file = Path(file.name)
        self._ahead_ns = 0

    def pass_by(self, seconds: float) -> None:
        """Lets that much time pass at once. A negative number sets the clock back."""
        self._ahead_ns += round(seconds * 1e9)
        with self._file.open("r+b") as file:
            file.write(self._ahead_ns.to_bytes(8, "little", signed=True))

    def now(self) -> float:
        """Returns the time as the processes see it, in seconds since 1970."""
        return time.time() + self._ahead_ns / 1e9

    @property
    def folder(self) -> Path:
        """The folder that the processes must see."""
        return self._library.parent

    def variables(self) -> Mapping[str, str]:
        """Returns the variables that move the clock of a process."""
        return {"LD_PRELOAD": str(self._library), "LAMBDA_SIMULATOR_CLOCK": str(self._file)}


@functools.cache
def _library() -> Path:
    """Compiles the library, once in this process. It is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lambda-clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / "clock.so"
    command = ["cc", "-O1", "-fPIC", "-shared", "-o", str(library), str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise SimulatorError(f"a clock that moves needs a C compiler: cc: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise SimulatorError(f"clock.c does not compile: {error.stderr}") from None
    return library
