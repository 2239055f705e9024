"""Runs random syncs against Secrets Manager in memory: none hurts what it does not own, or writes without need."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import Configuration
from keystart_extension.sync.policy import policy
from keystart_extension.sync.rules import Rule
from keystart_extension.sync.secret import OWNER_TAG, Value
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sync import Sync
from keystart_extension.sync.target import Target

from tests.fakes.secrets_manager import Secret, SecretsManager, error

OURS, THEIRS = "ours", "theirs"
NAMES = [f"s{number}" for number in range(8)]
RUNS_AT_ONCE = 100


class Source:
    """A source that changes between the calls of a sync, and fails now and then."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self.values: dict[str, bytes] = {}
        self.fails = False

    def entries(self) -> Iterator[Entry]:
        for name in list(self.values):
            if self.fails and self._choice.random() < 0.1:
                raise SyncError("The source broke.")
            yield Entry(name)

    def read(self, entry: Entry) -> Value:
        if entry.name not in self.values or (self.fails and self._choice.random() < 0.1):
            raise SyncError("It cannot be read.")
        return Value.of(self.values[entry.name])

    def change(self) -> None:
        for name in NAMES:
            match self._choice.randrange(6):
                case 0:
                    self.values.pop(name, None)
                case 1:
                    self.values[name] = self._choice.choice([b"", b"a", b"b", b"\xff", bytes(65_537)])
                case _:
                    pass


class Throttled(SecretsManager):
    """Refuses some requests."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__()
        self._choice = choice
        self.share = 0.0

    def interrupt(self, operation: str) -> None:
        if self._choice.random() < self.share:
            raise error(operation, "ThrottlingException")


def people(service: SecretsManager, choice: random.Random) -> None:
    """Does what others do: make, change, delete and tag secrets of all kinds."""
    for name in NAMES:
        secret = service.secrets.get(name)
        match choice.randrange(12):
            case 0 if secret is None:
                owner = choice.choice([None, THEIRS, OURS])
                service.secrets[name] = Secret(
                    values=choice.choice([[], ["a"], ["c"]]),
                    tags={OWNER_TAG: owner} if owner else {},
                    service=choice.choice([None, None, "rds"]),
                    is_rotated=choice.random() < 0.1,
                    policy="a policy",
                    replicas=choice.choice([[], ["eu-west-2"]]),
                )
            case 1 if secret is not None and not secret.replicas:
                secret.is_deleted = not secret.is_deleted
            case 2 if secret is not None:
                secret.tags.pop(OWNER_TAG, None)
            case 3 if secret is not None and not secret.is_deleted:
                secret.values.append("by hand")
            case _:
                pass


def snapshot(service: SecretsManager) -> dict[str, Secret]:
    return {
        name: replace(
            secret, values=list(secret.values), tags=dict(secret.tags), replicas=list(secret.replicas)
        )
        for name, secret in service.secrets.items()
    }


def owned(secret: Secret) -> bool:
    return secret.service is None and secret.tags.get(OWNER_TAG) == OURS


def may_change(name: str, secret: Secret, adopted: frozenset[str]) -> bool:
    return owned(secret) or (secret.service is None and OWNER_TAG not in secret.tags and name in adopted)


def run(seed: int) -> int:
    """Runs some syncs one after the other on the same secrets, and returns how many requests changed something."""
    choice = random.Random(seed)
    service, source = Throttled(choice), Source(choice)
    changes = 0
    for _ in range(RUNS_AT_ONCE):
        rule = Rule(
            name="{name}",
            include=("*",),
            exclude=tuple(choice.sample(NAMES, choice.randrange(2))),
            tags=choice.choice([{}, {"team": "a"}]),
            description=choice.choice([None, "of {name}"]),
            kms_key=choice.choice([None, "key"]),
            replicas=choice.choice([(), ("eu-west-2",)]),
        )
        adopted = frozenset(choice.sample(NAMES, choice.randrange(3)))
        client: Any = service
        sync = Sync(
            Configuration(OURS, source, None, 30, (rule,)), Target(client, OURS, recovery_days=30), adopted
        )
        source.fails = choice.random() < 0.2
        service.share = choice.choice([0.0, 0.0, 0.1])
        prune, limit = choice.random() < 0.5, choice.choice([None, 0, 3, 8])
        source.change()
        people(service, choice)
        before = snapshot(service)
        try:
            steps = sync.plan(prune=prune, limit=limit)
        except (SyncError, AwsError):  # the source or the secrets could not be listed
            assert service.secrets == before
            continue
        assert service.secrets == before, "a plan changes nothing"
        if choice.random() < 0.3:
            source.change()
            people(service, choice)
        check_apply(service, source, sync, steps, adopted, prune=prune, limit=limit)
        changes += service.secrets != before
    return changes


def check_apply(
    service: Throttled,
    source: Source,
    sync: Sync,
    steps: Any,
    adopted: frozenset[str],
    *,
    prune: bool,
    limit: int | None,
) -> None:
    before = snapshot(service)
    ends = sync.apply([step for step in steps if step.action in ("create", "change", "delete")])
    for name, secret in before.items():
        after = service.secrets[name]
        assert after.values == secret.values or not secret.is_rotated, "a rotation is not undone"
        if not may_change(name, secret, adopted):
            assert after == secret, "foreign secrets stay as they are"
        assert after.values[: len(secret.values)] == secret.values
        assert after.policy == secret.policy, "a policy is kept"
        assert after.is_deleted <= (secret.is_deleted or prune), "only --prune deletes"
        if after.is_deleted and not secret.is_deleted:
            assert name not in source.values or name in excluded(sync), "what the source has is never deleted"
    gone = [name for name, secret in before.items() if service.secrets[name].is_deleted > secret.is_deleted]
    most = (
        sum(owned(secret) and not secret.is_deleted for secret in before.values()) if limit is None else limit
    )
    assert len(gone) <= most
    assert service.needless_versions == 0
    if not any(step.action == "refused" for step in (*ends, *steps)):
        done = {step.name for step in steps if step.action in ("create", "change")}
        for name in done & set(source.values):
            current = service.secrets[name].values[-1]
            assert (current.encode() if isinstance(current, str) else current) == source.values[name]


def excluded(sync: Sync) -> tuple[str, ...]:
    return sync._configuration.rules[0].exclude


def test_random_syncs_hurt_nothing_and_write_nothing_without_need() -> None:
    assert sum(run(seed) for seed in range(20)) > 100


def test_the_policy_of_a_sync_allows_what_syncs_do_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = set[str]()
    monkeypatch.setattr(Throttled, "interrupt", lambda _, operation: asked.add(operation))
    for seed in range(20):
        run(seed)
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "sync.yaml"
    file.write_text("version: 1\nid: ours\nsource: {folder: secrets}\nsecrets: [{name: 'prod/{name}'}]\n")
    statements = policy(file, "123456789012", "eu-west-1")["Statement"]
    allowed = [action for statement in statements for action in statement["Action"]]
    assert {f"secretsmanager:{operation}" for operation in asked} == {
        action for action in allowed if action.startswith("secretsmanager:")
    }
    for statement in statements:
        if set(statement["Action"]) & {"secretsmanager:PutSecretValue", "secretsmanager:DeleteSecret"}:
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/keystart:sync": "ours"}}
            assert statement["Resource"] == ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*"]
        if "secretsmanager:TagResource" in statement["Action"]:
            owners = statement["Condition"]["StringEqualsIfExists"]
            assert owners["aws:ResourceTag/keystart:sync"] == "ours", "secrets of another sync keep their tag"
    chinese = policy(file, "123456789012", "cn-north-1")["Statement"]
    assert chinese[0]["Resource"] == ["arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:prod/*"]


@pytest.mark.long
def test_a_hundred_thousand_random_syncs_hurt_nothing() -> None:
    assert sum(run(seed) for seed in range(1_000)) > 10_000
