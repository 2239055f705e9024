"""Counts the instructions of the layer's executable from exec until it asks for its next event.

A busy machine does not change them. Callgrind counts, and writes the count while the process waits for an event,
so the end of the process does not belong to it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.fakes.timed import TimedCloud

from .extensions import LAYER, CannotMeasureError, store

_PATIENCE = 300.0  # seconds
_LATENCY = 0.03  # of the store, in seconds
# Under valgrind a start takes seconds, so it has more time than by default.
_CONFIGURATION = "version: 1\ndeadline: 60s\nsecrets: { s0: bench/s0, s1: bench/s1, s2: bench/s2 }\n"
_COUNT = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def count_start(executable: Path = LAYER) -> int:
    """Returns how many instructions one start takes. Raises `CannotMeasureError`."""
    if not executable.exists():
        raise CannotMeasureError(f"there is no executable {executable}: ./dev demo builds it")
    if shutil.which("callgrind_control") is None:
        raise CannotMeasureError("there is no valgrind to count instructions with")
    with tempfile.TemporaryDirectory(prefix="keystart-bench-") as name:
        folder = Path(name)
        try:
            return _count(folder, executable)
        finally:
            shutil.rmtree(store(folder).parent, ignore_errors=True)


def _count(folder: Path, executable: Path) -> int:
    cloud = TimedCloud(folder, _LATENCY)
    store(folder).parent.mkdir(exist_ok=True)
    configuration = folder / "keystart.yaml"
    configuration.write_text(_CONFIGURATION)
    variables = {"KEYSTART_CONFIG": str(configuration), "KEYSTART_DIR": str(store(folder))}
    profile = folder / "profile"
    process = subprocess.Popen(
        # The same addresses in each run.
        ["setarch", "-R", "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", executable],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **cloud.variables(), **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        until = time.monotonic() + _PATIENCE
        while not cloud.waits(0.2):
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                said = process.stderr.read() if process.stderr else ""
                raise CannotMeasureError(f"the executable ended or hung before it was ready:\n{said}")
        subprocess.run(["callgrind_control", "--dump", str(process.pid)], check=True, capture_output=True)
        cloud.shut_down()
    found = _COUNT.search(Path(f"{profile}.1").read_text())
    if process.returncode or found is None:
        raise CannotMeasureError(f"the executable ended with {process.returncode}, and was not counted")
    return int(found[1])
