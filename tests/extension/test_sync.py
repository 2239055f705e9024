"""Brings secrets of a folder into moto's Secrets Manager with `keystart sync`, as people and schedules do."""

from __future__ import annotations

import json
import os
import secrets as randomness
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import Cloud
from tests.fakes.keywhiz import Keywhiz, Secret
from tests.servers import vault as server

from .conftest import Canaries, Environment, Keystart

pytestmark = pytest.mark.long


class Sync:
    """A folder of secrets, its sync.yaml, and what Secrets Manager has of it."""

    def __init__(self, keystart: Keystart, cloud: Cloud, folder: Path) -> None:
        self._keystart = keystart
        self._api = cloud.secrets
        self._folder = folder
        self.id = f"test-{randomness.token_hex(4)}"
        self.source = folder / "secrets"
        self.source.mkdir()
        self.file = folder / "sync.yaml"
        self.configure()

    def configure(self, source: dict[str, Any] | None = None, **rule: Any) -> None:
        document = {
            "version": 1,
            "id": self.id,
            "source": source or {"folder": "secrets"},
            "secrets": [{"name": f"{self.id}/{{name}}", **rule}],
        }
        self.file.write_text(json.dumps(document))

    def put(self, name: str, value: str | bytes) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.encode() if isinstance(value, str) else value)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        command, *options = arguments
        return self._keystart("sync", command, str(self.file), *options)

    def apply(self, *options: str) -> None:
        code, _, error = self.run("apply", "--yes", *options)
        assert (code, error) == (0, "")

    def name(self, name: str) -> str:
        return f"{self.id}/{name}"

    def value(self, name: str) -> str | bytes:
        answer = self._api.get_secret_value(SecretId=self.name(name))
        return answer["SecretString"] if "SecretString" in answer else answer["SecretBinary"]

    def versions(self, name: str) -> int:
        return len(self._api.list_secret_version_ids(SecretId=self.name(name))["Versions"])

    def described(self, name: str) -> dict[str, Any]:
        return dict(self._api.describe_secret(SecretId=self.name(name)))

    def tags(self, name: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.described(name).get("Tags", [])}


@pytest.fixture
def sync(keystart: Keystart, cloud: Cloud, environment: Environment, tmp_path: Path) -> Sync:
    return Sync(keystart, cloud, tmp_path)


def test_plan_shows_what_apply_changes_and_changes_nothing(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    code, out, error = sync.run("plan")
    assert (code, out, error) == (0, f"+ {sync.name('db')}  create\n1 create\n", "")
    assert sync.run("plan", "--detailed-exitcode")[0] == 3
    with pytest.raises(sync._api.exceptions.ResourceNotFoundException):
        sync.described("db")


def test_apply_says_how_many_secrets_it_changed(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    plan = sync.run("plan")[1]
    assert sync.run("apply", "--yes") == (0, f"{plan}Changed 1 of 1 secret.\n", "")
    assert sync.run("apply", "--yes") == (0, "1 unchanged\n", "")


def test_apply_creates_each_secret_as_its_bytes_are(sync: Sync, canary: Canaries) -> None:
    text = canary()
    sync.put("orders/db", text)
    sync.put("key", b"\xff\x00" + text.encode())
    sync.apply()
    assert sync.value("orders/db") == text
    assert sync.value("key") == b"\xff\x00" + text.encode()
    assert sync.tags("key") == {"keystart:sync": sync.id}
    assert sync.run("plan", "--detailed-exitcode") == (0, "2 unchanged\n", "")


def test_a_second_apply_makes_no_version(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    sync.apply()
    sync.apply()
    assert sync.versions("db") == 1
    sync.put("db", canary())
    sync.apply()
    assert sync.versions("db") == 2


def test_settings_follow_the_rules_and_the_value_stays(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    sync.apply()
    sync.configure(tags={"team": "payments"}, description="of {name}")
    assert sync.run("plan")[1].splitlines()[0] == f"~ {sync.name('db')}  tags, description"
    sync.apply()
    assert sync.tags("db") == {"keystart:sync": sync.id, "team": "payments"}
    assert sync.described("db")["Description"] == "of db"
    assert sync.versions("db") == 1


def test_a_secret_that_somebody_else_made_stays_until_it_is_adopted(
    sync: Sync, cloud: Cloud, canary: Canaries
) -> None:
    theirs, ours = canary(), canary()
    cloud.secret(theirs, sync.name("db"))
    sync.put("db", ours)
    sync.put("other", canary())
    code, _, error = sync.run("apply", "--yes")
    assert code == 1
    assert "Somebody else made it. To let this sync change it, add --adopt with its name." in error
    assert sync.value("db") == theirs
    assert sync.versions("other") == 1, "one that fails does not stop the others"
    sync.apply("--adopt", sync.name("db"))
    assert sync.value("db") == ours
    assert sync.tags("db") == {"keystart:sync": sync.id}


def test_a_secret_of_another_sync_stays_even_if_it_is_to_be_adopted(
    sync: Sync, cloud: Cloud, canary: Canaries
) -> None:
    theirs = canary()
    cloud.secrets.create_secret(
        Name=sync.name("db"), SecretString=theirs, Tags=[{"Key": "keystart:sync", "Value": "other"}]
    )
    sync.put("db", canary())
    code, _, error = sync.run("apply", "--yes", "--adopt", sync.name("db"))
    assert code == 1
    assert "The sync with the id other owns it." in error
    assert sync.value("db") == theirs


def test_nothing_is_deleted_without_prune(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    sync.apply()
    (sync.source / "db").unlink()
    assert sync.run("apply", "--yes") == (0, "The source has no secret that a rule includes.\n", "")
    assert "DeletedDate" not in sync.described("db")


def test_prune_deletes_with_a_window_and_a_secret_that_comes_back_is_restored(
    sync: Sync, canary: Canaries
) -> None:
    value = canary()
    sync.put("db", value)
    for number in range(9):
        sync.put(f"keep/{number}", canary())
    sync.apply()
    (sync.source / "db").unlink()
    sync.apply("--prune")
    assert "DeletedDate" in sync.described("db")
    assert "DeletedDate" not in sync.described("keep/0")
    sync.put("db", value)
    assert sync.run("plan")[1].splitlines()[0] == f"~ {sync.name('db')}  restore, value"
    sync.apply()
    assert sync.value("db") == value
    assert sync.versions("db") == 1, "the value was the same, so no version was needed"


def test_prune_refuses_when_more_than_a_tenth_would_go(sync: Sync, canary: Canaries) -> None:
    for number in range(10):
        sync.put(f"s/{number}", canary())
    sync.apply()
    for number in range(2):
        (sync.source / f"s/{number}").unlink()
    code, _, error = sync.run("apply", "--yes", "--prune")
    assert code == 1
    assert "This run would delete 2 of 10 secrets, and may delete 1." in error
    assert "DeletedDate" not in sync.described("s/0")
    sync.apply("--prune", "--prune-limit", "2")
    assert "DeletedDate" in sync.described("s/0")


def test_a_source_that_cannot_be_listed_deletes_nothing(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    sync.apply()
    (sync.source / "db").unlink()
    sync.source.rmdir()
    code, _, error = sync.run("apply", "--yes", "--prune", "--prune-limit", "9")
    assert code == 1
    assert "cannot be read: No such file or directory." in error
    assert "DeletedDate" not in sync.described("db")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: file.write_bytes(b""), "It is empty, and Secrets Manager takes no empty secret."),
        (lambda file: file.write_bytes(bytes(65_537)), "It has more than the 65,536 bytes"),
        (lambda file: file.symlink_to("/etc/passwd"), "It is a link that leads out of the folder."),
        (os.mkfifo, "It is not a regular file."),
    ],
    ids=["empty", "large", "link", "fifo"],
)
def test_an_entry_that_cannot_be_a_secret_is_named_and_the_others_are_done(
    sync: Sync, canary: Canaries, make: Any, reason: str
) -> None:
    make(sync.source / "bad")
    sync.put("with space", canary())
    sync.put("good", canary())
    code, _, error = sync.run("apply", "--yes")
    assert code == 1
    assert f"{sync.name('bad')}: {reason}" in error
    assert "with space: Its name would hold what Secrets Manager does not allow" in error
    assert sync.versions("good") == 1


def test_secrets_of_keywhiz_arrive_byte_for_byte_with_their_metadata(
    sync: Sync, canary: Canaries, tmp_path: Path
) -> None:
    contents = {"db": canary().encode(), "orders/key": b"\xff" + canary().encode()}
    (tmp_path / "keywhiz").mkdir()
    with Keywhiz(tmp_path / "keywhiz") as keywhiz:
        keywhiz.secrets = {name: Secret(content, {"owner": "payments"}) for name, content in contents.items()}
        certificate, key = keywhiz.client("keystart")
        files = {"certificate": str(certificate), "key": str(key), "ca": str(keywhiz.authority)}
        sync.configure({"keywhiz": {"url": keywhiz.url, **files}}, tags={"owner": "{metadata.owner}"})
        sync.apply()
        assert sync.run("plan", "--detailed-exitcode") == (0, "2 unchanged\n", "")
    assert sync.value("db") == contents["db"].decode()
    assert sync.value("orders/key") == contents["orders/key"]
    assert sync.tags("db") == {"keystart:sync": sync.id, "owner": "payments"}


def test_json_has_each_step_and_no_value(sync: Sync, canary: Canaries) -> None:
    sync.put("db", canary())
    code, out, _ = sync.run("apply", "--yes", "--json")
    assert code == 0
    assert json.loads(out) == [
        {"name": sync.name("db"), "action": "create", "changes": [], "reason": None},
    ]


def test_iam_policy_prints_what_a_sync_needs(sync: Sync, keystart: Keystart) -> None:
    code, out, error = keystart("iam-policy", sync.file, "--account", "123456789012")
    assert (code, error) == (0, "")
    change = next(one for one in json.loads(out)["Statement"] if one["Sid"] == "Change")
    assert change["Condition"] == {"StringEquals": {"aws:ResourceTag/keystart:sync": sync.id}}


def test_apply_without_a_terminal_and_without_yes_is_wrong_use(sync: Sync) -> None:
    code, _, error = sync.run("apply")
    assert code == 2
    assert "There is no terminal to ask at." in error


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 2\nid: a\nsource: {folder: secrets}\nsecrets: [{name: x}]", "`version` must be 1."),
        (
            "version: 1\nid: A\nsource: {folder: secrets}\nsecrets: [{name: x}]",
            "`id` must be 1 to 63 lowercase",
        ),
        ("version: 1\nid: a\nid: b\nsource: {}\nsecrets: []", ", line 3: a key is there twice."),
        ("version: 1\nid: a\nsource: {foldr: secrets}\nsecrets: [{name: x}]", "Did you mean `folder`?"),
        (
            "version: 1\nid: a\nsource: {folder: secrets}\nsecrets: [{name: '{x}'}]",
            "A template knows {name}, {basename}",
        ),
        ("version: 1\nid: a\nsource: {folder: secrets}\nsecrets: []", "`secrets` must be a list of rules"),
        ("version: 1\nid: a\nsource: {folder: secrets}", "The file lacks `secrets`. Add it."),
        ("version: [", ": this is not YAML."),
        (
            "version: 1\nid: a\nsource: {folder: secrets}\nsecrets: [{name: x, include: []}]",
            "`secrets[0].include` is empty",
        ),
        ("version: 1\nid: a\nsource: {dotenv: []}\nsecrets: [{name: x}]", "`source.dotenv` is empty"),
        ("version: 1\nsecrets: {db: prod/db}", "This is the configuration of a function. Run keystart check"),
        ("SecretManagers: []\nSecretsHome: x", "This is the configuration of a function. Run keystart check"),
    ],
)
def test_a_wrong_sync_yaml_is_refused_with_the_cure(sync: Sync, text: str, problem: str) -> None:
    sync.file.write_text(text)
    code, _, error = sync.run("plan")
    assert code == 1
    assert problem in error


def test_secrets_of_a_real_vault_arrive_and_are_written_only_if_they_changed(
    sync: Sync, tmp_path: Path, canary: Canaries
) -> None:
    if server.program() is None:
        pytest.skip("neither bao nor vault is on PATH: ./dev extension installs one")
    (tmp_path / "server").mkdir()
    with server.Vault(tmp_path / "server") as vault:
        role, secret = vault.approle()
        (tmp_path / "secret-id").write_text(secret)
        auth = {"approle": {"role_id": role, "secret_id_file": "secret-id"}}
        sync.configure({"vault": {"url": vault.url, "path": "team", "auth": auth}})
        for data in ({"password": canary()}, {"password": canary(), "user": "app"}):
            vault.put("team/orders/db", data)
            sync.apply()
            sync.apply()
            assert json.loads(sync.value("orders/db")) == data
        assert sync.versions("orders/db") == 2
