"""Reads from several threads, from forked processes, and while another process publishes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keystart
import pytest

from . import publisher as publishing
from .publisher import Publisher

THREADS = 8
LONG = 60.0  # a limit for a test that hangs, not a time that anything takes


class OtherProcess:
    """A writer in a separate process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def publish(self, secrets: dict[str, str]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(secrets) + "\n")
        self._process.stdin.flush()
        return int(self.answer())

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture
def other(root: Path) -> Iterator[OtherProcess]:
    program = [sys.executable, publishing.__file__, str(root)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        writer = OtherProcess(process)
        assert writer.answer() == "open\n"
        yield writer
    assert process.returncode == 0


def test_a_read_waits_until_another_process_publishes(other: OtherProcess, root: Path) -> None:
    with pytest.raises(keystart.NotReady):
        keystart.Keystart(str(root), timeout=0).get("db")
    # The thread can publish only because a read that waits lets other threads run.
    with ThreadPoolExecutor() as pool:
        published = pool.submit(other.publish, {"db": "x"})
        assert keystart.Keystart(str(root), timeout=LONG).get("db") == "x"
        assert published.result() == 1


def test_a_rotation_by_another_process_is_seen_at_once(
    other: OtherProcess, client: keystart.Keystart
) -> None:
    for number in range(1, 6):
        assert other.publish({"db": f"value {number}"}) == number
        assert client.get("db") == f"value {number}"


def until(done: threading.Event, once: Callable[[], None]) -> int:
    """Repeats until the event is set; returns how often."""
    times = 0
    while not done.is_set() or times == 0:
        once()
        times += 1
    return times


def test_threads_read_whole_generations_while_a_writer_publishes(publisher: Publisher, root: Path) -> None:
    publisher.publish({"a": "0", "b": "0"})
    client = keystart.Keystart(str(root), timeout=LONG)
    done = threading.Event()

    def once() -> None:
        try:
            snapshot = client.snapshot()
            a, b = snapshot.get("a"), snapshot.get("b")
        except keystart.SnapshotExpired:
            return
        assert a == b
        before, secret, after = client.get("a"), client.secret("a"), client.get("a")
        assert int(a) <= int(before) <= int(secret.reveal()) <= int(after)

    with ThreadPoolExecutor(THREADS) as pool:
        readers = [pool.submit(until, done, once) for _ in range(THREADS)]
        try:
            for number in range(1, 100):
                publisher.publish({"a": str(number), "b": str(number)})
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)


def test_threads_that_make_the_default_client_at_one_moment_get_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(THREADS, timeout=LONG)

    class Slow(keystart.Keystart):
        def __init__(self) -> None:
            super().__init__()
            together.wait()

    monkeypatch.setattr(keystart, "Keystart", Slow)
    with ThreadPoolExecutor(THREADS) as pool:
        clients = list(pool.map(lambda _: keystart._client(), range(THREADS)))
    assert len({id(client) for client in clients}) == 1


def test_a_client_works_in_a_process_that_was_forked_after_its_use(
    publisher: Publisher, client: keystart.Keystart
) -> None:
    publisher.publish({"read": "1", "unread": "1"})
    snapshot = client.snapshot()
    secret = client.secret("read")
    publisher.publish({"read": "2", "unread": "2"})
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            seen = [client.get("read"), client.get("unread"), snapshot.get("unread"), secret.reveal()]
            os.write(theirs, json.dumps(seen).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert json.load(pipe) == ["2", "2", "1", "1"]
    os.waitpid(pid, 0)
    assert client.get("read") == "2"


def test_a_forked_child_knows_that_its_parent_has_read(
    publisher: Publisher, root: Path, client: keystart.Keystart
) -> None:
    publisher.publish({"db": "x"})
    assert client.get("db") == "x"
    shutil.rmtree(root)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            client.get("db")
        except keystart.KeystartError as error:
            os.write(theirs, str(error).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert pipe.read().startswith(f"The store at {root} was removed while this process ran.")
    os.waitpid(pid, 0)


def test_a_removed_store_ends_each_question_long_before_its_timeout(publisher: Publisher, root: Path) -> None:
    publisher.publish({"db": "x", "mtls/cert": "c", "mtls/key": "k"})
    client = keystart.Keystart(str(root), timeout=999_999)
    assert client.get("db") == "x"
    shutil.rmtree(root)
    questions: list[Callable[[], object]] = [
        *(lambda: client.get("db"), lambda: client.get_bytes("db"), lambda: client.get_json("db")),
        *(lambda: client.path("db"), lambda: client.info("db"), lambda: client.secret("db")),
        *(lambda: client.names(), lambda: client.snapshot(), lambda: client.tls("mtls")),
    ]
    for question in questions:
        with pytest.raises(keystart.NotReady, match="was removed while this process ran"):
            question()


def test_the_default_client_works_in_a_pool_of_forked_processes(
    publisher: Publisher, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTART_DIR", str(root))
    publisher.publish({"db": "x"})
    assert keystart.get("db") == "x"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(keystart.get, ["db"] * 8) == ["x"] * 8


FORKS = """
import os, signal, sys, threading
import keystart

client = keystart.Keystart(sys.argv[1], timeout=5)
done = threading.Event()

def read():
    while not done.is_set():
        keystart.Keystart(sys.argv[1]).get("db")
        client.get("db"), client.snapshot(), client.info("db")

threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(100):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # ends a child that hangs
        os._exit(0 if client.get("db") == "x" and client.snapshot().get("db") == "x" else 1)
    failed += os.waitpid(pid, 0)[1] != 0
done.set()
for thread in threads:
    thread.join()
print(failed)
"""


def test_a_process_may_fork_while_its_threads_read(publisher: Publisher, root: Path) -> None:
    publisher.publish({"db": "x"})
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, str(root)]
    assert subprocess.run(program, check=True, capture_output=True, text=True).stdout == "0\n"
