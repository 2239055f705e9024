"""Runs random syncs against Secrets Manager in memory: none hurts what it does not own, or writes without need."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import Configuration
from keystart_extension.sync.digest import Digest
from keystart_extension.sync.pace import Pace
from keystart_extension.sync.policy import policy
from keystart_extension.sync.rules import Rule
from keystart_extension.sync.secret import OWNER_TAG, Value
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.step import Choices
from keystart_extension.sync.sync import Sync
from keystart_extension.sync.target import Target

from tests.fakes.iam import allows
from tests.fakes.secrets_manager import Secret, SecretsManager, error

OURS, THEIRS = "ours", "theirs"
NAMES = [f"s{number}" for number in range(8)]
RUNS_AT_ONCE = 100


class Source:
    """A source that changes between the calls of a sync, and fails now and then: in the middle of a list too."""

    def __init__(self, choice: random.Random) -> None:
        self._choice = choice
        self.values: dict[str, bytes] = {}
        self.fails = False

    def entries(self) -> Iterator[Entry]:
        for name in list(self.values):
            self._break()
            yield Entry(name, {"group": group(name)})

    def read(self, entry: Entry) -> Value:
        if entry.name not in self.values:
            raise SyncError("The source has no such secret.")
        self._break()
        return Value.of(self.values[entry.name])

    def _break(self) -> None:
        """Fails as servers and files do, or as an account of AWS does."""
        if self.fails and self._choice.random() < 0.1:
            raise self._choice.choice([SyncError("The source broke."), AwsError("AccessDenied", "No.")])

    def change(self) -> None:
        for name in NAMES:
            match self._choice.randrange(6):
                case 0:
                    self.values.pop(name, None)
                case 1:
                    self.values[name] = self._choice.choice([b"", b"a", b"b", b"\xff", bytes(65_537)])
                case _:
                    pass


def group(name: str) -> str:
    """Returns the secret that an entry belongs to where several become one."""
    return NAMES[NAMES.index(name) // 3]


class Throttled(SecretsManager):
    """Refuses some requests, and lists what was there some time ago."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__()
        self._choice = choice
        self.share = 0.0
        self.listed: dict[str, Secret] | None = None

    def paginate(self, **options: Any) -> Iterator[dict[str, Any]]:
        now = self.secrets
        self.secrets = now if self.listed is None else self.listed
        try:
            pages = list(super().paginate(**options))
        finally:
            self.secrets = now
        yield from pages

    def interrupt(self, operation: str, name: str = "*", tags: Mapping[str, str] | None = None) -> None:  # noqa: ARG002
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
                    replicas=choice.choice([{}, {"eu-west-2": "InSync"}, {"eu-west-2": "Failed"}]),
                )
            case 1 if secret is not None and not secret.replicas:
                secret.is_deleted = not secret.is_deleted
            case 2 if secret is not None:
                secret.tags.pop(OWNER_TAG, None)
            case 4:
                service.taken ^= {name}
            case 5 if secret is not None and secret.replicas:
                secret.replicas["eu-west-2"] = choice.choice(["InSync", "InProgress", "Failed"])
            case 3 if secret is not None and not secret.is_deleted:
                secret.values.append("by hand")
                secret.version = "by hand"
            case _:
                pass


def snapshot(service: SecretsManager) -> dict[str, Secret]:
    return {
        name: replace(
            secret, values=list(secret.values), tags=dict(secret.tags), replicas=dict(secret.replicas)
        )
        for name, secret in service.secrets.items()
    }


def owned(secret: Secret) -> bool:
    return secret.service is None and secret.tags.get(OWNER_TAG) == OURS


def may_change(name: str, secret: Secret, adopted: frozenset[str]) -> bool:
    return owned(secret) or (secret.service is None and OWNER_TAG not in secret.tags and name in adopted)


def rule_of(choice: random.Random, joins: float) -> Rule:
    """Makes a rule: each entry is one secret, or three become one in JSON, which `joins` of all rules do."""
    joins = choice.random() < joins
    return Rule(
        name="{metadata.group}" if joins else "{name}",
        include=("*",),
        exclude=tuple(choice.sample(NAMES, choice.randrange(2))),
        tags=choice.choice([{}, {"team": "a"}]),
        description=choice.choice([None, "of one"]),
        kms_key=choice.choice([None, "key"]),
        replicas=choice.choice([(), ("eu-west-2",)]),
        json="{name}" if joins else None,
    )


def wanted_values(source: Source, rule: Rule) -> dict[str, bytes | None]:
    """Returns what the source wants by name, None if that cannot be a secret."""
    values = {name: value for name, value in source.values.items() if name not in rule.exclude}
    if rule.json is None:
        return dict(values)
    found: dict[str, bytes | None] = {}
    for to in {group(name) for name in values}:
        parts = {name: value for name, value in values.items() if group(name) == to}
        is_text = all(Value.of(value).is_binary is False for value in parts.values())
        document = {name: value.decode() for name, value in parts.items()} if is_text else None
        found[to] = json.dumps(document, sort_keys=True).encode() if document is not None else None
    return found


def run(
    seed: int, digest: Digest | None = None, people: Callable[..., None] = people, joins: float = 0.3
) -> int:
    """Runs some syncs one after the other on the same secrets, and returns how many requests changed something."""
    choice = random.Random(seed)
    service, source = Throttled(choice), Source(choice)
    changes = 0
    for _ in range(RUNS_AT_ONCE):
        rule = rule_of(choice, joins)
        adopted = (
            frozenset(choice.sample(NAMES, choice.randrange(3))) if people is not nobody else frozenset[str]()
        )
        client: Any = service
        compared = digest if rule.json is None else None
        sync = Sync(
            Configuration(OURS, source, None, 30, (rule,)),
            Target(client, OURS, 30, compared, Pace(now=lambda: 0, sleep=lambda _: None)),
            adopted,
            Choices(OURS, compared),
        )
        source.fails = choice.random() < 0.2
        service.share = choice.choice([0.0, 0.0, 0.1])
        prune, limit = choice.random() < 0.5, choice.choice([None, 0, 3, 8])
        service.listed = snapshot(service) if choice.random() < 0.2 else None
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
        source.fails = source.fails or choice.random() < 0.2
        check_apply(service, source, sync, rule, steps, adopted, prune=prune, limit=limit)
        changes += service.secrets != before
    return changes


def nobody(service: SecretsManager, choice: random.Random) -> None:
    """Changes nothing by hand."""


def check_apply(
    service: Throttled,
    source: Source,
    sync: Sync,
    rule: Rule,
    steps: Any,
    adopted: frozenset[str],
    *,
    prune: bool,
    limit: int | None,
) -> None:
    before = snapshot(service)
    ends = list(sync.apply([step for step in steps if step.action in ("create", "change", "delete")]))
    wanted = wanted_values(source, rule)
    for name, secret in before.items():
        after = service.secrets[name]
        assert after.values == secret.values or not secret.is_rotated, "a rotation is not undone"
        if not may_change(name, secret, adopted):
            assert after == secret, "foreign secrets stay as they are"
        assert after.values[: len(secret.values)] == secret.values
        assert after.policy == secret.policy, "a policy is kept"
        assert after.is_deleted <= (secret.is_deleted or prune), "only --prune deletes"
        if after.is_deleted and not secret.is_deleted:
            assert name not in wanted, "what the source has is never deleted"
        if rule.json is not None and not secret.is_deleted and after.values != secret.values:
            lost = keys_in(secret) - keys_in(after)
            assert prune or not lost, "only --prune takes a key out of a JSON secret"
            assert not lost & source.values.keys() - set(rule.exclude), (
                "what the source has stays in its JSON"
            )
    gone = [name for name, secret in before.items() if service.secrets[name].is_deleted > secret.is_deleted]
    most = (
        sum(owned(secret) and not secret.is_deleted for secret in before.values()) if limit is None else limit
    )
    assert len(gone) <= most
    assert service.needless_versions == 0
    if not any(step.action == "refused" for step in (*ends, *steps)):
        for name in {step.name for step in steps if step.action in ("create", "change")} & wanted.keys():
            for region in rule.replicas:
                is_well = service.secrets[name].replicas[region] != "Failed"
                assert is_well or name in service.taken, "replicas that failed are asked for again"
            current = service.secrets[name].values[-1]
            if rule.json is None:
                assert (current.encode() if isinstance(current, str) else current) == wanted[name]
            else:  # more entries may belong to it since the plan
                document = json.loads(current)
                assert document == {key: source.values[key].decode() for key in document}


def keys_in(secret: Secret) -> set[str]:
    return keys_of(secret.values[-1]) if secret.values else set()


def keys_of(value: str | bytes | None) -> set[str]:
    try:
        document = json.loads(value or b"")
    except ValueError:
        return set()
    return set(document) if isinstance(document, dict) else set()


DIGEST = Digest(b"made up for this test alone, 32 b")
MODES = pytest.mark.parametrize("digest", [None, DIGEST], ids=["reads", "digest"])


@MODES
def test_random_syncs_hurt_nothing_and_write_nothing_without_need(digest: Digest | None) -> None:
    assert sum(run(seed, digest) for seed in range(10)) > 50


@MODES
def test_the_policy_of_a_sync_allows_what_syncs_do_and_nothing_else(
    digest: Digest | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sync.yaml"
    (tmp_path / "secrets").mkdir()
    target = "target: {digest: {kms: alias/sync}}\n" if digest else ""
    file.write_text(
        f"version: 1\nid: ours\nsource: {{folder: secrets}}\n{target}secrets: [{{name: '{{name}}'}}]\n"
    )
    printed = policy(file, "123456789012", "eu-west-1")
    asked = set[str]()

    def check(
        service: Throttled, operation: str, name: str = "*", tags: Mapping[str, str] | None = None
    ) -> None:
        asked.add(f"secretsmanager:{operation}")
        assert is_allowed(printed, operation, name, service.secrets.get(name), tags or {}), (operation, name)
        if tags is not None and operation == "CreateSecret":
            assert is_allowed(printed, "TagResource", name, None, tags)

    monkeypatch.setattr(Throttled, "interrupt", check)
    # Those who change secrets by hand could take the tag away between two requests.
    for seed in range(20):
        run(seed, digest, nobody, 0 if digest else 0.3)
    allowed = {action for statement in printed["Statement"] for action in statement["Action"]}
    assert asked == {action for action in allowed if action.startswith("secretsmanager:")}


def is_allowed(
    printed: Any, operation: str, name: str, secret: Secret | None, tags: Mapping[str, str]
) -> bool:
    resource = "*" if name == "*" else f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-a1B2c3"
    context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if secret is not None:
        context |= {f"aws:ResourceTag/{key}": value for key, value in secret.tags.items()}
    return allows(printed, f"secretsmanager:{operation}", resource, context)


@pytest.mark.parametrize("owner", [None, THEIRS], ids=["nobody", "another sync"])
@pytest.mark.parametrize(
    "operation",
    [
        "GetSecretValue",
        "PutSecretValue",
        "UpdateSecret",
        "RestoreSecret",
        "DeleteSecret",
        "ReplicateSecretToRegions",
    ],
)
def test_the_policy_of_a_sync_refuses_secrets_of_others(
    operation: str, owner: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "sync.yaml"
    (tmp_path / "secrets").mkdir()
    file.write_text("version: 1\nid: ours\nsource: {folder: secrets}\nsecrets: [{name: 'prod/{name}'}]\n")
    printed = policy(file, "123456789012", "eu-west-1")
    theirs = Secret(["x"], tags={OWNER_TAG: owner} if owner else {})
    ours = Secret(["x"], tags={OWNER_TAG: OURS})
    assert is_allowed(printed, operation, "prod/db", ours, {})
    assert not is_allowed(printed, operation, "prod/db", theirs, {})
    assert not is_allowed(printed, operation, "test/db", ours, {})
    if owner is not None:
        assert not is_allowed(printed, "TagResource", "prod/db", theirs, {OWNER_TAG: OURS})
    assert not is_allowed(printed, "CreateSecret", "prod/db", None, {OWNER_TAG: THEIRS})


def test_the_policy_of_a_sync_knows_the_partition_of_its_region(tmp_path: Path) -> None:
    file = tmp_path / "sync.yaml"
    (tmp_path / "secrets").mkdir()
    file.write_text("version: 1\nid: ours\nsource: {folder: secrets}\nsecrets: [{name: 'prod/{name}'}]\n")
    chinese = policy(file, "123456789012", "cn-north-1")["Statement"]
    assert chinese[0]["Resource"] == ["arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:prod/*"]


@pytest.mark.long
@MODES
def test_a_hundred_thousand_random_syncs_hurt_nothing(digest: Digest | None) -> None:
    assert sum(run(seed, digest) for seed in range(1_000)) > 10_000
