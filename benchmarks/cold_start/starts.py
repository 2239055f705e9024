"""Starts extensions in turn, and takes the time from exec to each event that is visible from outside."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.fakes.timed import TimedCloud

from .conditions import PERIOD_US, empty_page_cache, limited
from .extensions import COMPARED, ONE_FILE, PIP, YAML, CannotMeasureError, Extension, extensions, store

_PATIENCE = 60.0  # seconds for one start
_REST = 5 * PERIOD_US / 1e6  # seconds, in which a used-up share recovers
# A small process enters the cgroup, and becomes the extension on command. Entering takes 20 ms, and a fork of
# this large process inside would take more CPU than some extensions take to register.
_READY = 'echo 0 > "$0"; read -r _; exec "$@"'


@dataclass(frozen=True)
class Start:
    """One start: milliseconds from exec, milliseconds of CPU, and the most memory in MB.

    `connected` and `asked` are the first connection and the first request to the fake AWS, `answered` its last answer.
    `published` is when the process asked for its next event.
    """

    connected: float
    asked: float
    answered: float
    registered: float
    published: float
    cpu: float
    memory: float


Starts = Mapping[str, Sequence[Start]]


def measure(
    folder: Path,
    cloud: TimedCloud,
    runs: int,
    *,
    secrets: int = 3,
    latency: float = 30.0,
    only: Collection[str] = COMPARED,
    share: float | None = None,
    cold: bool = False,
) -> Starts:
    """Starts each extension once in turn, `runs` times. One more start of each comes first and does not count.

    `latency` is in milliseconds, `share` a share of one CPU, and `cold` empties the page cache before each start.
    Raises `NotAppliedError` if the machine does not allow one of those.
    """
    what = f"{secrets} secrets, {latency:g} ms" + (f", CPU {share:g}" if share else "") + ", cold" * cold
    chosen = extensions(folder, secrets, only)
    return _in_turn(folder, cloud, runs, chosen, (latency,), what, share, cold)[latency]


def measure_latencies(
    folder: Path, cloud: TimedCloud, runs: int, latencies: Sequence[float]
) -> Mapping[float, Starts]:
    """Starts each extension as `measure` does, with each latency in turn, so that they can be compared."""
    what = f"3 secrets, {' and '.join(f'{latency:g}' for latency in latencies)} ms"
    return _in_turn(folder, cloud, runs, extensions(folder, 3), latencies, what)


def _in_turn(
    folder: Path,
    cloud: TimedCloud,
    runs: int,
    chosen: Mapping[str, Extension],
    latencies: Sequence[float],
    what: str,
    share: float | None = None,
    cold: bool = False,
) -> Mapping[float, Starts]:
    starts: dict[float, dict[str, list[Start]]] = {
        latency: {name: [] for name in chosen} for latency in latencies
    }
    with ExitStack() as stack:
        group = stack.enter_context(limited(share)) if share else None
        for run in range(runs + 1):
            for (name, extension), latency in itertools.product(chosen.items(), latencies):
                cloud.latency = latency / 1000
                if cold:
                    empty_page_cache()
                start = _start(folder, extension, cloud, group)
                if run > 0:
                    starts[latency][name].append(start)
            progress(what, run, runs)
    return starts


def invocations(folder: Path, cloud: TimedCloud, runs: int) -> list[float]:
    """Returns milliseconds from an INVOKE to the request for the next event, if nothing of a ttl is due."""
    cloud.latency = 0
    extension = extensions(folder, 3, [YAML])[YAML]
    file = folder / "ttl.yaml"
    file.write_text(f"ttl: 24h\n{Path(extension.variables['KEYSTART_CONFIG']).read_text()}")
    extension = replace(extension, variables={**extension.variables, "KEYSTART_CONFIG": str(file)})
    process, _ = _exec(folder, extension, cloud, None)
    wait_until_ready(process, cloud)
    took = [cloud.invoke(_PATIENCE) * 1000 for _ in range(runs + 1)][1:]
    cloud.shut_down()
    _end(process)
    return took


def wipes(folder: Path, cloud: TimedCloud, runs: int) -> list[float]:
    """Returns milliseconds from SHUTDOWN to the end of a process that wipes 100 secrets from a disk."""
    cloud.latency = 0
    both = extensions(folder, 100)
    extension = both.get(ONE_FILE, both[PIP])
    root = folder / "on-disk" / "store"
    root.parent.mkdir()
    extension = replace(extension, variables={**extension.variables, "KEYSTART_DIR": str(root)})
    took = []
    for run in range(runs + 1):
        process, _ = _exec(folder, extension, cloud, None)
        wait_until_ready(process, cloud)
        os.sync()  # files that were never written to the disk are quicker to wipe
        cloud.shut_down()
        began = time.monotonic()
        _end(process)
        took.append((time.monotonic() - began) * 1000)
        progress("the end with 100 secrets on a disk", run, runs)
    return took[1:]


def _start(folder: Path, extension: Extension, cloud: TimedCloud, group: Path | None) -> Start:
    process, began = _exec(folder, extension, cloud, group)
    wait_until_ready(process, cloud)
    memory = _peak_memory(process.pid)
    cloud.shut_down()
    cpu = _end(process)

    def since(event: str) -> float:
        return (cloud.events[event] - began) * 1000

    return Start(
        connected=since("connected"),
        asked=since("asked"),
        answered=since("answered"),
        registered=since("register"),
        published=since("next"),
        cpu=cpu,
        memory=memory,
    )


def _exec(
    folder: Path, extension: Extension, cloud: TimedCloud, group: Path | None
) -> tuple[subprocess.Popen[str], float]:
    """Starts a process, and returns it and the time just before."""
    shutil.rmtree(store(folder), ignore_errors=True)
    store(folder).parent.mkdir(exist_ok=True)
    cloud.begin()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        **cloud.variables(),
        **extension.variables,
    }
    ready: list[str | Path] = ["sh", "-c", _READY, group] if group else []
    began = time.monotonic()
    process = subprocess.Popen(
        [*ready, *extension.command],
        env=environment,
        stdin=subprocess.PIPE if group else None,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdin:
        # At a random moment of a period: the previous process ended early in one, as processes that
        # wait for a share do.
        time.sleep(_REST + random.random() * PERIOD_US / 1e6)  # noqa: S311 no secret depends on it
        began = time.monotonic()
        process.stdin.write("\n")
        process.stdin.close()
    return process, began


def wait_until_ready(process: subprocess.Popen[str], cloud: TimedCloud, patience: float = _PATIENCE) -> None:
    """Waits until an extension asks for its next event. Raises `CannotMeasureError` if it ends, or takes too long."""
    until = time.monotonic() + patience
    while not cloud.waits(0.2):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            said = process.stderr.read() if process.stderr else ""
            raise CannotMeasureError(f"{_name(process)} ended or hung before it was ready:\n{said}")


def _end(process: subprocess.Popen[str]) -> float:
    """Waits for the end, and returns the milliseconds of CPU of the process's whole life."""
    said = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CannotMeasureError(f"{_name(process)} ended with {process.returncode}:\n{said}")
    return (used.ru_utime + used.ru_stime) * 1000


def _name(process: subprocess.Popen[str]) -> str:
    return shlex.join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)


def _peak_memory(pid: int) -> float:
    """Returns the most memory of a process in MB. wait4 would include this process's memory from before the exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise CannotMeasureError(f"/proc/{pid}/status does not say VmHWM")


def median(starts: Sequence[Start], what: str) -> float:
    """Returns the median of one figure over some starts."""
    values: list[float] = [getattr(start, what) for start in starts]
    return statistics.median(values)


def progress(what: str, run: int, runs: int) -> None:
    """Prints progress for people at a terminal."""
    if sys.stderr.isatty():
        print(
            f"\rbench: {what}: {run} of {runs}\x1b[K",
            end="\n" if run == runs else "",
            file=sys.stderr,
            flush=True,
        )
