"""Makes one secret in JSON of several entries, and never loses one of its keys by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import Configuration, read
from keystart_extension.sync.rules import Rule
from keystart_extension.sync.secret import OWNER_TAG
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sources.folder import Folder
from keystart_extension.sync.step import Step
from keystart_extension.sync.sync import Sync
from keystart_extension.sync.target import Target

from tests.fakes.secrets_manager import Secret, SecretsManager


class Orders:
    """A folder whose files become keys of the secret prod/orders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "orders"
        self.folder.mkdir()
        self.service = SecretsManager()
        self.rules = [self.rule()]
        self._root = folder

    def rule(self, **keys: Any) -> Rule:
        rule = Rule("prod/orders", ("orders/*",), (), {}, None, None, (), "{basename}")
        return rule._replace(**keys)

    def put(self, **values: str | bytes) -> None:
        for name, value in values.items():
            (self.folder / name).write_bytes(value if isinstance(value, bytes) else value.encode())

    def sync(self, adopted: Sequence[str] = ()) -> Sync:
        client: Any = self.service
        configuration = Configuration("ours", Folder(self._root), None, 30, tuple(self.rules))
        return Sync(configuration, Target(client, "ours", 30), frozenset(adopted))

    def apply(self, *, prune: bool = False, adopted: Sequence[str] = ()) -> list[Step]:
        sync = self.sync(adopted)
        steps = sync.plan(prune=prune, limit=None)
        ends = {step.name: step for step in sync.apply([step for step in steps if step.action != "refused"])}
        return [ends.get(step.name, step) for step in steps]

    @property
    def document(self) -> Any:
        return json.loads(self.service.secrets["prod/orders"].values[-1])


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def test_entries_become_keys_of_one_secret(orders: Orders) -> None:
    orders.put(user="app", password='p"ü\n', empty="")
    assert orders.apply() == [Step("prod/orders", "create")]
    assert orders.document == {"user": "app", "password": 'p"ü\n', "empty": ""}
    assert orders.apply() == [Step("prod/orders", "unchanged")]
    orders.put(password="new", host="db")
    assert orders.apply() == [Step("prod/orders", "change", ("value",))]
    assert orders.document == {"user": "app", "password": "new", "empty": "", "host": "db"}


def test_a_secret_that_comes_back_keeps_the_keys_that_its_source_lacks(orders: Orders) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    orders.service.secrets["prod/orders"].is_deleted = True
    (orders.folder / "user").unlink()
    (step,) = orders.apply()
    assert (step.action, "would lose 1 of its keys" in step.reason) == ("refused", True)
    assert not orders.service.secrets["prod/orders"].is_deleted
    assert orders.document == {"user": "app", "password": "p"}
    orders.apply(prune=True)
    assert orders.document == {"password": "p"}


def test_a_key_goes_only_with_prune(orders: Orders) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    (orders.folder / "user").unlink()
    (step,) = orders.apply()
    assert (step.action, "would lose 1 of its keys" in step.reason) == ("refused", True)
    assert orders.document == {"user": "app", "password": "p"}
    assert orders.apply(prune=True) == [Step("prod/orders", "change", ("1 key removed", "value"))]
    assert orders.document == {"password": "p"}


def test_a_key_that_came_back_since_the_plan_stays(orders: Orders) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    (orders.folder / "user").unlink()
    sync = orders.sync()
    steps = sync.plan(prune=True, limit=None)
    orders.put(user="app")
    assert [end.action for end in sync.apply(steps)] == ["unchanged"]
    assert orders.document == {"user": "app", "password": "p"}


def test_nothing_is_written_if_the_source_cannot_be_listed_again(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    (orders.folder / "user").unlink()
    orders.rules.append(orders.rule(name="prod/new", include=("new/*",)))
    (orders.folder.parent / "new").mkdir()
    for name in ("a", "b"):
        (orders.folder.parent / f"new/{name}").write_text("x")
    sync = orders.sync()
    steps = sync.plan(prune=True, limit=None)
    assert [step.action for step in steps] == ["create", "change"]

    def entries(_: Folder) -> Iterator[Entry]:
        yield Entry("new/a")
        raise SyncError("The source broke.")

    monkeypatch.setattr(Folder, "entries", entries)
    ends = list(sync.apply(steps))
    assert {(end.action, end.reason) for end in ends} == {("refused", "The source broke.")}
    assert list(orders.service.secrets) == ["prod/orders"]
    assert orders.document == {"user": "app", "password": "p"}


def test_no_key_goes_if_an_entry_has_no_name(orders: Orders) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    (orders.folder / "user").unlink()
    orders.rules.append(Rule("{name}", ("*",), (), {}, None, None, ()))
    (orders.folder.parent / "with space").write_text("x")
    steps = {step.name: step for step in orders.apply(prune=True)}
    assert "would lose 1 of its keys" in steps["prod/orders"].reason


def test_an_entry_that_cannot_be_read_keeps_the_secret_as_it_is(orders: Orders) -> None:
    orders.put(user="app", password="p")
    orders.apply()
    orders.put(user="new")
    (orders.folder / "password").unlink()
    (orders.folder / "password").symlink_to("/etc/passwd")
    (step,) = orders.apply(prune=True)
    assert step.reason == "Its entry orders/password fails: It is a link that leads out of the folder."
    assert orders.document == {"user": "app", "password": "p"}


def test_an_entry_that_is_not_text_refuses_the_secret(orders: Orders) -> None:
    orders.put(user="app", key=b"\xff")
    (step,) = orders.apply()
    assert step.reason == "Its entry orders/key is not text, which JSON needs."


def test_entries_with_the_same_key_refuse_the_secret(orders: Orders) -> None:
    orders.rules = [orders.rule(json="key")]
    orders.put(a="1", b="2")
    (step,) = orders.apply()
    assert "have the same key in its JSON" in step.reason


def test_two_rules_do_not_share_a_secret(orders: Orders) -> None:
    orders.rules = [orders.rule(include=("orders/a",)), orders.rule()]
    orders.put(a="1", b="2")
    (step,) = orders.apply()
    assert "Several entries of the source have this name" in step.reason


def test_entries_that_want_different_tags_refuse_the_secret(orders: Orders) -> None:
    orders.rules = [orders.rule(tags={"entry": "{name}"})]
    orders.put(a="1", b="2")
    (step,) = orders.apply()
    assert "ask for different tags" in step.reason


def test_a_secret_that_is_adopted_keeps_its_other_keys_without_prune(orders: Orders) -> None:
    orders.service.secrets["prod/orders"] = Secret(['{"theirs": "x"}'])
    orders.put(user="app")
    (step,) = orders.apply(adopted=["prod/orders"])
    assert "would lose 1 of its keys" in step.reason
    assert orders.document == {"theirs": "x"}


@pytest.mark.parametrize("value", ["text", "[1]", "[" * 100_000])
def test_a_secret_that_is_adopted_need_not_be_json(orders: Orders, value: str) -> None:
    orders.service.secrets["prod/orders"] = Secret([value])
    orders.put(user="app")
    (step,) = orders.apply(adopted=["prod/orders"])
    assert step.changes == ("adopt", "value")
    assert orders.service.secrets["prod/orders"].tags == {OWNER_TAG: "ours"}


def test_a_name_to_adopt_that_the_source_does_not_have_is_refused_with_the_nearest(orders: Orders) -> None:
    orders.put(user="app")
    steps = {step.name: step for step in orders.apply(adopted=["prod/order", "elsewhere"])}
    assert steps["prod/order"].reason.endswith("--adopt has nothing for it. Did you mean prod/orders?")
    assert steps["elsewhere"].reason.endswith("--adopt has nothing for it.")
    assert steps["prod/orders"].action == "create"


def test_a_template_for_keys_is_checked(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "sync.yaml"
    file.write_text("version: 1\nid: a\nsource: {folder: secrets}\nsecrets: [{name: x, json: '{nam}'}]\n")
    with pytest.raises(SyncError, match=r"A template knows \{name\}, \{basename\} and \{metadata\.KEY\}"):
        read(file)
