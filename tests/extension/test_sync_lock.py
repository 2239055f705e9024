"""Takes, loses and supersedes the lock of a sync, with parameters of moto."""

from __future__ import annotations

import json
import secrets as randomness
from typing import Any

import pytest
from botocore.exceptions import ClientError
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.lock import Lock

from tests.fakes.aws import Cloud


class Locks:
    """Locks of one id, and a clock that the test moves."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.id = f"test-{randomness.token_hex(4)}"
        self.now = 1_000_000.0

    def lock(self) -> Lock:
        return Lock(self.client, self.id, lambda: self.now)

    def numbers(self) -> dict[str, int]:
        found = self.client.get_parameters_by_path(Path=f"/keystart/sync/{self.id}")["Parameters"]
        return {
            parameter["Name"].rpartition("/")[2]: json.loads(parameter["Value"])["until"]
            for parameter in found
        }

    def put(self, number: int, value: str) -> None:
        self.client.put_parameter(**parameter(self, number, value))


def parameter(locks: Locks, number: int, value: str) -> dict[str, str]:
    return {"Name": f"/keystart/sync/{locks.id}/{number}", "Value": value, "Type": "String"}


@pytest.fixture
def locks(cloud: Cloud) -> Locks:
    return Locks(cloud.ssm)


def test_a_second_sync_is_refused_until_the_first_ends(locks: Locks) -> None:
    with locks.lock(), pytest.raises(SyncError, match="is running"), locks.lock():
        pass
    with locks.lock():
        assert locks.numbers() == {"2": 1_000_600}
    assert locks.numbers() == {"2": 0}, "the number stays, so that none is used twice"


def test_a_lock_that_nobody_renews_is_superseded_and_its_holder_stops(locks: Locks) -> None:
    with locks.lock() as first:
        locks.now += 601
        with locks.lock() as second:
            with pytest.raises(SyncError, match="took over"):
                first.check()
            second.check()
        assert locks.numbers() == {"2": 0}
        with pytest.raises(SyncError, match="took over"):
            first.check()
    assert locks.numbers() == {"2": 0}, "who lost the lock does not free it"


def test_a_holder_that_works_renews_its_lock(locks: Locks) -> None:
    with locks.lock() as lock:
        locks.now += 599
        lock.check()
        locks.now += 300
        with pytest.raises(SyncError, match="its lock ends in 300 seconds"), locks.lock():
            pass


def test_a_holder_whose_clock_was_set_back_looks_for_another_lock(locks: Locks) -> None:
    with locks.lock() as lock:
        locks.put(2, json.dumps({"until": 2_000_000}))
        locks.now -= 3_600
        with pytest.raises(SyncError, match="took over"):
            lock.check()


def test_a_lock_that_could_not_be_renewed_is_renewed_before_the_next_write(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locks.lock()
    with lock:
        locks.now += 100
        with monkeypatch.context() as patch:

            def put(**_: object) -> None:
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutParameter")

            patch.setattr(locks.client, "put_parameter", put)
            for _ in range(2):
                with pytest.raises(AwsError, match="Throttling"):
                    lock.check()
        lock.check()
        assert locks.numbers() == {"1": 1_000_700}


def test_a_holder_that_was_superseded_while_it_renewed_stops(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = locks.client.put_parameter

    def late(**request: Any) -> None:
        put(**parameter(locks, 2, json.dumps({"until": 2_000_000})))
        put(**request)

    with locks.lock() as lock:
        locks.now += 700
        with monkeypatch.context() as patch:
            patch.setattr(locks.client, "put_parameter", late)
            with pytest.raises(SyncError, match="took over"):
                lock.check()


def test_a_lock_whose_holder_renews_at_the_last_moment_is_not_superseded(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = locks.client.put_parameter

    def late(**request: Any) -> None:
        put(**parameter(locks, 1, json.dumps({"until": 1_001_300})), Overwrite=True)
        put(**request)

    locks.put(1, json.dumps({"until": 1_000_600}))
    locks.now += 700
    with monkeypatch.context() as patch:
        patch.setattr(locks.client, "put_parameter", late)
        with pytest.raises(SyncError, match="is running"), locks.lock():
            pass


def test_a_lock_of_a_wrong_clock_is_named(locks: Locks) -> None:
    locks.put(1, json.dumps({"until": 9_000_000}))
    with (
        pytest.raises(SyncError, match=f"below /keystart/sync/{locks.id} .* a clock was wrong. Delete it"),
        locks.lock(),
    ):
        pass


def test_one_of_two_that_start_at_the_same_moment_is_refused(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = locks.lock()
    monkeypatch.setattr(late, "_locks", dict)  # it looked before the other one wrote
    with locks.lock(), pytest.raises(SyncError, match="is running"), late:
        pass


@pytest.mark.parametrize("value", ["x", "[]", "{}", '{"until": "soon"}', '{"until": Infinity}'])
def test_a_parameter_that_is_not_a_lock_is_refused(locks: Locks, value: str) -> None:
    locks.put(1, value)
    with pytest.raises(SyncError, match="is not a lock of keystart sync"), locks.lock():
        pass


def test_any_number_of_old_locks_is_deleted(locks: Locks) -> None:
    for number in range(1, 14):
        locks.put(number, '{"until": 0}')
    with locks.lock():
        assert locks.numbers() == {"14": 1_000_600}


def test_a_lock_that_cannot_be_finished_is_freed(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.put(1, '{"until": 0}')

    def delete(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DeleteParameters")

    with monkeypatch.context() as patched:
        patched.setattr(locks.client, "delete_parameters", delete)
        with pytest.raises(AwsError, match="ssm:DeleteParameters"), locks.lock():
            pass
    assert locks.numbers() == {"1": 0, "2": 0}


def test_a_number_that_was_used_before_is_refused(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.put(3, f'{{"until": {int(locks.now) + 60}}}')
    late = locks.lock()
    answers = iter([{1: 0}])  # what it saw before others took, freed and deleted number 2
    current = late._locks
    monkeypatch.setattr(late, "_locks", lambda: next(answers, None) or current())
    with pytest.raises(SyncError, match="is running"), late:
        pass


def test_an_answer_without_parameters_is_refused(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = locks.lock()
    monkeypatch.setattr(locks.client, "get_paginator", lambda _: _Pages())
    with pytest.raises(AwsError, match="is not one that AWS sends"), lock:
        pass


class _Pages:
    def paginate(self, **_: object) -> list[dict[str, Any]]:
        return [{}]
