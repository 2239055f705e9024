"""Pins the modules that a cold start loads: each costs time, and the readers of the function wait for all of them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from keystart_extension import __version__

from tests.fakes.aws import Cloud, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Request
from tests.waiting import until

from .conftest import Environment, Launcher, Serve, Store
from .control import Control

# The modules loaded until the core has registered, then those loaded while it fetches.
BEFORE = [
    "keystart_extension",
    "keystart_extension.__main__",
    "_cffi_backend",
    "keystart_extension._native.ffi",
]
BEFORE += ["keystart_extension._native"]
MEANWHILE = {
    f"keystart_extension.{name}"
    for name in ("core", "extension", "fetch", "log", "process", "publish", "store")
}


def imported(stderr: str) -> list[str]:
    """Returns the modules in their order, from `-X importtime`."""
    lines = [line.rsplit("|", 1) for line in stderr.splitlines() if line.startswith("import time:")]
    return [name.strip() for _, name in lines if name.strip() != "imported package"]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        pytest.param('{"version": 1, "secrets": {"db": "ID"}}', set(), id="json"),
        pytest.param("version: 1\nsecrets:\n  db: ID\n", set(), id="yaml"),
        pytest.param(
            'SecretManagers: [{secrets: [{secretname: "ID", filename: db}]}]\nSecretsHome: HOME\n',
            {"errno", "keystart_extension.links", "keystart_extension.text"},
            id="square",
        ),
    ],
)
def test_a_start_loads_nothing_that_it_does_not_need(
    launch: Launcher,
    lambda_api: Lambda,
    cloud: Cloud,
    environment: Environment,
    tmp_path: Path,
    text: str,
    more: set[str],
) -> None:
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import __future__"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    text = text.replace("ID", cloud.secret("x")).replace("HOME", str(tmp_path / "theirs"))
    extension = launch(lambda_api, text, PYTHONPROFILEIMPORTTIME="1")
    lambda_api.wait_for("/event/next")
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    # Python 3.13 itself loads `errno`, which others load for Square's file.
    of_python = set(imported(bare.stderr))
    loaded = [name for name in imported("\n".join(lines)) if name not in of_python]
    assert loaded[: len(BEFORE)] == BEFORE
    assert set(loaded[len(BEFORE) :]) == MEANWHILE | (more - of_python)


def test_decisions_about_logins_are_loaded_with_the_first_question(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    late = {"keystart_extension.attempts", "keystart_extension.logins"}
    imports = Imports(launch(lambda_api, {"db": cloud.secret("x")}, PYTHONPROFILEIMPORTTIME="1").process)
    lambda_api.wait_for("/event/next")
    control = Control(store.root)
    control.ask(None)
    assert until(lambda: "keystart_extension.refresh" in imports.until_now())
    assert not set(imports.until_now()) & late
    control.ask(None, op="try", name="db", generation=None)
    assert until(lambda: set(imports.until_now()) >= late)


def test_what_the_process_needs_next_is_loaded_while_the_store_answers(
    launch: Launcher, lambda_api: Lambda, serve: Serve
) -> None:
    started: list[Imports] = []
    loaded: list[bool] = []

    def answer(_: Request) -> Answer:
        loaded.append(until(lambda: bool(started) and set(started[0].until_now()) >= MEANWHILE))
        return secret("x")

    serve(answer)
    started.append(Imports(launch(lambda_api, {"db": "prod/db"}, PYTHONPROFILEIMPORTTIME="1").process))
    lambda_api.wait_for("/event/next")
    assert loaded == [True]


def test_it_is_not_loaded_before_the_secrets_are_requested_unless_that_takes_long(
    launch: Launcher, lambda_api: Lambda, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{store.getsockname()[1]}")
        imports = Imports(launch(lambda_api, {"db": "prod/db"}, PYTHONPROFILEIMPORTTIME="1").process)
        connection, _ = store.accept()
        with connection:
            assert connection.recv(1), "the process begins with TLS, and hears nothing"
            loaded = imports.until_now()
            assert BEFORE[-1] in loaded
            assert not set(loaded) & MEANWHILE
            assert until(lambda: set(imports.until_now()) >= MEANWHILE)


def test_a_library_of_another_version_is_refused_with_the_cure() -> None:
    code = """
import keystart_extension
keystart_extension.__version__ = "9.9.9"
import keystart_extension.core
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.endswith(
        f"ImportError: keystart-extension 9.9.9 found its core library in version {__version__}. "
        "Install the package again: pip install --force-reinstall keystart-extension\n"
    )


class Imports:
    """The modules that a running process has loaded, as it lists them on its standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self._fd = process.stderr.fileno()
        self._output = b""
        os.set_blocking(self._fd, False)

    def until_now(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._fd, 65_536):
                self._output += more
        return imported(self._output.decode())
