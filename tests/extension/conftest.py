"""Fixtures: AWS on loopback, a separate store, the process as Lambda starts it, and canaries as secrets."""

from __future__ import annotations

import json
import os
import secrets as randomness
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from keystart_extension import core
from keystart_extension.aws import fetch as aws_fetch
from keystart_extension.fetch import Fetch
from keystart_extension.log import Log
from keystart_extension.plan import Plan
from keystart_extension.publish import StartError, give_up, links_of, publish
from keystart_extension.store import Writer

from tests.fakes.accounts import Account
from tests.fakes.aws import REGION, Cloud, serve_moto
from tests.fakes.extensions_api import Lambda
from tests.fakes.front import Fault, Front
from tests.fakes.http import Answer, Request, Serving, Stub
from tests.waiting import PATIENCE

from .control import Control, Started

COMMAND = Path(sys.executable).with_name("keystart")
Environment = Callable[[], dict[str, str]]
ServeTls = Callable[[Fault], Front]
_Server = TypeVar("_Server", bound=Serving)
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_SESSION_TOKEN": "made-up",
}


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of AWS's services on loopback."""
    with serve_moto() as url:
        yield url


@pytest.fixture
def environment(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Sets this process's variables for AWS: moto, and nothing of this machine. Returns a new process's environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "KEYSTART_"))]:
        monkeypatch.delenv(name)
    variables = {
        **_CREDENTIALS,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": moto,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "KEYSTART_DIR": str(tmp_path / "keystart"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return _variables


def _variables() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "KEYSTART_", "PATH"))
    }


@pytest.fixture(scope="session")
def cloud(moto: str) -> Iterator[Cloud]:
    cloud = Cloud(moto)
    yield cloud
    cloud.close()


class Canaries:
    """Makes secrets at run time, and looks for them where none may be: output, state.json, manifests."""

    def __init__(self, folder: Path, output: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._output = output
        self._made: list[str] = []
        self._heard: list[str] = []

    def __call__(self) -> str:
        self._made.append(f"canary-{randomness.token_hex(16)}")
        return self._made[-1]

    def hear(self, text: str) -> None:
        """Records text that was written elsewhere than to this process's output."""
        self._heard.append(text)

    def said(self) -> str:
        """Returns what this process has logged since the last call."""
        out, error = self._output.readouterr()
        self._heard += [out, error]
        return error

    def check(self) -> None:
        self.said()
        heard = dict.fromkeys(self._heard, "the output")
        for file in self._folder.rglob("*"):
            if file.is_file() and "secrets" not in file.relative_to(self._folder).parts:
                heard[file.read_text(errors="replace")] = str(file)
        leaks = {where for text, where in heard.items() for canary in self._made if canary in text}
        assert not leaks, f"a secret stands in {leaks}"


@pytest.fixture
def canary(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Canaries]:
    canaries = Canaries(tmp_path, capfd)
    yield canaries
    canaries.check()


class Store:
    """The store of a test as it lies on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def state(self) -> dict[str, Any]:
        return _document(self.root / "state.json")

    @property
    def manifest(self) -> dict[str, Any]:
        return _document(self.root / "current/manifest.json")

    @property
    def values(self) -> dict[str, bytes]:
        """Returns the published secrets."""
        folder = self.root / "current/secrets"
        return {
            str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }

    @property
    def failures(self) -> dict[str, tuple[str, str]]:
        return {name: (why["code"], why["message"]) for name, why in self.state["failures"].items()}

    @property
    def unavailable(self) -> dict[str, tuple[str, str]]:
        return {name: (why["code"], why["message"]) for name, why in self.manifest["unavailable"].items()}

    def is_published(self) -> bool:
        return (self.root / "current").is_symlink()

    def leftovers(self) -> list[str]:
        """Returns everything below `generations`."""
        return [str(path.relative_to(self.root)) for path in (self.root / "generations").rglob("*")]


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "keystart")


class Prefetch:
    """Fetches and publishes in this process what a configuration asks for."""

    def __init__(self, folder: Path, environment: Environment, fetch: Callable[[Plan], Fetch]) -> None:
        self._folder = folder
        self._environment = environment
        self._fetch = fetch

    def plan(self, secrets: Mapping[str, Any], **settings: Any) -> Plan:
        file = self._folder / "keystart.json"
        file.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
        return Plan.file(file)

    def __call__(self, secrets: Mapping[str, Any], **settings: Any) -> StartError | None:
        """Returns why the start failed. Readers get the reason as from the process."""
        plan, writer = self.plan(secrets, **settings), Writer.open()
        log, links = Log(), links_of(plan.handle, writer)
        try:
            publish(links, writer, log, self._fetch(plan), time.monotonic())
        except StartError as error:
            give_up(error, writer, links, log)
            return error
        return None


def fetch(plan: Plan) -> Fetch:
    """Fetches as the process does."""
    fetch = Fetch.start(plan)
    fetch.wait()
    return fetch


def fetch_as_a_person(plan: Plan) -> Fetch:
    """Fetches as keystart pull does."""
    return aws_fetch.fetch(plan, None)


# Each way to credentials in turn: the core's, and a person's login. The tests expect the same of both.
EACH_WAY = pytest.mark.parametrize(
    "prefetch", [fetch, fetch_as_a_person], ids=["process", "pull"], indirect=True
)


@pytest.fixture
def prefetch(request: pytest.FixtureRequest, environment: Environment, tmp_path: Path) -> Prefetch:
    return Prefetch(tmp_path, environment, getattr(request, "param", fetch))


Told = tuple[int, str, str]


class Keystart:
    """Runs the command in the folder of the test; returns exit code, output and errors."""

    def __init__(self, folder: Path, environment: Environment, canary: Canaries) -> None:
        self._folder = folder
        self._environment = environment
        self._canary = canary

    def __call__(self, *arguments: str | Path) -> Told:
        """Runs it without a terminal, as a script does."""
        ended = subprocess.run(
            [COMMAND, *arguments],
            env=self._environment(),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        out, error = ended.stdout.decode(), ended.stderr.decode()
        self._canary.hear(error if "get" in arguments else out + error)
        return ended.returncode, out, error

    def at_terminal(self, answer: str, *arguments: str | Path, **variables: str) -> Told:
        """Runs it at a terminal, where a person types `answer`. The output includes what is typed."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [COMMAND, *arguments],
            env={**self._environment(), **variables},
            cwd=self._folder,
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        _, error = process.communicate(timeout=PATIENCE)
        out = b""
        with suppress(OSError):  # the other side is closed, which ends the output
            while more := os.read(ours, 65_536):
                out += more
        os.close(ours)
        self._canary.hear(out.decode() + error.decode())
        return process.returncode, out.decode().replace("\r\n", "\n"), error.decode()


@pytest.fixture
def keystart(environment: Environment, tmp_path: Path, canary: Canaries) -> Keystart:
    return Keystart(tmp_path, environment, canary)


class Serve:
    """Starts servers, and makes each AWS's endpoint."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self._monkeypatch = monkeypatch
        self._stack = stack

    def __call__(self, answer: Callable[[Request], Answer | None]) -> Stub:
        """Starts a server whose answers a test decides."""
        return self.start(Stub(answer))

    def start(self, server: _Server) -> _Server:
        self._stack.enter_context(server)
        self._monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return server


@pytest.fixture
def serve(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    assert "AWS_ENDPOINT_URL" in environment()  # set there, and replaced here
    with ExitStack() as stack:
        yield Serve(monkeypatch, stack)


@pytest.fixture
def account(moto: str, serve: Serve) -> Iterator[Account]:
    """Lambda of an account, as the command line finds it."""
    account = serve.start(Account(moto))
    yield account
    account.close()


@pytest.fixture
def serve_tls(serve: Serve, moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ServeTls:
    """Starts moto behind TLS, with a fault, as AWS's endpoint. AWS_CA_BUNDLE has its authority."""

    def start(fault: Fault) -> Front:
        front = serve.start(Front(fault, moto, tmp_path))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(front.authority))
        return front

    return start


class Extension:
    """The process as Lambda starts it: by its path below /opt/extensions, with AWS_LAMBDA_RUNTIME_API."""

    def __init__(
        self,
        command: Sequence[str | Path],
        variables: Mapping[str, str],
        canary: Canaries,
        stderr: int = subprocess.PIPE,
    ) -> None:
        self._canary = canary
        self.process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    def code(self) -> int:
        """Waits for the end and returns the exit code, if nobody can read the log."""
        return self.process.wait(timeout=PATIENCE)

    def ended(self) -> tuple[int, list[str]]:
        """Waits for the end and returns the exit code and the lines of the log."""
        out, error = self.process.communicate(timeout=PATIENCE)
        self._canary.hear(out + error)
        assert out == ""
        return self.process.returncode, error.splitlines()


class Launcher:
    """Starts extensions, and ends those that still run at the end of the test."""

    def __init__(self, folder: Path, environment: Environment, canary: Canaries) -> None:
        self.path = folder / "extensions" / "keystart-under-test"
        self.path.parent.mkdir()
        self.path.symlink_to(COMMAND)
        self._folder = folder
        self._environment = environment
        self._canary = canary
        self.stderr: int = subprocess.PIPE
        self.started: list[Extension] = []

    def __call__(
        self,
        api: Lambda | str,
        secrets: Mapping[str, Any] | str,
        *,
        start: str = "overlap",
        within: Sequence[str] = (),
        **variables: str,
    ) -> Extension:
        """Starts one. `secrets` is the mapping, or a whole keystart.yaml; `within` is a command that starts it."""
        if isinstance(secrets, str):
            file, text = self._folder / "keystart.yaml", secrets
        else:
            file = self._folder / "keystart.json"
            text = json.dumps({"version": 1, "start": start, "secrets": secrets})
        file.write_text(text)
        address = api if isinstance(api, str) else api.address
        variables = {
            **self._environment(),
            "KEYSTART_CONFIG": str(file),
            "AWS_LAMBDA_RUNTIME_API": address,
            **variables,
        }
        self.started.append(Extension([*within, self.path], variables, self._canary, self.stderr))
        return self.started[-1]


@pytest.fixture(autouse=True)
def limits_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps commands that a test runs in this process from lowering its limits, which no later test could raise."""
    call = core.call

    def call_others(function: Callable[..., int], *arguments: Any) -> None:
        if function != core.lib.keystart_process_protect:
            call(function, *arguments)

    monkeypatch.setattr(core, "call", call_others)


@pytest.fixture
def launch(environment: Environment, tmp_path: Path, canary: Canaries) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path, environment, canary)
    yield launcher
    for extension in launcher.started:
        if extension.process.poll() is None:
            extension.process.kill()
        extension.process.communicate()


@pytest.fixture
def lambda_api(store: Store) -> Iterator[Lambda]:
    """The Extensions API. At register it records the state, and whether something is published."""
    with Lambda(lambda: (store.state["state"], store.is_published())) as api:
        yield api


@pytest.fixture
def without_keys(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the credentials from the environment, as under SnapStart."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert name in environment()
        monkeypatch.delenv(name)


@pytest.fixture
def control(store: Store) -> Control:
    return Control(store.root)


@pytest.fixture
def start(launch: Launcher, lambda_api: Lambda, tmp_path: Path) -> Started:
    return Started(launch, lambda_api, tmp_path)
