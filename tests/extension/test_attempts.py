"""Follows logins of `attempt` through the process (contract §9, §12): what it answers, fetches and publishes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import Cloud
from tests.fakes.extensions_api import Lambda

from .conftest import Launcher, Serve, Store
from .test_control import FORMAT, PATIENCE, Control, Started, done
from .test_refresh import Script

UNKNOWN = {"code": "NotConfigured", "message": "No entry of the configuration publishes it."}


class Call:
    """One `try`, whose connection stays open."""

    def __init__(self, control: Control, name: str, generation: int | None = None) -> None:
        self.socket = control.connect()
        self.socket.settimeout(PATIENCE)
        request = {"format": FORMAT, "op": "try", "name": name, "generation": generation}
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Waits for the answer. The connection stays open."""
        received = b""
        while not received.endswith(b"\n"):
            more = self.socket.recv(65_536)
            assert more, "the connection has ended without an answer"
            received += more
        document: dict[str, Any] = json.loads(received)
        assert document.pop("format") == FORMAT
        return document

    def is_answered(self, within: float) -> bool:
        """Waits for so long, and returns whether the answer has come."""
        self.socket.settimeout(within)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)

    def close(self) -> None:
        self.socket.close()


class Logins:
    """The logins of a function, as a reader asks for them and reports them."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.calls: list[Call] = []

    def begin(self, name: str = "db", generation: int | None = None) -> Call:
        self.calls.append(Call(self.control, name, generation))
        return self.calls[-1]

    def ask(self, name: str = "db", generation: int | None = None) -> dict[str, Any]:
        return self.begin(name, generation).answer()

    def accepted(self, generation: int, name: str = "db") -> dict[str, Any]:
        return self._report(op="accepted", name=name, generation=generation)

    def rejected(self, generation: int, name: str = "db", **locked: bool) -> dict[str, Any]:
        return self._report(op="rejected", name=name, generation=generation, **locked)

    def _report(self, **members: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            self.control.send(json.dumps({"format": FORMAT, **members}).encode() + b"\n")
        )
        assert answer.pop("format") == FORMAT
        return answer


@pytest.fixture
def control(store: Store) -> Control:
    return Control(store)


@pytest.fixture
def start(launch: Launcher, lambda_api: Lambda, tmp_path: Path) -> Started:
    return Started(launch, lambda_api, tmp_path)


@pytest.fixture
def logins(control: Control) -> Iterator[Logins]:
    logins = Logins(control)
    yield logins
    for call in logins.calls:
        call.close()


def retry(generation: int, milliseconds: int) -> dict[str, Any]:
    return {**done(generation), "retry_after_ms": milliseconds}


def test_one_call_logs_in_first_and_the_others_wait_for_its_outcome(
    start: Started, logins: Logins, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    assert logins.ask() == done(1)
    second = logins.begin()
    assert not second.is_answered(within=0.1)
    assert logins.accepted(1) == done(1)
    assert second.answer() == done(1)
    assert logins.ask() == done(1), "a version that was just accepted is free"


def test_a_call_that_waits_is_asked_to_ask_again_before_its_reader_gives_up(
    start: Started, logins: Logins, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    logins.ask()
    assert logins.ask() == retry(1, 0)


def test_the_end_of_the_first_call_lets_the_next_one_log_in(
    start: Started, logins: Logins, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    first = logins.begin()
    assert first.answer() == done(1)
    second = logins.begin()
    assert not second.is_answered(within=0.1)
    first.close()
    assert second.is_answered(within=0.3), "sooner than the first call has time to report"
    assert second.answer() == done(1)


def test_a_call_that_ends_while_it_waits_holds_up_nobody(
    start: Started, logins: Logins, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    first = logins.begin()
    first.answer()
    second, third = logins.begin(), logins.begin()
    second.close()
    first.close()
    assert third.is_answered(within=0.3)
    assert third.answer() == done(1)


def test_after_a_rejection_the_version_to_which_the_secret_has_moved_is_published(
    start: Started, logins: Logins, serve: Serve, store: Store
) -> None:
    script = Script(db="old")
    serve(script)
    start({"db": "db"})
    assert logins.ask() == done(1)
    script.values["db"] = "new"
    assert logins.rejected(1) == done(1)
    assert logins.ask(generation=1) == done(2)
    assert store.values == {"db": b"new"}


def test_an_unknown_name_is_named_in_the_failures(start: Started, logins: Logins, cloud: Cloud) -> None:
    start({"db": cloud.secret("x")})
    for answer in (logins.ask("other"), logins.accepted(1, "db/below"), logins.rejected(1, "other")):
        (failure,) = answer.pop("failures").values()
        assert failure == UNKNOWN
        assert {**answer, "failures": {}} == done(1)
