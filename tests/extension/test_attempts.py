"""Follows logins of `attempt` through the process (contract §9, §12): what it answers, fetches and publishes."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.extensions_api import Lambda
from tests.fakes.script import DENIED
from tests.fakes.stages import Asked, StagedSecrets
from tests.waiting import PATIENCE, until
from tests.writer.disk import Disk

from .clock import MOVED_CLOCK, Clock
from .conftest import Canaries, Launcher, Serve, Store
from .control import FORMAT, Control, Started, done

KEPT_FOR = 60.0  # limits.toml: retention.seconds
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
        """Asks until the answer is not to ask again at once."""
        ends_at = time.monotonic() + PATIENCE
        answer = self.begin(name, generation).answer()
        while answer["retry_after_ms"] == 0:
            assert time.monotonic() < ends_at, "every answer was to ask again"
            answer = self.begin(name, generation).answer()
        return answer

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
def logins(control: Control) -> Iterator[Logins]:
    logins = Logins(control)
    yield logins
    for call in logins.calls:
        call.close()


@pytest.fixture
def cloud(serve: Serve) -> StagedSecrets:
    return serve.start(StagedSecrets())


def retry(generation: int, milliseconds: int) -> dict[str, Any]:
    return {**done(generation), "retry_after_ms": milliseconds}


def candidate(generation: int, number: int) -> dict[str, Any]:
    return {**done(generation), "candidate": number}


def values(store: Store, generation: int) -> dict[str, str]:
    """Returns the secrets of a generation, whether it is published or not."""
    folder = store.root / f"generations/{generation}/secrets"
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


DAYS = 3 * 24 * 3600.0


def test_one_call_logs_in_first_and_the_others_wait_for_its_outcome(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    assert logins.ask() == done(1)
    second = logins.begin()
    assert not second.is_answered(within=0.1)
    assert logins.accepted(1) == done(1)
    assert second.answer() == done(1)
    assert logins.ask() == done(1), "a version that was just accepted is free"


def test_a_call_that_waits_is_asked_to_ask_again_before_its_reader_gives_up(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    logins.ask()
    assert logins.begin().answer() == retry(1, 0)


def test_the_end_of_the_first_call_lets_the_next_one_log_in(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    first = logins.begin()
    assert first.answer() == done(1)
    second = logins.begin()
    assert not second.is_answered(within=0.1)
    first.close()
    assert second.is_answered(within=0.3), "sooner than the first call has time to report"
    assert second.answer() == done(1)


@pytest.mark.parametrize("kind", ["in AWS's order", "secret first"])
def test_while_the_server_is_silent_logins_take_the_versions_of_a_rotation_in_turn(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store, kind: str
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    if kind == "secret first":
        cloud.put("db", "new")
        start.clock.pass_by(1)
        assert logins.control.ask(["db"]) == done(2)
        published, other = 2, 3
    else:
        cloud.put("db", "new", "AWSPENDING")
        published, other = 1, 2
    assert logins.ask() == done(published)
    for generation in (other, None, other, None):
        start.clock.pass_by(1)
        expected = done(published) if generation is None else candidate(published, generation)
        assert logins.ask() == expected
    assert values(store, other) == {"db": "old" if kind == "secret first" else "new"}
    assert logins.accepted(other) == done(other + 1)
    assert store.values == {"db": values(store, other)["db"].encode()}


def test_a_call_that_ends_while_it_waits_holds_up_nobody(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    first = logins.begin()
    first.answer()
    second, third = logins.begin(), logins.begin()
    second.close()
    first.close()
    assert third.is_answered(within=0.3)
    assert third.answer() == done(1)


def test_after_a_rejection_the_version_to_which_the_secret_has_moved_is_published(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store, canary: Canaries
) -> None:
    old, new = canary(), canary()
    cloud.put("db", old)
    start({"db": "db"})
    assert logins.ask() == done(1)
    cloud.put("db", new)
    assert logins.rejected(1) == done(1)
    assert logins.ask(generation=1) == done(2)
    assert store.values == {"db": new.encode()}
    assert [asked.stage for asked in cloud.asked] == ["AWSCURRENT", "AWSPENDING", "AWSCURRENT"]


def test_a_rotation_in_the_order_of_aws_goes_through_the_pending_version(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store, canary: Canaries
) -> None:
    old, new = canary(), canary()
    cloud.put("db", old)
    cloud.put("other", "same")
    start({"db": "db", "other": "other"})
    assert logins.ask() == done(1)
    version = cloud.put("db", new, "AWSPENDING")
    assert logins.rejected(1) == done(1)
    assert logins.ask(generation=1) == candidate(1, 2)
    assert values(store, 2) == {"db": new, "other": "same"}
    assert store.values == {"db": old.encode(), "other": b"same"}, "a candidate is not published"
    waiting = logins.begin()
    assert logins.accepted(2) == done(3)
    assert store.values == {"db": new.encode(), "other": b"same"}, "published when the answer comes"
    assert waiting.answer() == done(3)
    cloud.move("db", version)
    start.clock.pass_by(1)
    assert logins.control.ask(["db"]) == done(3), "AWSCURRENT is what is published already"
    assert start.end() == [
        "[keystart] INFO  published generation 3 with the version of db that the server accepted"
    ]


def test_an_accepted_version_stays_until_awscurrent_moves(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store, lambda_api: Lambda
) -> None:
    cloud.put("db", "old")
    start({"db": "db"}, ttl="60s")
    through_pending(logins, cloud, "db", "new")
    start.clock.pass_by(60)
    lambda_api.send("INVOKE")
    lambda_api.wait_for("/event/next", times=2)
    assert cloud.asked[-1].stage == "AWSCURRENT"
    assert store.values == {"db": b"new"}, "AWSCURRENT has not moved"
    cloud.put("db", "newer")
    start.clock.pass_by(60)
    lambda_api.send("INVOKE")
    lambda_api.wait_for("/event/next", times=3)
    assert store.values == {"db": b"newer"}


def refuse_while_pending(
    logins: Logins, cloud: StagedSecrets, name: str = "db", value: str = "new", of: str | None = None
) -> dict[str, Any]:
    """Begins a rotation, has the published version refused, and returns the answer to the next login."""
    published = logins.ask(name)["generation"]
    cloud.put(of or name, value, "AWSPENDING")
    logins.rejected(published, name)
    return logins.ask(name, published)


def through_pending(
    logins: Logins, cloud: StagedSecrets, name: str, value: str, of: str | None = None
) -> None:
    """Plays a rotation until the pending version of the secret is accepted."""
    tried = refuse_while_pending(logins, cloud, name, value, of)["candidate"]
    assert logins.accepted(tried, name)["generation"] == tried + 1


def test_alternating_users_get_user_and_password_of_one_version(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", '{"user": "a", "password": "1"}')
    start({"db": {"secret": "db", "expand": True}})
    through_pending(logins, cloud, "db", '{"user": "b", "password": "2"}')
    assert store.values == {"db/user": b"b", "db/password": b"2"}
    version = cloud.version("db", "AWSPENDING")
    assert version is not None
    cloud.move("db", version)
    cloud.detach("db", "AWSPENDING")
    start.clock.pass_by(30)
    through_pending(logins, cloud, "db", '{"user": "a", "password": "3"}')
    assert store.values == {"db/user": b"a", "db/password": b"3"}


def test_a_secret_that_is_changed_before_the_server_goes_back_to_the_previous_version(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    cloud.put("db", "new")
    start({"db": "db"})
    assert logins.ask() == done(1)
    logins.rejected(1)
    assert logins.ask(generation=1) == candidate(1, 2)
    assert [asked.stage for asked in cloud.asked[1:]] == ["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]
    assert values(store, 2) == {"db": "old"}
    assert logins.accepted(2) == done(3)
    start.clock.pass_by(5)
    assert logins.control.ask(None) == done(3), "a refresh leaves what was accepted"
    # Now the server follows.
    start.clock.pass_by(5)
    assert logins.ask() == done(3)
    logins.rejected(3)
    assert logins.ask(generation=3) == done(4)
    assert store.values == {"db": b"new"}


def test_a_previous_version_that_is_older_than_a_day_is_not_tried(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "old")
    cloud.age("db", cloud.put("db", "new"), DAYS)
    start({"db": "db"})
    logins.ask()
    logins.rejected(1)
    assert logins.ask(generation=1) == retry(1, 1000)
    assert [asked.stage for asked in cloud.asked[1:]] == ["AWSPENDING", "AWSCURRENT"]


def test_a_rotation_that_is_rolled_back_gets_its_old_password_back(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    through_pending(logins, cloud, "db", "new")
    cloud.detach("db", "AWSPENDING")
    start.clock.pass_by(30)
    assert logins.ask() == done(3)
    logins.rejected(3)
    assert logins.ask(generation=3) == done(4)
    assert store.values == {"db": b"old"}


def test_a_refusal_right_after_a_refresh_publishes_what_the_refresh_fetched(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    through_pending(logins, cloud, "db", "new")
    cloud.detach("db", "AWSPENDING")
    start.clock.pass_by(30)
    logins.control.ask(None)
    asked = len(cloud.asked)
    logins.ask()
    logins.rejected(3)
    assert logins.ask(generation=3) == done(4)
    assert store.values == {"db": b"old"}
    assert [asked.stage for asked in cloud.asked[asked:]] == ["AWSPENDING"]


def test_a_password_that_is_dead_for_ten_minutes_costs_a_dozen_logins(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.age("db", cloud.put("db", "dead"), DAYS)
    start({"db": "db"})
    allowed = 0
    for _ in range(120):
        answer = logins.ask()
        if answer["retry_after_ms"] is None:
            assert answer == done(1)
            allowed += 1
            logins.rejected(1)
            answer = logins.ask(generation=1)
        assert 0 < answer["retry_after_ms"] <= 60_000
        start.clock.pass_by(5)
    assert 12 <= allowed <= 14
    first, second, *_, last = start.end()
    words = "The server refused db with the published version. One login tries again in {} s."
    assert first.startswith(f"[keystart] WARN  {words.format(1)}")
    assert second.startswith(f"[keystart] WARN  {words.format(5)}")
    assert last.startswith(f"[keystart] WARN  {words.format(60)}")


def test_refusals_are_forgotten_while_the_environment_is_frozen_and_when_its_clock_is_set_back(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.age("db", cloud.put("db", "dead"), DAYS)
    start({"db": "db"})

    def be_refused() -> None:
        assert logins.ask() == done(1)
        logins.rejected(1)
        assert logins.ask(generation=1)["retry_after_ms"] > 0

    be_refused()
    start.clock.pass_by(3600, is_frozen=True)
    be_refused()
    start.clock.pass_by(-86_400)
    start.clock.pass_by(30)
    assert logins.ask() == done(1)


def test_a_fault_of_ours_in_a_decision_leaves_no_login_waiting_forever(
    start: Started, logins: Logins, cloud: StagedSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put("db", "old")
    monkeypatch.setenv("KEYSTART_TEST_BREAK_ONCE", "_make_candidate")
    start({"db": "db"})
    cloud.put("db", "new", "AWSPENDING")
    assert logins.ask() == done(1)
    logins.rejected(1)
    assert logins.begin(generation=1).answer() == retry(1, 0)
    # The next login knows nothing of the refusal, and goes through all versions again.
    assert logins.ask() == done(1)
    logins.rejected(1)
    start.clock.pass_by(1)
    assert logins.ask(generation=1) == candidate(1, 2)
    why = "Keystart failed in a way it should not: ZeroDivisionError in moved_clock.py:"
    assert any(why in line for line in start.end())


def test_a_server_that_is_down_holds_up_no_call_for_long(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    for _ in range(50):
        call = logins.begin()
        assert call.answer() == done(1)
        call.close()  # its login failed otherwise


def test_a_locked_account_ends_the_logins_of_all_calls(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    logins.ask()
    waiting = logins.begin()
    assert not waiting.is_answered(within=0.1)
    logins.rejected(1, locked=True)
    assert waiting.answer() == retry(1, 1000)
    answer = logins.ask()
    assert 0 < answer["retry_after_ms"] <= 1000
    assert len(cloud.asked) == 1, "another version would not help"


def test_after_a_lock_the_secrets_new_user_logs_in(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "user a")
    start({"db": "db"})
    logins.ask()
    logins.rejected(1, locked=True)
    cloud.put("db", "user b")
    start.clock.pass_by(2)
    assert logins.ask() == done(2)
    assert store.values == {"db": b"user b"}
    assert start.end()[0] == (
        "[keystart] WARN  The server has locked the account of db. One login tries again in 1 s. Unlock the account."
    )


def test_an_optional_secret_without_a_value_that_is_denied_holds_up_no_login_of_its_folder(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "old")
    cloud.interfere = lambda asked: DENIED if asked.name == "extra" else None
    start({"db/password": "db", "db/extra": {"secret": "extra", "optional": True}})
    assert refuse_while_pending(logins, cloud) == candidate(1, 2)


def test_two_fetches_of_one_entry_that_end_in_the_other_order_leave_no_login_waiting(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    logins.ask()
    gate, hung = threading.Event(), threading.Event()

    def interfere(asked: Asked) -> None:
        if asked.stage == "AWSCURRENT" and not hung.is_set():
            hung.set()
            gate.wait(PATIENCE)

    cloud.interfere = interfere
    logins.rejected(1)
    logins.begin(generation=1)
    assert hung.wait(PATIENCE)
    (store.root / "current").unlink()
    logins.begin(generation=1)  # it notices that, and everything is fetched again
    assert until((store.root / "current").exists)
    gate.set()
    start.clock.pass_by(2)
    assert logins.ask(generation=1)["retry_after_ms"] != 0


def test_a_login_does_not_wait_for_another_secret_that_hangs(
    start: Started, logins: Logins, cloud: StagedSecrets, lambda_api: Lambda
) -> None:
    cloud.put("db", "old")
    cloud.put("slow", "x")
    start({"db": "db", "slow": "slow"}, ttl="10s", refresh_deadline="5m")
    cloud.put("db", "new", "AWSPENDING")
    logins.ask()
    logins.rejected(1)
    gate, hung = threading.Event(), threading.Event()

    def interfere(asked: Asked) -> None:
        if asked.name == "slow":
            hung.set()
            gate.wait(3 * PATIENCE)

    cloud.interfere = interfere
    start.clock.pass_by(11)
    lambda_api.send("INVOKE")
    assert hung.wait(PATIENCE)
    start.clock.pass_by(1)
    try:
        assert logins.ask(generation=1) == candidate(1, 2)
    finally:
        gate.set()


@pytest.mark.long
def test_a_candidate_is_removed_in_time_although_nothing_happens(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    assert refuse_while_pending(logins, cloud) == candidate(1, 2)
    for call in logins.calls:
        call.close()
    assert until(lambda: not (store.root / "generations/2").exists(), KEPT_FOR + PATIENCE)
    assert store.values == {"db": b"old"}


def test_a_stage_that_does_not_fit_on_the_disk_is_logged_once_and_the_next_one_is_tried(
    launch: Launcher, lambda_api: Lambda, cloud: StagedSecrets, tmp_path: Path
) -> None:
    lambda_api.looks = lambda: None
    cloud.put("db", "older")
    cloud.put("db", "old")
    clock = Clock(tmp_path)
    within = [sys.executable, str(MOVED_CLOCK), str(clock.file)]
    with tempfile.TemporaryDirectory() as folder, Disk.make(Path(folder)) as disk:
        store = Store(disk.path / "store")
        extension = launch(lambda_api, {"db": "db"}, within=within, KEYSTART_DIR=str(store.root))
        lambda_api.wait_for("/event/next")
        logins = Logins(Control(store.root))
        logins.ask()
        cloud.put("db", "n" * 60_000, "AWSPENDING")
        logins.rejected(1)
        disk.fill(pages=6)
        for _ in range(3):
            answer = logins.ask(generation=1)
            assert values(store, answer["candidate"]) == {"db": "older"}
            clock.pass_by(1)
        disk.make_room()
        for call in logins.calls:
            call.close()
        lambda_api.send("SHUTDOWN")
        code, (_, full, *others) = extension.ended()
    assert (code, others) == (0, [])
    assert full.startswith("[keystart] WARN  AWSPENDING of db cannot be tried: ")
    assert "There is no space left" in full


def test_a_late_accepted_after_a_newer_publish_publishes_nothing(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    assert refuse_while_pending(logins, cloud) == candidate(1, 2)
    cloud.put("db", "newer")
    start.clock.pass_by(1)
    assert logins.control.ask(None) == done(3)
    assert logins.accepted(2) == done(3)
    assert store.values == {"db": b"newer"}


def test_reports_of_generations_that_nobody_made_change_nothing(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    assert logins.rejected(99) == done(1)
    assert logins.accepted(2**53 - 1) == done(1)
    assert logins.ask() == done(1)
    assert len(cloud.asked) == 1


def test_a_pair_in_two_secrets_of_one_folder_changes_together(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("cert", "old")
    cloud.put("key", "old")
    cloud.put("api", "same")
    start({"tls/cert": "cert", "tls/key": "key", "api": "api"})
    logins.ask("tls")
    cloud.put("cert", "new", "AWSPENDING")
    cloud.put("key", "new", "AWSPENDING")
    logins.rejected(1, "tls")
    assert logins.ask("tls", 1) == candidate(1, 2)
    assert values(store, 2) == {"tls/cert": "new", "tls/key": "new", "api": "same"}
    assert logins.accepted(2, "tls") == done(3)
    assert store.values == {"tls/cert": b"new", "tls/key": b"new", "api": b"same"}


def test_of_a_pair_that_is_rotated_one_after_the_other_the_half_that_is_pending_changes(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("cert", "old")
    cloud.put("key", "old")
    start({"tls/cert": "cert", "tls/key": "key"})
    logins.ask("tls")
    cloud.put("cert", "new")
    cloud.put("key", "new", "AWSPENDING")
    logins.rejected(1, "tls")
    assert logins.ask("tls", 1) == done(2)
    assert store.values == {"tls/cert": b"new", "tls/key": b"old"}, "what AWSCURRENT has is tried first"
    logins.rejected(2, "tls")
    assert logins.ask("tls", 2) == candidate(2, 3)
    assert values(store, 3) == {"tls/cert": "new", "tls/key": "new"}


def test_two_credentials_in_one_folder_hold_up_each_other_in_nothing(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    cloud.age("cache", cloud.put("cache", "dead"), DAYS)
    start({"orders/db": "db", "orders/cache": "cache"})
    logins.ask("orders/cache")
    logins.rejected(1, "orders/cache")
    assert logins.ask("orders/cache", 1) == retry(1, 1000)
    assert logins.ask("orders/db") == done(1)
    for _ in range(3):
        logins.accepted(1, "orders/db")
        assert 0 < logins.ask("orders/cache", 1)["retry_after_ms"] <= 1000, "its pause stays"
    through_pending(logins, cloud, "orders/db", "new", of="db")
    assert store.values == {"orders/db": b"new", "orders/cache": b"dead"}


def test_names_of_one_secret_are_one_credential(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", '{"user": "a", "password": "1"}')
    start({"user": {"secret": "db", "field": "user"}, "password": {"secret": "db", "field": "password"}})
    logins.ask("password")
    cloud.put("db", '{"user": "b", "password": "2"}', "AWSPENDING")
    logins.rejected(1, "password")
    assert logins.ask("user", 1) == candidate(1, 2)
    assert values(store, 2) == {"user": "b", "password": "2"}


def test_an_optional_secret_that_does_not_exist_holds_up_no_login_of_its_folder(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"app/db": "db", "app/flags": {"secret": "flags", "optional": True}})
    assert refuse_while_pending(logins, cloud, "app", of="db") == candidate(1, 2)
    assert logins.accepted(2, "app") == done(3)
    assert store.values == {"app/db": b"new"}


def test_an_entry_with_a_stage_requests_no_other_stage(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "older")
    cloud.put("db", "old")
    start({"db": {"secret": "db", "stage": "AWSPREVIOUS"}})
    assert refuse_while_pending(logins, cloud) == retry(1, 1000)
    assert [asked.stage for asked in cloud.asked] == ["AWSPREVIOUS", "AWSPREVIOUS"]


def test_awscurrent_as_a_stage_changes_nothing(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": {"secret": "db", "stage": "AWSCURRENT"}})
    through_pending(logins, cloud, "db", "new")
    assert store.values == {"db": b"new"}


def test_a_version_with_the_same_values_is_not_tried_again(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.age("db", cloud.put("db", '{"password": "x", "note": 1}'), DAYS)
    start({"db": {"secret": "db", "field": "password"}})
    assert refuse_while_pending(logins, cloud, value='{"password": "x", "note": 2}') == retry(1, 1000)


def test_a_stage_that_is_denied_is_logged_once_and_the_others_count(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    cloud.interfere = lambda asked: DENIED if asked.stage == "AWSPENDING" else None
    for generation in (1, 2):
        logins.ask()
        cloud.put("db", f"new {generation}")
        logins.rejected(generation)
        assert logins.ask(generation=generation) == done(generation + 1)
        logins.accepted(generation + 1)
        start.clock.pass_by(5)
    denied, *published = start.end()
    assert denied.startswith(
        "[keystart] WARN  AWSPENDING of db (secret db in eu-west-1) could not be fetched: AccessDeniedException: "
    )
    assert len(published) == 2


def test_a_store_that_hangs_holds_a_call_no_longer_than_half_a_second_at_a_time(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    gate = threading.Event()

    def hang(asked: Asked) -> None:
        if asked.stage == "AWSPENDING":
            gate.wait(PATIENCE)

    cloud.put("db", "old")
    cloud.put("other", "x")
    start({"db": "db", "other": "other"})
    logins.ask()
    cloud.interfere = hang
    logins.rejected(1)
    assert logins.begin(generation=1).answer() == retry(1, 0)
    assert logins.ask("other") == done(1), "a login with another secret waits for nothing"
    assert logins.control.ask(["other"]) == done(1)
    cloud.put("db", "new")
    assert logins.ask(generation=1) == done(2), "AWSPENDING has failed, and AWSCURRENT has not"
    gate.set()
    hung, _ = (line for line in start.end() if " has no value after " not in line)
    assert "AWSPENDING of db (secret db in eu-west-1) could not be fetched: DeadlineExceeded" in hung


def test_a_root_that_was_removed_is_made_anew_and_its_candidates_are_forgotten(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    assert refuse_while_pending(logins, cloud) == candidate(1, 2)
    shutil.rmtree(store.root / "generations/2")
    (store.root / "current").unlink()
    logins.begin()
    assert until(store.is_published)
    assert store.manifest["generation"] == 3
    start.clock.pass_by(5)
    assert logins.ask(generation=1) == candidate(3, 4)
    assert values(store, 4) == {"db": "new"}


def test_an_accepted_version_is_published_again_after_the_store_was_removed(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store, lambda_api: Lambda
) -> None:
    cloud.put("db", "old")
    start({"db": "db"}, ttl="60s")
    through_pending(logins, cloud, "db", "new")
    start.clock.pass_by(5)
    shutil.rmtree(store.root)
    lambda_api.send("INVOKE")
    lambda_api.wait_for("/event/next", times=2)
    assert until(lambda: store.values == {"db": b"new"})
    start.clock.pass_by(5)
    assert logins.control.ask(None)["generation"] == store.manifest["generation"], "a refresh leaves it"
    assert store.values == {"db": b"new"}


def test_a_candidate_that_the_function_removed_is_made_again(
    start: Started, logins: Logins, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    assert refuse_while_pending(logins, cloud) == candidate(1, 2)
    for seconds in (0, 5):
        start.clock.pass_by(seconds)
        for folder in (store.root / "generations").iterdir():
            if folder.name != "1":
                shutil.rmtree(folder)
        number = logins.ask(generation=1)["candidate"]
        assert values(store, number) == {"db": "new"}
    assert logins.accepted(number) == done(number + 1)
    assert store.values == {"db": b"new"}


def test_a_request_before_the_first_publish_is_answered_after_it(
    launch: Launcher, lambda_api: Lambda, logins: Logins, cloud: StagedSecrets
) -> None:
    gate = threading.Event()

    def wait(_: Asked) -> None:
        gate.wait(PATIENCE)

    cloud.put("db", "x")
    cloud.interfere = wait
    launch(lambda_api, {"db": "db"})
    assert until(logins.control.path.exists)
    call, gone = logins.begin(), logins.begin()
    gone.close()
    assert not call.is_answered(within=0.1)
    gate.set()
    assert call.answer() == done(1)


class Server:
    """A server with one password. It counts the logins that it refuses."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.refused = 0
        self._lock = threading.Lock()

    def accepts(self, password: str) -> bool:
        with self._lock:
            time.sleep(0.0005)
            if password != self.password:
                self.refused += 1
            return password == self.password


def test_a_thousand_callers_get_through_a_rotation_with_one_refused_login(
    start: Started, control: Control, cloud: StagedSecrets, store: Store
) -> None:
    cloud.put("db", "old")
    start({"db": "db"})
    cloud.put("db", "new", "AWSPENDING")
    server = Server("new")
    ready = threading.Barrier(1000)
    began = time.monotonic()

    def attempt() -> int:
        """Follows the algorithm of a reader, and returns how many logins it took."""
        logins, refused, count = Logins(control), None, 0
        ready.wait(PATIENCE)
        while True:
            call = logins.begin(generation=refused)
            answer = call.answer()
            if answer["retry_after_ms"] is not None:
                call.close()
                time.sleep(answer["retry_after_ms"] / 1000)
                continue
            count += 1
            generation = answer["candidate"] or answer["generation"]
            is_accepted = server.accepts(values(store, generation)["db"])
            (logins.accepted if is_accepted else logins.rejected)(generation)
            call.close()
            if is_accepted:
                return count
            refused = generation

    with ThreadPoolExecutor(1000) as pool:
        counts = [call.result(10 * PATIENCE) for call in [pool.submit(attempt) for _ in range(1000)]]
    assert sum(counts) == 1001
    assert server.refused == 1
    assert store.values == {"db": b"new"}
    # Each second in which the version is not known has at most one request for each of two stages.
    assert len(cloud.asked) <= 1 + 2 * (1 + int(time.monotonic() - began))


def test_an_unknown_name_is_named_in_the_failures(
    start: Started, logins: Logins, cloud: StagedSecrets
) -> None:
    cloud.put("db", "x")
    start({"db": "db"})
    for answer in (logins.ask("other"), logins.accepted(1, "db/below"), logins.rejected(1, "other")):
        (failure,) = answer.pop("failures").values()
        assert failure == UNKNOWN
        assert {**answer, "failures": {}} == done(1)
