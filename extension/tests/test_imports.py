"""Pins what a cold start loads: each module costs, and the readers of the function wait for all of them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Cloud, Environment, Launcher, Serve
from .stubs import Answer, Lambda, Request, secret

# What is loaded until the core has registered, then what is loaded while it fetches.
BEFORE = [
    "keystart_extension",
    "keystart_extension.__main__",
    "_cffi_backend",
    "keystart_extension._native.ffi",
]
BEFORE += ["keystart_extension._native"]
MEANWHILE = {
    *(
        "keystart",
        "keystart.core",
        "keystart.errors",
        "keystart.secret",
        "keystart.store",
        "keystart.version",
    ),
    *("keystart._native", "keystart._native.ffi"),
    *(
        f"keystart_extension.{name}"
        for name in ("core", "extensions_api", "fetched", "log", "process", "publish", "start", "store")
    ),
    *("keystart_extension.sources", "keystart_extension.sources.native"),
}


def imported(stderr: str) -> list[str]:
    """The modules in their order, as `-X importtime` tells them."""
    lines = [line.rsplit("|", 1) for line in stderr.splitlines() if line.startswith("import time:")]
    return [name.strip() for _, name in lines if name.strip() != "imported package"]


def test_a_start_loads_nothing_that_it_does_not_need(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, environment: Environment, form: str
) -> None:
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import __future__"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    extension = launch(lambda_api, {"db": cloud.secret("x")}, PYTHONPROFILEIMPORTTIME="1")
    lambda_api.wait_for("/event/next")
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    loaded = [name for name in imported("\n".join(lines)) if name not in imported(bare.stderr)]
    assert loaded[: len(BEFORE)] == BEFORE
    meanwhile = set(loaded[len(BEFORE) :])
    if form == "json":
        assert meanwhile == MEANWHILE
    else:  # what the core leaves to Python takes all of this more
        assert meanwhile > MEANWHILE | {"json", "re", "typing", "yaml", "keystart_extension.configuration"}


# What Python reads the configuration for is loaded before.
@pytest.mark.parametrize("form", ["json"])
def test_what_the_process_needs_next_is_loaded_while_the_store_answers(
    launch: Launcher, lambda_api: Lambda, serve: Serve
) -> None:
    started: list[int] = []
    loaded: list[bool] = []

    def answer(_: Request) -> Answer:
        loaded.append(until_loaded(started))
        return secret("x")

    serve(answer)
    started.append(launch(lambda_api, {"db": "prod/db"}).process.pid)
    lambda_api.wait_for("/event/next")
    assert loaded == [True]


@pytest.mark.parametrize("form", ["json"])
def test_it_is_not_loaded_before_the_secrets_are_asked_for_unless_that_takes_long(
    launch: Launcher, lambda_api: Lambda, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{store.getsockname()[1]}")
        pid = launch(lambda_api, {"db": "prod/db"}).process.pid
        connection, _ = store.accept()
        with connection:
            assert connection.recv(1), "the process begins with TLS, and hears nothing"
            assert not is_loaded(pid)
            assert until_loaded([pid])


def is_loaded(pid: int) -> bool:
    """Whether a process has loaded the reader's library, as what comes after the core's begin does."""
    return "/keystart/_native/" in Path(f"/proc/{pid}/maps").read_text()


def until_loaded(started: list[int]) -> bool:
    """Waits for a process, and until it has."""
    until = time.monotonic() + 20  # seconds; only a test that fails waits for so long
    while time.monotonic() < until:
        if started and is_loaded(started[0]):
            return True
        time.sleep(0.001)
    return False
