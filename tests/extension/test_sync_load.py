"""Keeps `keystart sync` within the quotas of Secrets Manager, and counts its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import Configuration
from keystart_extension.sync.pace import Pace
from keystart_extension.sync.rules import Rule
from keystart_extension.sync.secret import OWNER_TAG, Value
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sources.folder import Folder
from keystart_extension.sync.sync import Sync
from keystart_extension.sync.target import Target

from tests.fakes.secrets_manager import TAKEN, Secret, SecretsManager, error


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = Pace(lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


class Counting(SecretsManager):
    """Counts the requests, by operation."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = Counter[str]()
        self.denied = set[str]()

    def interrupt(self, operation: str, name: str = "*", tags: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
        self.requests[operation] += 1
        if operation in self.denied:
            raise error(operation, "AccessDeniedException")


@pytest.mark.parametrize(
    ("operations", "rate"),
    [
        (["PutSecretValue"], 25),
        (["PutSecretValue", "UpdateSecret", "ReplicateSecretToRegions"], 25),
        (["CreateSecret"], 25),
        (["TagResource"], 25),
        (["ListSecrets"], 50),
        (["BatchGetSecretValue"], 50),
        (["DescribeSecret", "GetSecretValue"], 5_000),
    ],
    ids=str,
)
def test_requests_stay_below_half_of_the_quota_that_their_operations_share(
    operations: list[str], rate: int
) -> None:
    clock = Clock()
    sent: list[float] = []
    for number in range(4 * rate):
        clock.pace.wait(operations[number % len(operations)])
        sent.append(clock.now)
    assert clock.now == pytest.approx(3), "the requests of one second are free"
    for start in range(len(sent)):
        within = sum(0 <= at - sent[start] < 1 for at in sent[start:])
        assert within <= 2 * rate, "no second has more than the quota"


def test_operations_of_different_quotas_do_not_wait_for_each_other() -> None:
    clock = Clock()
    for _ in range(25):
        for operation in ("PutSecretValue", "CreateSecret", "DeleteSecret", "TagResource", "RestoreSecret"):
            clock.pace.wait(operation)
    assert clock.now == 0


def synchronised(folder: Path, service: Any, clock: Clock, *replicas: str) -> Sync:
    rule = Rule("{name}", ("*",), (), {}, None, None, replicas)
    return Sync(
        Configuration("ours", Folder(folder), None, 30, (rule,)),
        Target(service, "ours", 30, pace=clock.pace),
        frozenset(),
    )


@pytest.fixture
def service(tmp_path: Path) -> Counting:
    service = Counting()
    for number in range(45):
        (tmp_path / f"s{number:02}").write_text(str(number))
        service.secrets[f"s{number:02}"] = Secret([str(number)], {OWNER_TAG: "ours"})
    return service


def test_secrets_that_are_as_the_source_has_them_need_no_separate_request(
    service: Counting, tmp_path: Path
) -> None:
    steps = synchronised(tmp_path, service, Clock()).plan(prune=True, limit=None)
    assert {step.action for step in steps} == {"unchanged"}
    # The stand-in has 3 secrets on a page, and its batches have two pages.
    assert {name: count for name, count in service.requests.items() if name != "GetSecretValue"} == {
        "ListSecrets": 15,
        "BatchGetSecretValue": 6,
    }


def test_only_secrets_that_need_a_change_are_looked_at_one_by_one(service: Counting, tmp_path: Path) -> None:
    (tmp_path / "s07").write_text("new")
    (tmp_path / "new").write_text("new")
    steps = synchronised(tmp_path, service, Clock()).plan(prune=False, limit=None)
    assert Counter(step.action for step in steps) == {"unchanged": 44, "change": 1, "create": 1}
    assert service.requests["DescribeSecret"] == 2


def test_values_that_no_batch_returns_are_read_one_by_one(service: Counting, tmp_path: Path) -> None:
    service.denied.add("BatchGetSecretValue")
    steps = synchronised(tmp_path, service, Clock()).plan(prune=False, limit=None)
    assert {step.action for step in steps} == {"unchanged"}
    assert service.requests["DescribeSecret"] == service.requests["GetSecretValue"] == 45


def test_replicas_are_looked_at_one_by_one_because_no_list_has_them(
    service: Counting, tmp_path: Path
) -> None:
    steps = synchronised(tmp_path, service, Clock(), "eu-west-2").plan(prune=False, limit=None)
    assert {step.changes for step in steps} == {("replica in eu-west-2",)}


def test_a_new_secret_has_its_owner_before_it_is_replicated(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x")
    service = Counting()
    sync = synchronised(tmp_path, service, Clock(), "eu-west-2")
    (end,) = sync.apply(sync.plan(prune=False, limit=None))
    assert end.action == "create"
    assert service.secrets["new"].replicas == {"eu-west-2": "InSync"}
    assert list(service.requests)[-2:] == ["CreateSecret", "ReplicateSecretToRegions"]
    assert service.requests["TagResource"] == 0


@pytest.mark.parametrize("status", ["InSync", "InProgress", "Pending"])
def test_a_replica_that_exists_or_is_being_made_is_left_alone(tmp_path: Path, status: str) -> None:
    (tmp_path / "db").write_text("x")
    service = Counting()
    service.secrets["db"] = Secret(["x"], {OWNER_TAG: "ours"}, replicas={"eu-west-2": status})
    (step,) = synchronised(tmp_path, service, Clock(), "eu-west-2").plan(prune=False, limit=None)
    assert step.action == "unchanged"


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_replica_that_failed_is_shown_with_the_reason_and_asked_for_again(
    tmp_path: Path, *, is_taken: bool
) -> None:
    (tmp_path / "db").write_text("new")
    service = Counting()
    service.secrets["db"] = Secret(["old"], {OWNER_TAG: "ours"}, replicas={"eu-west-2": "Failed"})
    service.taken = {"db"} if is_taken else set()
    sync = synchronised(tmp_path, service, Clock(), "eu-west-2")
    steps = sync.plan(prune=False, limit=None)
    assert steps[0].changes == (f"replica in eu-west-2 again, which failed: {TAKEN}", "value")
    (end,) = sync.apply(steps)
    assert end.action == "change", "the value is not held up"
    assert service.secrets["db"].values[-1] == "new"
    (step,) = synchronised(tmp_path, service, Clock(), "eu-west-2").plan(prune=False, limit=None)
    assert step.action == ("change" if is_taken else "unchanged")


def test_a_replica_that_failed_is_removed_before_a_deletion(tmp_path: Path) -> None:
    service = Counting()
    service.secrets["db"] = Secret(["x"], {OWNER_TAG: "ours"}, replicas={"eu-west-2": "Failed"})
    sync = synchronised(tmp_path, service, Clock(), "eu-west-2")
    (end,) = sync.apply(sync.plan(prune=True, limit=1))
    assert (end.action, service.secrets["db"].is_deleted) == ("delete", True)


class Batches(Folder):
    """A source that reads several entries at once, except for one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.at_once: list[int] = []
        self.alone: list[str] = []

    def read_some(self, entries: Sequence[Entry]) -> dict[str, Value]:
        self.at_once.append(len(entries))
        return {entry.name: super(Batches, self).read(entry) for entry in entries if entry.name != "s07"}

    def read(self, entry: Entry) -> Value:
        self.alone.append(entry.name)
        return super().read(entry)


def test_a_plan_reads_many_entries_at_once_and_apply_reads_anew_what_it_writes(
    service: Counting, tmp_path: Path
) -> None:
    source = Batches(tmp_path)
    (tmp_path / "s03").write_text("new")
    rule = Rule("{name}", ("*",), (), {}, None, None, ())
    sync = Sync(
        Configuration("ours", source, None, 30, (rule,)),
        Target(service, "ours", 30, pace=Clock().pace),  # type: ignore[arg-type]  # it has the calls that are made
        frozenset(),
    )
    steps = sync.plan(prune=False, limit=None)
    assert (source.at_once, source.alone) == ([20, 20, 5], ["s07"])
    (tmp_path / "s03").write_text("newer")
    list(sync.apply([step for step in steps if step.action == "change"]))
    assert source.alone == ["s07", "s03"]
    assert service.secrets["s03"].values == ["3", "newer"]


class Breaking:
    """A source that breaks in one of its lists, after some entries."""

    def __init__(self, names: Sequence[str], breaks_in: int, failure: Exception) -> None:
        self.names = names
        self._breaks_in = breaks_in
        self._failure = failure
        self.lists = 0

    def entries(self) -> Iterator[Entry]:
        self.lists += 1
        for number, name in enumerate(self.names):
            if self.lists == self._breaks_in and number == len(self.names) // 2:
                raise self._failure
            yield Entry(name)

    def read(self, entry: Entry) -> Value:
        return Value.of(entry.name.encode())


FAILURES = [SyncError("The source broke."), AwsError("AccessDenied", "No.")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_list_that_breaks_before_a_deletion_deletes_nothing(failure: Exception) -> None:
    names = [f"s{number}" for number in range(20)]
    service: Any = Counting()
    for name in [*names, "gone"]:
        service.secrets[name] = Secret([name], {OWNER_TAG: "ours"})
    source = Breaking(names, 2, failure)
    rule = Rule("{name}", ("*",), (), {}, None, None, ())
    sync = Sync(Configuration("ours", source, None, 30, (rule,)), Target(service, "ours", 30), frozenset())
    steps = [step for step in sync.plan(prune=True, limit=9) if step.action != "unchanged"]
    assert [(step.name, step.action) for step in steps] == [("gone", "delete")]
    source.names = [*names, "gone"]  # it came back, and the list ends before it
    (end,) = sync.apply(steps)
    assert (source.lists, end.action, end.reason) == (2, "refused", str(failure))
    assert not service.secrets["gone"].is_deleted


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_list_that_breaks_in_a_plan_ends_it(failure: Exception) -> None:
    names = [f"s{number}" for number in range(20)]
    service: Any = Counting()
    for name in names:
        service.secrets[name] = Secret([name], {OWNER_TAG: "ours"})
    rule = Rule("{name}", ("*",), (), {}, None, None, ())
    configuration = Configuration("ours", Breaking(names, 1, failure), None, 30, (rule,))
    with pytest.raises(type(failure)):
        Sync(configuration, Target(service, "ours", 30), frozenset()).plan(prune=True, limit=99)
    assert not service.requests
