"""Ends the layer's executable in several ways, with a log that takes nothing and with signals at a bad time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.timed import TimedCloud
from tests.waiting import PATIENCE

from .sandbox import Layer

STREAMS = ("closed", "full device", "pipe without reader", "full pipe", "full non-blocking pipe")


class Start:
    """The executable with a store below a folder. `stderr` is its standard error."""

    def __init__(
        self, layer: Layer, cloud: TimedCloud, folder: Path, stderr: int | None, **variables: str
    ) -> None:
        self.store = folder / "store"
        shell = ["sh", "-c", 'exec "$0" 2>&-'] if stderr is None else []
        cloud.begin()
        self.process = subprocess.Popen(
            [*shell, layer.executable],
            env={
                **cloud.variables(),
                "KEYSTART_DIR": str(self.store),
                "KEYSTART_SECRETS": "db=prod/db",
                **variables,
            },
            stderr=stderr,
        )

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.store / "state.json").read_text())
        return state

    def code(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    def __enter__(self) -> Start:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:  # only if the test failed
            self.process.kill()
            self.process.wait()

    def is_gone(self) -> bool:
        return not (self.store / "current").is_symlink() and list(self.store.glob("generations/*")) == []


@pytest.fixture(params=STREAMS)
def stderr(request: pytest.FixtureRequest) -> Iterator[int | None]:
    if request.param == "closed":
        yield None
        return
    if request.param == "full device":
        reader = writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while os.write(writer, b"." * 65_536):
                pass
        os.set_blocking(writer, request.param != "full non-blocking pipe")
        if request.param == "pipe without reader":
            os.close(reader)
            reader = writer
    yield writer
    for end in {reader, writer}:
        os.close(end)


@pytest.mark.parametrize("end", ["SHUTDOWN", "INT", "HUP", "TERM", "SEGV"])
def test_the_executable_removes_its_secrets_though_the_log_takes_nothing(
    native: Layer, tmp_path: Path, stderr: int | None, end: str
) -> None:
    cloud = TimedCloud(tmp_path)
    with Start(native, cloud, tmp_path, stderr) as start:
        assert cloud.waits(PATIENCE)
        assert (start.store / "current/secrets/db").read_text() == "x" * 100
        if end == "SHUTDOWN":
            cloud.shut_down()
            code, state = 0, "stopped"
        else:
            number = getattr(signal, f"SIG{end}")
            start.process.send_signal(number)
            code, state = (-number, "failed") if end == "SEGV" else (128 + number, "stopped")
        assert (start.code(), start.state["state"]) == (code, state)
        assert start.is_gone()


def test_readers_and_lambda_get_the_reason_though_the_log_takes_nothing(
    native: Layer, tmp_path: Path, stderr: int | None
) -> None:
    cloud = TimedCloud(tmp_path)
    with Start(native, cloud, tmp_path, stderr, KEYSTART_SECRETS="../db=prod/db") as start:
        assert (start.code(), start.state["state"]) == (1, "failed")
        assert list(cloud.events) == ["register", "error"]


def test_without_descriptors_or_threads_readers_and_lambda_get_the_reason(
    native: Layer, tmp_path: Path
) -> None:
    cloud = TimedCloud(tmp_path)
    no_thread = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3,clone"]
    no_thread += ["-e", "inject=clone3,clone:error=EAGAIN"]
    for number, (within, limit) in enumerate(
        [
            (no_thread, "RLIMIT_NPROC"),
            (["prlimit", "--nofile=8:8"], "RLIMIT_NOFILE"),
            (["prlimit", "--nofile=12:12"], "RLIMIT_NOFILE"),
        ]
    ):
        cloud.begin()
        store = tmp_path / f"store-{number}"
        variables = {**cloud.variables(), "KEYSTART_DIR": str(store), "KEYSTART_SECRETS": "db=prod/db"}
        ended = subprocess.run(
            [*within, native.executable], env=variables, stderr=subprocess.PIPE, text=True, check=False
        )
        message = json.loads((store / "state.json").read_text())["message"]
        assert (ended.returncode, limit in message) == (1, True), message
        assert ended.stderr == f"[keystart] ERROR {message}\n"
        assert list(cloud.events) == ["register", "error"]


def test_no_other_process_looks_into_the_executable(native: Layer, tmp_path: Path) -> None:
    cloud = TimedCloud(tmp_path)
    with Start(native, cloud, tmp_path, subprocess.DEVNULL) as start:
        assert cloud.waits(PATIENCE)
        limits = Path(f"/proc/{start.process.pid}/limits").read_text().splitlines()
        (core,) = [line.split() for line in limits if "core file" in line]
        assert core[4:6] == ["0", "0"]
        if os.geteuid() == 0:
            look = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat"]
            for name in ("environ", "maps", "mem"):
                seen = subprocess.run(
                    [*look, f"/proc/{start.process.pid}/{name}"], capture_output=True, check=False
                )
                assert b"Permission denied" in seen.stderr
        cloud.shut_down()
        assert start.code() == 0
