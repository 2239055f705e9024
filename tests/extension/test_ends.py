"""Ends the process in every way, with a log that takes nothing: secrets go, readers and Lambda get the reason."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import ROOT
from tests.fakes.aws import Cloud, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Gate
from tests.waiting import until

from .conftest import COMMAND, Canaries, Environment, Launcher, Serve, Store

pytestmark = pytest.mark.sampled

# Every signal that ends a process by default and that another process sends.
SIGNALS = [
    "HUP",
    "INT",
    "QUIT",
    "USR1",
    "USR2",
    "ALRM",
    "TERM",
    "STKFLT",
    "XCPU",
    "VTALRM",
    "PROF",
    "IO",
    "PWR",
]
NUMBERS = {"STKFLT": 16}  # Python has this name only since 3.11
CRASHES = ["SEGV", "BUS", "ILL", "FPE", "ABRT", "TRAP", "SYS"]
REQUIRED = "Required secrets could not be fetched."


def number_of(name: str) -> int:
    return NUMBERS.get(name) or getattr(signal, f"SIG{name}")


def gone(store: Store) -> bool:
    return not store.is_published() and store.leftovers() == []


class Stderr:
    """Makes a standard error that takes nothing."""

    def __init__(self, kind: str) -> None:
        self.within: list[str] = []
        self.reader = -1
        if kind == "closed":
            self.within = ["sh", "-c", 'exec "$0" 2>&-']
            self.fd = os.open(os.devnull, os.O_WRONLY)
        elif kind == "full device":
            self.fd = os.open("/dev/full", os.O_WRONLY)
        else:
            self.reader, self.fd = os.pipe()
            if kind == "pipe without reader":
                self.close_reader()
            else:
                os.set_blocking(self.fd, False)
                with suppress(BlockingIOError):
                    while os.write(self.fd, b"." * 65_536):
                        pass
                os.set_blocking(self.fd, kind != "full non-blocking pipe")

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        self.close_reader()
        os.close(self.fd)


@pytest.fixture(
    params=["closed", "full device", "pipe without reader", "full pipe", "full non-blocking pipe"]
)
def stderr(request: pytest.FixtureRequest, launch: Launcher) -> Iterator[Stderr]:
    stderr = Stderr(request.param)
    launch.stderr = stderr.fd
    yield stderr
    stderr.close()


@pytest.mark.parametrize("end", ["SHUTDOWN", "API lost", *SIGNALS])
def test_whatever_ends_it_no_secret_stays_though_the_log_takes_nothing(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, stderr: Stderr, end: str
) -> None:
    wanted = {"db": cloud.secret("x")}
    extension = launch(lambda_api, wanted, within=stderr.within)
    lambda_api.wait_for("/event/next")
    if end == "SHUTDOWN":
        assert store.values == {"db": b"x"}
        lambda_api.send("SHUTDOWN")
    elif end == "API lost":
        lambda_api.events.put(None)
    else:
        extension.process.send_signal(number_of(end))
    code = {"SHUTDOWN": 0, "API lost": 1}.get(end)
    assert extension.code() == (128 + number_of(end) if code is None else code)
    assert gone(store)
    assert store.state["state"] == ("failed" if end == "API lost" else "stopped")


@pytest.mark.parametrize("start", ["overlap", "before"])
@pytest.mark.parametrize("reason", ["fetch", "configuration"])
def test_readers_and_lambda_get_the_reason_though_the_log_takes_nothing(
    launch: Launcher,
    lambda_api: Lambda,
    store: Store,
    stderr: Stderr,
    reason: str,
    start: str,
    tmp_path: Path,
) -> None:
    wanted = {"db": "prod/absent"} if reason == "fetch" else {"../x": "prod/absent"}
    extension = launch(lambda_api, wanted, start=start, within=stderr.within)
    assert extension.code() == 1
    (reported,) = lambda_api.reported
    kind = "SecretsUnavailable" if reason == "fetch" else "ConfigurationInvalid"
    assert (reported[0], store.state["state"]) == (f"Extension.{kind}", "failed")
    assert reported[1] == store.state["message"]
    assert (REQUIRED if reason == "fetch" else f"{tmp_path}/keystart.json:1:") in reported[1]
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert gone(store)


@pytest.mark.parametrize("answer", [None, Answer(403, b"No")])
def test_readers_get_the_reason_when_lambda_cannot_be_reached(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, stderr: Stderr, answer: Answer | None
) -> None:
    lambda_api.answers["/register"] = answer
    gate = Gate(secret("x"))  # whichever fails first is the reason
    serve(gate)
    extension = launch(lambda_api, {"db": "prod/db"}, within=stderr.within)
    assert extension.code() == 1
    gate.open()
    assert store.state["state"] == "failed"
    assert "Extensions API" in store.state["message"]
    assert gone(store)


def test_lambda_gets_the_reason_when_readers_cannot(
    launch: Launcher, lambda_api: Lambda, store: Store
) -> None:
    lambda_api.looks = lambda: store.root.rename(store.root.with_name("moved"))  # a folder takes its place
    code, lines = launch(lambda_api, {"db": "prod/absent"}).ended()
    assert code == 1
    assert lambda_api.reported == [("Extension.SecretsUnavailable", REQUIRED)]
    assert f"[keystart] ERROR {REQUIRED}" in lines


def test_lines_that_could_not_be_written_are_counted(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud
) -> None:
    stderr = Stderr("full pipe")
    launch.stderr = stderr.fd
    extension = launch(lambda_api, {"db": cloud.secret("x")})
    lambda_api.wait_for("/event/next")  # the line "published …" is lost
    lambda_api.send("MOON")
    lambda_api.wait_for("/event/next", times=2)
    drained = os.read(stderr.reader, 1 << 20)
    assert set(drained) == {ord(".")}
    lambda_api.send("SUN")
    lambda_api.wait_for("/event/next", times=3)
    lambda_api.send("SHUTDOWN")
    assert extension.code() == 0
    os.close(stderr.fd)
    assert os.read(stderr.reader, 65_536).decode().splitlines() == [
        "[keystart] WARN  Lines of this log that could not be written before this one: 2.",
        "[keystart] WARN  An unexpected event is ignored: 'SUN'.",
    ]
    stderr.close_reader()


def test_the_log_stays_as_it_was_for_others(launch: Launcher, lambda_api: Lambda, cloud: Cloud) -> None:
    stderr = Stderr("full pipe")
    launch.stderr = stderr.fd
    before = fcntl.fcntl(stderr.fd, fcntl.F_GETFL)
    extension = launch(lambda_api, {"db": cloud.secret("x")})
    lambda_api.wait_for("/event/next")
    assert fcntl.fcntl(stderr.fd, fcntl.F_GETFL) == before
    lambda_api.send("SHUTDOWN")
    assert extension.code() == 0
    assert fcntl.fcntl(stderr.fd, fcntl.F_GETFL) == before
    stderr.close()


def test_no_file_of_the_store_is_a_standard_stream(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    closed = ["sh", "-c", 'exec "$0" 0<&- 1>&- 2>&-']
    extension = launch(lambda_api, {"db": cloud.secret("x")}, within=closed)
    lambda_api.wait_for("/event/next")
    opened = {fd.name: str(fd.readlink()) for fd in Path(f"/proc/{extension.process.pid}/fd").iterdir()}
    assert {name for name, path in opened.items() if path == "/dev/null"} == {"0", "1", "2"}
    assert str(store.root) in opened.values()
    lambda_api.send("SHUTDOWN")
    assert extension.code() == 0
    assert gone(store)


def test_a_parent_that_is_killed_with_its_end_of_the_log_leaves_no_secret(
    environment: Environment, cloud: Cloud, store: Store, tmp_path: Path
) -> None:
    """Plays an emulator of Lambda that serves the API, reads the log, and is killed."""
    (tmp_path / "keystart.json").write_text(
        json.dumps({"version": 1, "secrets": {name: cloud.secret("x") for name in ("a", "b", "c")}})
    )
    emulator = f"""
import os, subprocess, sys
from tests.fakes.extensions_api import Lambda
with Lambda() as api:
    variables = {{**os.environ, "AWS_LAMBDA_RUNTIME_API": api.address}}
    process = subprocess.Popen([{str(COMMAND)!r}], env=variables, stderr=subprocess.PIPE)
    api.wait_for("/event/next")
    print(process.pid, flush=True)
    process.communicate()
"""
    variables = {
        **environment(),
        "KEYSTART_CONFIG": str(tmp_path / "keystart.json"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", emulator], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert set(store.values) == {"a", "b", "c"}
        parent.kill()
    assert until(lambda: not running(pid))
    assert gone(store)
    assert store.state["state"] == "failed"  # the Extensions API went with it


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_during_the_fetch_publishes_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, name: str
) -> None:
    gate = Gate(secret("x"))
    serve(gate)
    extension = launch(lambda_api, {"db": "prod/db"})
    gate.wait_until_asked()
    extension.process.send_signal(number_of(name))
    code, lines = extension.ended()
    gate.open()
    assert code == 128 + number_of(name)
    assert re.fullmatch(
        r"\[keystart\] WARN  (SIG\w+|signal 16): the secrets are removed and the process ends\.", lines[-1]
    )
    assert gone(store)


@pytest.mark.parametrize("start", ["overlap", "before"])
def test_a_signal_while_lambda_does_not_answer_is_answered(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, start: str
) -> None:
    released = threading.Event()
    lambda_api.looks = released.wait
    extension = launch(lambda_api, {"db": cloud.secret("x")}, start=start)
    assert until(lambda: bool(lambda_api.requests))
    extension.process.terminate()
    assert extension.ended()[0] == 128 + signal.SIGTERM
    assert gone(store)
    released.set()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_a_signal_at_any_moment_of_the_start_removes_the_secrets(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, name: str
) -> None:
    wanted = {"db": cloud.secret("x")}
    for moment in range(10):
        extension = launch(lambda_api, wanted)
        lambda_api.wait_for("/register", times=moment + 1)
        time.sleep(moment / 250)  # later and later, until the first wait for an event
        extension.process.send_signal(number_of(name))
        assert extension.ended()[0] == 128 + number_of(name)
        assert gone(store)
        assert store.state["state"] == "stopped"


def test_a_second_signal_does_not_come_between_the_first_and_the_end_of_the_wipe(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    wanted = {f"s{number}": cloud.secret("x") for number in range(20)}
    for times in range(10):
        extension = launch(lambda_api, wanted)
        lambda_api.wait_for("/event/next", times=times + 1)
        sent = ["TERM", "INT", "HUP", "USR1"]
        for name in sent:
            extension.process.send_signal(number_of(name))
        while extension.process.poll() is None:
            extension.process.send_signal(signal.SIGTERM)
        code, lines = extension.ended()
        assert code - 128 in {number_of(name) for name in sent}
        assert len([line for line in lines if "the secrets are removed" in line]) == 1
        assert gone(store)


def test_a_hangup_that_was_ignored_at_the_start_stays_so(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$0"']
    extension = launch(lambda_api, {"db": cloud.secret("x")}, within=ignoring)
    lambda_api.wait_for("/event/next")
    extension.process.send_signal(signal.SIGHUP)
    lambda_api.send("MOON")
    lambda_api.wait_for("/event/next", times=2)
    assert store.values == {"db": b"x"}
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


@pytest.mark.parametrize("name", CRASHES)
def test_readers_learn_of_a_crash_before_their_timeout(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, name: str
) -> None:
    gate = Gate(secret("x"))
    serve(gate)
    extension = launch(lambda_api, {"db": "prod/db"})
    gate.wait_until_asked()
    number = store.state["generation"]
    extension.process.send_signal(number_of(name))
    code, lines = extension.ended()
    gate.open()
    message = f"The extension crashed (SIG{name}); its secrets are removed. Please report it."
    assert code == -number_of(name)
    assert (store.state["state"], store.state["message"]) == ("failed", message)
    assert store.state["generation"] == number
    assert lines == [f"[keystart] ERROR {message}"]


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_after_the_publish_removes_the_secrets(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "theirs"
    wanted = {"db": cloud.secret("x"), "a/b/c/d/e/f/g/h": cloud.secret("y"), "mine": cloud.secret("z")}
    extension = launch(lambda_api, wanted)
    lambda_api.wait_for("/event/next")
    theirs.hardlink_to(store.root / "current/secrets/mine")
    extension.process.send_signal(number_of(name))
    assert extension.ended()[0] == -number_of(name)
    assert gone(store)
    assert (store.state["state"], store.state["generation"]) == ("failed", 1)
    assert theirs.read_text() == "z"  # another name of the file, which may belong to somebody else
    again = launch(lambda_api, wanted)
    lambda_api.wait_for("/event/next", times=2)
    assert store.manifest["generation"] == 2
    again.process.terminate()
    assert again.ended()[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize("wrong", ["process", "log"])
def test_code_that_cannot_be_loaded_is_reported(
    environment: Environment, lambda_api: Lambda, store: Store, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "keystart.json").write_text('{"version": 1, "secrets": {"db": "prod/db"}}')
    begin = f"""
import sys
sys.modules["keystart_extension.{wrong}"] = None
sys.argv = ["keystart"]
from keystart_extension.__main__ import main
main()
"""
    variables = {
        **environment(),
        "AWS_LAMBDA_RUNTIME_API": lambda_api.address,
        "KEYSTART_CONFIG": str(tmp_path / "keystart.json"),
    }
    ended = subprocess.run(
        [sys.executable, "-c", begin], env=variables, capture_output=True, text=True, check=False
    )
    message = (
        f"The code of the extension cannot run: ModuleNotFoundError (keystart_extension.{wrong}). "
        "Install it again, or raise the limit that this names."
    )
    assert (ended.returncode, ended.stderr) == (1, f"[keystart] ERROR {message}\n")
    assert (store.state["state"], store.state["message"]) == ("failed", message)
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert lambda_api.reported == [("Extension.Internal", message)]


NO_THREAD = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3,clone"]
NO_THREAD += ["-e", "inject=clone3,clone:error=EAGAIN"]


def test_without_a_thread_readers_and_lambda_get_the_reason(
    launch: Launcher, lambda_api: Lambda, store: Store
) -> None:
    code, lines = launch(lambda_api, {"db": "prod/db"}, within=NO_THREAD).ended()
    assert code == 1
    (line,) = lines
    message = line.removeprefix("[keystart] ERROR ")
    assert "no thread can be started" in message
    assert "RLIMIT_NPROC" in message
    assert "pids.max" in message
    assert (store.state["state"], store.state["message"]) == ("failed", message)
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert lambda_api.reported == [("Extension.Internal", message)]


# 3 are the standard streams, and 4 is the least with which a store can be taken over.
@pytest.mark.parametrize("limit", [*range(7, 20), 31, 32, 40])
def test_without_descriptors_readers_and_lambda_get_the_reason(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, limit: int
) -> None:
    limited = ["sh", "-c", f'ulimit -n {limit}; exec "$0"']
    extension = launch(lambda_api, {"db": cloud.secret("x")}, within=limited)
    ended = until(lambda: extension.process.poll() is not None or "/event/next" in lambda_api.paths())
    assert ended
    if extension.process.poll() is None:  # they were enough
        assert store.values == {"db": b"x"}
        lambda_api.send("SHUTDOWN")
        assert extension.ended()[0] == 0
        assert gone(store)
        return
    code, lines = extension.ended()
    assert code == 1
    assert store.state["state"] == "failed", lines
    assert lambda_api.paths() == ["/register", "/init/error"]
    (reported,) = lambda_api.reported
    assert reported[1] == store.state["message"]
    assert f"RLIMIT_NOFILE (ulimit -n), is {limit}" in reported[1]
    assert lines == [f"[keystart] ERROR {reported[1]}"]


def test_a_soft_limit_of_descriptors_is_raised(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    limited = ["sh", "-c", 'ulimit -S -n 8; exec "$0"']
    extension = launch(lambda_api, {"db": cloud.secret("x")}, within=limited)
    lambda_api.wait_for("/event/next")
    assert store.values == {"db": b"x"}
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


def test_no_other_process_looks_into_it_and_it_leaves_no_core_file(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")}, within=["prlimit", "--core=unlimited"])
    lambda_api.wait_for("/event/next")
    process = Path(f"/proc/{extension.process.pid}")
    (limit,) = [line.split() for line in (process / "limits").read_text().splitlines() if "core file" in line]
    assert limit[4:6] == ["0", "0"]
    # If others may not inspect a process, its files in /proc belong to root.
    assert process.stat().st_uid == 0
    refused = []
    look = "import os, sys; os.setgid(65534); os.setuid(65534); open(sys.argv[1], 'rb').read(1)"
    if os.geteuid() == 0:
        for name in ("environ", "maps", "mem"):
            ended = subprocess.run(
                [sys.executable, "-c", look, process / name], capture_output=True, text=True, check=False
            )
            refused.append("PermissionError" in ended.stderr)
        assert refused == [True] * 3
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(autouse=True)
def said(canary: Canaries) -> Canaries:
    """Looks for canaries in the output of every test here."""
    return canary
