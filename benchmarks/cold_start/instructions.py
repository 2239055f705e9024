"""Counts the instructions of the layer's executable from exec until it asks for its next event.

A busy machine changes them by less than half a percent, although a start that waits logs a warning. Callgrind counts,
and writes the count while the process waits for an event, so the end of the process does not belong to it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.timed import TimedCloud

from .extensions import LAYER, CannotMeasureError, store
from .starts import wait_until_ready

_PATIENCE = 300.0  # seconds
_LATENCY = 0.03  # of the store, in seconds
# Under valgrind a start takes seconds, so it has more time than by default.
_CONFIGURATION = "version: 1\ndeadline: 60s\nsecrets: { s0: bench/s0, s1: bench/s1, s2: bench/s2 }\n"
_COUNT = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def count_start(executable: Path = LAYER) -> int:
    """Returns how many instructions one start takes. Raises `CannotMeasureError`."""
    with _stand(executable) as (folder, cloud, variables):
        profile = folder / "profile"
        command = _command(profile, executable)
        process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
        with process:
            wait_until_ready(process, cloud, _PATIENCE)
            subprocess.run(["callgrind_control", "--dump", str(process.pid)], check=True, capture_output=True)
            cloud.shut_down()
            _, said = process.communicate()
        if process.returncode:
            raise CannotMeasureError(f"the executable ended with {process.returncode}:\n{said}")
        return _counted(Path(f"{profile}.1"))


def count_refused_start(executable: Path = LAYER) -> int:
    """Returns how many a start takes with the bundled authorities, up to its end. Raises `CannotMeasureError`.

    None of them has signed the store's certificate, so it ends without a secret.
    """
    with _stand(executable) as (folder, _, variables):
        del variables["AWS_CA_BUNDLE"]
        profile = folder / "profile"
        ended = subprocess.run(_command(profile, executable), env=variables, capture_output=True, text=True)
        if "its certificate is from an authority that is not known" not in ended.stderr:
            raise CannotMeasureError(f"the executable did not refuse the store:\n{ended.stderr}")
        return _counted(profile)


@contextmanager
def _stand(executable: Path) -> Iterator[tuple[Path, TimedCloud, dict[str, str]]]:
    if not executable.exists():
        raise CannotMeasureError(f"there is no executable {executable}: ./dev demo builds it")
    if shutil.which("callgrind_control") is None:
        raise CannotMeasureError("there is no valgrind to count instructions with")
    with tempfile.TemporaryDirectory(prefix="keystart-bench-") as name:
        folder = Path(name)
        cloud = TimedCloud(folder, _LATENCY)
        store(folder).parent.mkdir(exist_ok=True)
        configuration = folder / "keystart.yaml"
        configuration.write_text(_CONFIGURATION)
        own = {"KEYSTART_CONFIG": str(configuration), "KEYSTART_DIR": str(store(folder))}
        try:
            yield folder, cloud, {"PATH": os.environ["PATH"], "HOME": "/nowhere", **cloud.variables(), **own}
        finally:
            shutil.rmtree(store(folder).parent, ignore_errors=True)


def _command(profile: Path, executable: Path) -> list[str | Path]:
    # The same addresses in each run.
    return ["setarch", "-R", "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", executable]


def _counted(profile: Path) -> int:
    found = _COUNT.search(profile.read_text())
    if found is None:
        raise CannotMeasureError("the executable was not counted")
    return int(found[1])
