"""Measures what refreshes cost: an INVOKE with nothing due, a forced refresh, and a thousand readers that ask at once.

It is not a test: machines are noisy. So what counts are counts, and ratios to a peer that runs in turn.

    ./dev bench-refresh [--quick] [--command EXECUTABLE]

Exit codes: 0 measured, even if a budget is missed; 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cold_start.extensions import LAYER, ROOT
from tests.e2e.lambda_simulator import Environment, Function, Kind, runtimes
from tests.fakes.extensions_api import Lambda
from tests.fakes.stages import StagedSecrets
from tests.fakes.timed import TimedCloud

PATIENCE = 300.0  # seconds; under valgrind on a busy machine a start takes minutes
PROCESSES, THREADS = 16, 63  # 1,008 readers
_HANDLER = """import keystart

def handler(_event, _context):
    return len(keystart.get("db"))
"""
# Threads of a process that ask at the same moment.
_READERS = """import sys, threading, time
from keystart import Keystart

threads, at, root, refused = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], []

def ask():
    client = Keystart(root, timeout=30)
    client.get("db")
    time.sleep(max(0, at - time.time()))
    try:
        client.refresh("db")
    except Exception as error:
        refused.append(error)

asking = [threading.Thread(target=ask) for _ in range(threads)]
for thread in asking:
    thread.start()
for thread in asking:
    thread.join()
print(len(refused), refused[:1])
"""
# An extension that asks for each INVOKE and does nothing at it.
_IDLE = """#!{python} -IS
import http.client, json, os

service = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
body = json.dumps({{"events": ["INVOKE", "SHUTDOWN"]}})
service.request("POST", "/2020-01-01/extension/register", body, {{"Lambda-Extension-Name": "idle"}})
answer = service.getresponse()
answer.read()
named = {{"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}}
event = "INVOKE"
while event == "INVOKE":
    service.request("GET", "/2020-01-01/extension/event/next", headers=named)
    event = json.loads(service.getresponse().read())["eventType"]
"""
_BEFORE = 10.0  # seconds until the threads of all processes have started


class CannotMeasureError(Exception):
    """The measurement lacks something. The text says what."""


@dataclass(frozen=True)
class Measured:
    """A budget and what was measured. `found` is at most `limit` if the budget is met."""

    number: str
    text: str
    found: float
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the budget is met."""
        return self.found <= self.limit

    def __str__(self) -> str:
        return f"{'✓' if self.is_met else '✗'} {self.number}  {self.text}"


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="./dev bench-refresh", description="Holds refreshes to the budgets B12, B14 and B15."
    )
    parser.add_argument("--quick", action="store_true", help="measure a tenth as often")
    installed = LAYER if LAYER.exists() else Path(sys.executable).with_name("keystart")
    parser.add_argument(
        "--command", type=Path, default=installed, help="the extension (default: %(default)s)"
    )
    options = parser.parse_args()
    runs, command = 100 if options.quick else 1000, options.command.absolute()
    print(f"refresh: {command}")
    measured = []
    for measure in (idle_instructions, idle_answers, forced_refresh, readers_at_once):
        with tempfile.TemporaryDirectory(prefix="keystart-bench-") as folder:
            try:
                measured.append(measure(Path(folder), command, runs))
                print(measured[-1], flush=True)
            except CannotMeasureError as why:
                print(f"refresh: {why}", file=sys.stderr)
                return 2
    missed = [budget.number for budget in measured if not budget.is_met]
    met = len(measured) - len(missed)
    print(f"{met} of {len(measured)} budgets are met" + (f", not {', '.join(missed)}" if missed else ""))
    return 0


def idle_instructions(folder: Path, command: Path, runs: int) -> Measured:
    """Counts the instructions of the process from INVOKE to the request for the next event, if nothing is due."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotMeasureError("valgrind, which counts instructions, is not installed")
    counting = [
        valgrind,
        "--tool=callgrind",
        "--fair-sched=yes",
        "--callgrind-out-file=/dev/null",
        f"--log-file={folder}/count",
    ]
    few, many = (_instructions(folder, [*counting, str(command)], count) for count in (10, 10 + runs // 10))
    millions = (many - few) / (runs // 10) / 1e6
    text = f"INVOKE with nothing due: {millions:.2f} million instructions each (budget 1)"
    return Measured("B12", text, millions, 1)


def _instructions(folder: Path, command: Sequence[str], invocations: int) -> int:
    """Returns the instructions of a whole life with so many invocations."""
    with StagedSecrets() as cloud, Lambda() as api:
        cloud.put("db", "x")
        with _started(folder, command, _variables(cloud, api)) as process:
            for number in range(invocations + 1):
                api.wait_for("/event/next", times=number + 1, patience=PATIENCE)
                api.send("INVOKE" if number < invocations else "SHUTDOWN")
            process.wait(PATIENCE)
    counted = re.search(r"Collected : (\d+)", (folder / "count").read_text())
    if counted is None:
        raise CannotMeasureError(f"valgrind counted nothing:\n{(folder / 'count').read_text()}")
    return int(counted[1])


def idle_answers(folder: Path, command: Path, runs: int) -> Measured:
    """Compares how soon a function answers with a ttl, and without one beside an idle extension, in turn.

    The idle extension asks for each INVOKE too: what an event costs the simulator itself stands on both sides.
    """
    idle = folder / "idle"
    idle.write_text(_IDLE.format(python=sys.executable))
    idle.chmod(0o755)
    with ExitStack() as stack:
        cloud = TimedCloud(folder)
        both = {
            ttl: stack.enter_context(_environment(folder, [command, *more], cloud, ttl))
            for ttl, more in (("none", [idle]), ("24h", []))
        }
        took: dict[str, list[float]] = {ttl: [] for ttl in both}
        for run in range(runs + 10):
            for ttl, environment in both.items():
                environment.invoke().value  # noqa: B018 raises what the function raised
                if run >= 10:  # the first ones warm up
                    answered = environment.timeline.last(Kind.RUNTIME_RESPONSE).at_ns
                    took[ttl].append(answered - environment.timeline.last(Kind.INVOKE_START).at_ns)
        for environment in both.values():
            environment.shutdown()
    ratio = statistics.median(took["24h"]) / statistics.median(took["none"])
    text = (
        f"median of {runs} answers with a ttl, to those beside an idle extension: {ratio:.3f} x (budget 1.02)"
    )
    return Measured("B12", text, ratio, 1.02)


def forced_refresh(folder: Path, command: Path, runs: int) -> Measured:
    """Compares a forced refresh with one request to the store over a new connection, in turn, with TLS and 30 ms."""
    cloud = TimedCloud(folder)
    cloud.latency = 0.03
    refreshed, asked = [], []
    with _started(folder, [str(command)], cloud.variables()) as process:
        _wait(cloud)
        for _ in range(runs // 20):
            time.sleep(1.05)  # a source is fetched once a second
            refreshed.append(_timed(lambda: _ask(folder / "store/control.sock")))
            asked.append(_timed(lambda: _request(cloud)))
        cloud.shut_down()
        process.wait(PATIENCE)
    ratio = statistics.median(refreshed) / statistics.median(asked)
    what = f"{statistics.median(refreshed) * 1000:.1f} ms and {statistics.median(asked) * 1000:.1f} ms"
    text = f"forced refresh to one request, both over a new connection: {ratio:.2f} x (budget 1.3), {what}"
    return Measured("B14", text, ratio, 1.3)


def readers_at_once(folder: Path, command: Path, _runs: int) -> Measured:
    """Counts the requests to the store when a thousand readers of 16 processes ask for a refresh at once."""
    root = folder / "store"
    with StagedSecrets() as cloud, Lambda() as api:
        cloud.put("db", "x")
        with _started(folder, [str(command)], _variables(cloud, api)) as process:
            api.wait_for("/event/next")
            at, before = time.time() + _BEFORE, len(cloud.asked)
            asking = [sys.executable, "-c", _READERS, str(THREADS), str(at), str(root)]
            readers = [subprocess.Popen(asking, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
            refused = [reader.communicate()[0].strip() for reader in readers]
            took, requests = time.time() - at, len(cloud.asked) - before
            api.send("SHUTDOWN")
            process.wait(PATIENCE)
    failed = sum(int(text.split()[0]) for text in refused)
    why = next((text for text in refused if not text.startswith("0 ")), "")
    if failed:
        raise CannotMeasureError(f"{failed} of {PROCESSES * THREADS} readers failed: {why}")
    return Measured(
        "B15",
        f"requests of {PROCESSES * THREADS} readers that ask at once: {requests} for one source in {took:.1f} s "
        "(budget 1, and one for each further second)",
        requests,
        1 + int(took),
    )


def _variables(cloud: StagedSecrets, api: Lambda) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_LAMBDA_RUNTIME_API": api.address,
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "made-up"),
        "AWS_REGION": "eu-west-1",
    }


@contextmanager
def _started(
    folder: Path, command: Sequence[str], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    file = folder / "keystart.json"
    configuration = {"version": 1, "ttl": "24h", "deadline": "300s", "secrets": {"db": "db"}}
    file.write_text(json.dumps(configuration))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        **variables,
        "KEYSTART_CONFIG": str(file),
        "KEYSTART_DIR": str(folder / "store"),
    }
    log = folder / "log"
    with log.open("w") as file_of_log:
        process = subprocess.Popen(command, env=environment, stderr=file_of_log)
    try:
        yield process
    except (AssertionError, CannotMeasureError, TimeoutError) as why:
        raise CannotMeasureError(f"{why}. The extension's log:\n{log.read_text()}") from None
    finally:
        process.kill()
        process.wait()


@contextmanager
def _environment(
    folder: Path, commands: Sequence[Path], cloud: TimedCloud, ttl: str
) -> Iterator[Environment]:
    task = folder / f"ttl-{ttl}"
    task.mkdir()
    (task / "app.py").write_text(_HANDLER)
    (task / "keystart.json").write_text(json.dumps({"version": 1, "ttl": ttl, "secrets": {"db": "db"}}))
    of_aws = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")
    variables = {name: text for name, text in cloud.variables().items() if name in of_aws}
    function = Function(runtimes.python(), task, handler="app.handler", env=variables, name="function")
    with Environment(
        extensions=list(commands),
        function=function,
        memory_mb=1769,
        timeout=PATIENCE,
        init_timeout=PATIENCE,
        visible=[ROOT, folder, *map(Path, {sys.prefix, sys.base_prefix})],
    ) as environment:
        environment.init()
        yield environment


def _wait(cloud: TimedCloud) -> None:
    if not cloud.waits(PATIENCE):
        raise CannotMeasureError("the extension did not ask for an event")


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ask(path: Path) -> None:
    """Asks for a refresh as a reader does."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b'{"format": "keystart.control/1", "op": "refresh", "names": ["db"]}\n')
        answer = json.loads(client.makefile().readline())
    if answer["ok"] is not True or answer["failures"]:
        raise CannotMeasureError(f"the refresh failed: {answer}")


def _request(cloud: TimedCloud) -> None:
    """Sends one request to the store over a new connection."""
    variables = cloud.variables()
    context = ssl.create_default_context(cafile=variables["AWS_CA_BUNDLE"])
    address = variables["AWS_ENDPOINT_URL"].removeprefix("https://")
    client = http.client.HTTPSConnection(address, context=context)
    client.request("POST", "/", json.dumps({"SecretId": "db"}))
    client.getresponse().read()
    client.close()


if __name__ == "__main__":
    sys.exit(main())
