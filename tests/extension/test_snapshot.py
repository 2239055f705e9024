"""Copies the extension and its memory as SnapStart does, with CRIU, and restores the copy many times."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

import pytest

from tests import ROOT
from tests.fakes.aws import secret
from tests.fakes.http import Stub
from tests.waiting import PATIENCE, until

from .conftest import Canaries, Store
from .control import Control, done
from .test_snapstart import SNAPSTART, configuration

pytestmark = [pytest.mark.alone, pytest.mark.long]

RESTORES = 100
# Both ends of the connection to the Extensions API are in the snapshot, so nothing must keep packets out.
OPTIONS = ("--tcp-established", "--file-locks")


class Snapshot:
    """A tree of processes and what they have on disk, which can be restored after it has ended."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.images = folder / "images"
        self._folder = folder
        self._disk = disk
        self._copy = folder / "copy"
        self.images.mkdir(parents=True)

    def take(self, process: int) -> None:
        """Ends the tree of that process, and keeps all of it."""
        self._criu("dump", "--tree", str(process), "--network-lock", "skip", *OPTIONS)
        shutil.copytree(self._disk, self._copy, symlinks=True, ignore=shutil.ignore_patterns("control.sock"))

    def __contains__(self, text: str) -> bool:
        """Returns whether the memory or the disk holds a text."""
        files = (path for folder in (self.images, self._copy) for path in folder.rglob("*") if path.is_file())
        return any(text.encode() in path.read_bytes() for path in files)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Brings the tree back, and ends it at the end."""
        shutil.rmtree(self._disk)
        shutil.copytree(self._copy, self._disk, symlinks=True)
        number = self._folder / "pid"
        number.unlink(missing_ok=True)
        self._criu("restore", "--restore-detached", "--pidfile", str(number), *OPTIONS)
        process = int(number.read_text())
        # CRIU makes a socket under the name with which it was bound.
        for bound in self._disk.rglob(".control-*"):
            bound.rename(bound.with_name("control.sock"))
        try:
            yield
        finally:
            # First: when its connection ends, the extension would change the disk.
            os.kill(child(process), signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            assert until(lambda: not is_alive(process)), "the copy has not ended"

    def _criu(self, *arguments: str) -> None:
        log = self._folder / f"{arguments[0]}.log"
        criu = ["criu", *arguments, "--images-dir", str(self.images), "--log-file", str(log)]
        done = subprocess.run(criu, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            lines = log.read_text().splitlines() if log.exists() else [done.stderr.strip()]
            # CRIU reports the first of these although it continues.
            errors = [line for line in lines if "Error" in line and "RLIMIT_NOFILE" not in line]
            raise OSError(f"criu {arguments[0]}: {(errors or lines)[0]}")


def is_alive(process: int) -> bool:
    """Returns whether the process runs. One that nobody has waited for has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(folder: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command beside its Extensions API, as the first process of a namespace, so that its numbers are free."""
    folder.mkdir()
    api = [sys.executable, str(ROOT / "tests/extension/snapshot_api.py"), str(folder)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        ["unshare", "--pid", "--fork", "setsid", *api, *command],
        env=environment,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )


def child(process: int) -> int:
    return int(Path(f"/proc/{process}/task/{process}/children").read_text())


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends what was started. With the first process of a namespace all others end."""
    if process.poll() is None:
        os.kill(child(process.pid), signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def criu(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips a test where CRIU cannot copy a process that has connections."""
    if os.geteuid() != 0:
        pytest.skip("only root may copy a process with CRIU")
    if shutil.which("criu") is None:
        pytest.skip("CRIU is not installed")
    folder = tmp_path_factory.mktemp("criu")
    asks = "import http.client, os; c = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API']);"
    ask = [sys.executable, "-c", f"{asks} c.request('GET', '/next'); c.getresponse()"]
    process = started(folder / "disk", ask, dict(os.environ))
    try:
        assert until((folder / "disk/asked-1").exists), "no process asks"
        snapshot = Snapshot(folder / "snapshot", folder / "disk")
        snapshot.take(child(process.pid))
        with snapshot.restored():
            pass
    except OSError as why:
        version = subprocess.run(["criu", "--version"], capture_output=True, text=True).stdout.split()
        pytest.skip(f"CRIU {' '.join(version[1:2])} cannot copy a process on this kernel: {why}")
    finally:
        end(process)


@contextmanager
def snapshot_of(folder: Path, aws: Stub, key: str, **settings: str) -> Iterator[Snapshot]:
    """Copies an extension that has ended its Init. Its store is `disk/store`."""
    disk, file = folder / "disk", folder / "keystart.json"
    file.write_text(configuration(**settings))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_REGION": "eu-west-1",
        "KEYSTART_CONFIG": str(file),
        "KEYSTART_DIR": str(disk / "store"),
        **SNAPSTART,
    }
    process = started(disk, [str(Path(sys.executable).with_name("keystart"))], environment)
    try:
        assert until((disk / "asked-1").exists), "the extension is not ready"
        snapshot = Snapshot(folder / "snapshot", disk)
        snapshot.take(child(process.pid))
        yield snapshot
    finally:
        end(process)


@pytest.mark.usefixtures("criu")
def test_a_snapshot_holds_no_secret_and_each_restore_is_another_one(tmp_path: Path, canary: Canaries) -> None:
    value, key = canary(), token_hex()
    root = tmp_path / "disk/store"
    with Stub(lambda _request: secret(value)) as aws, snapshot_of(tmp_path, aws, key) as snapshot:
        assert aws.requests == []
        assert key in snapshot, "the search finds what was in memory"
        assert value not in snapshot
        for restore in range(RESTORES):
            with snapshot.restored():
                if restore % 2:  # with the hook of a reader
                    assert Control(root).ask(None, op="restored") == done(1)
                invoke(tmp_path / "disk")
                assert Store(root).values == {"db": value.encode()}
        ids = {request.headers["amz-sdk-invocation-id"] for request in aws.requests}
    assert len(aws.requests) == RESTORES
    assert len(ids) == RESTORES


@pytest.mark.usefixtures("criu")
def test_with_init_the_snapshot_holds_the_secret(tmp_path: Path) -> None:
    value = token_hex()
    with (
        Stub(lambda _request: secret(value)) as aws,
        snapshot_of(tmp_path, aws, token_hex(), snapstart="init") as snapshot,
    ):
        assert value in snapshot


def invoke(folder: Path) -> None:
    """Sends the first INVOKE to a restored extension, and waits until it has ended its part."""
    event = {"eventType": "INVOKE", "deadlineMs": int((time.time() + PATIENCE) * 1000)}
    (folder / "event").write_text(json.dumps(event))
    (folder / "event").rename(folder / "event-1")
    assert until((folder / "asked-2").exists), "the invocation has not ended"
