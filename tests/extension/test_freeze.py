"""Freezes the process in the middle of a refresh, as Lambda does between invocations."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.fakes.aws import secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Request
from tests.fakes.script import Script
from tests.waiting import PATIENCE, until

from .conftest import Extension, Serve, Store
from .control import Control, Started, done

FROZEN = 4.0  # seconds; longer than a refresh may take


@contextmanager
def frozen(extension: Extension) -> Iterator[None]:
    """Stops the process during the `with` block."""
    pid = extension.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class HeldAnswer:
    """Answers the first request when it is let go, and all others at once."""

    def __init__(self, first: Answer | None, others: Answer) -> None:
        self._first, self._others = first, others
        self.signatures: list[str] = []
        self.asked, self.let_go = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> Answer | None:
        self.signatures.append(request.headers["Authorization"])
        if len(self.signatures) > 1:
            return self._others
        self.asked.set()
        self.let_go.wait(PATIENCE)
        return self._first


def test_a_request_that_a_freeze_cuts_is_signed_anew_and_sent_once_more(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old"))
    start({"db": "db"})
    held = HeldAnswer(secret("too late", VersionId="v-late"), secret("new", VersionId="v-new"))
    script.values["db"] = held
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(control.ask, ["db"])
        assert held.asked.wait(PATIENCE)
        with frozen(start.extension):
            time.sleep(FROZEN)
        assert asking.result(PATIENCE) == done(2)
    held.let_go.set()
    assert store.values == {"db": b"new"}
    assert len(held.signatures) == 2
    assert len(set(held.signatures)) == 2, "the old signature is too old"


def test_an_answer_that_arrives_during_a_freeze_is_used(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old"))
    start({"db": "db"})
    held = HeldAnswer(secret("new", VersionId="v-new"), secret("again", VersionId="v-again"))
    script.values["db"] = held
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(control.ask, ["db"])
        assert held.asked.wait(PATIENCE)
        with frozen(start.extension):
            held.let_go.set()
            time.sleep(FROZEN)
        assert asking.result(PATIENCE) == done(2)
    assert store.values == {"db": b"new"}
    assert len(held.signatures) == 1


def test_an_invocation_waits_for_a_refresh_that_a_freeze_cuts(
    start: Started, serve: Serve, store: Store, lambda_api: Lambda
) -> None:
    script = serve.start(Script(db="old"))
    start({"db": "db"}, ttl="60s")
    held = HeldAnswer(None, secret("new", VersionId="v-new"))
    script.values["db"] = held
    start.clock.pass_by(60)
    lambda_api.send("INVOKE")
    assert held.asked.wait(PATIENCE)
    with frozen(start.extension):
        time.sleep(FROZEN)
    lambda_api.wait_for("/event/next", times=2)
    held.let_go.set()
    assert store.values == {"db": b"new"}
    assert len(held.signatures) == 2


def test_a_store_that_does_not_answer_after_a_freeze_either_has_failed_when_the_time_is_over(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    never = threading.Event()

    def hang(_: Request) -> Answer | None:
        never.wait(PATIENCE)
        return None

    script = serve.start(Script(db="old"))
    start({"db": "db"})
    script.values["db"] = hang
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(control.ask, ["db"])
        assert until(lambda: script.asked.count("db") >= 2)
        with frozen(start.extension):
            time.sleep(FROZEN)
        answer = asking.result(PATIENCE)
    never.set()
    assert answer["failures"]["db"]["code"] == "DeadlineExceeded"
    assert script.asked.count("db") == 3
    assert store.values == {"db": b"old"}
