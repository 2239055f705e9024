"""Compares secrets with keyed digests, on moto: nothing is read, and no digest can be tested without the key."""

from __future__ import annotations

import hashlib
import json
import secrets as randomness
from pathlib import Path
from typing import Any

import boto3
import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import read
from keystart_extension.sync.digest import Digest, Settings, digest
from keystart_extension.sync.secret import Settings as SecretSettings
from keystart_extension.sync.secret import Value, WantedSecret

from tests.fakes.aws import REGION, Cloud
from tests.fakes.http import Answer, Request, Stub, forward

from .conftest import Canaries, Environment, Keystart


def wanted(content: bytes, name: str = "a", *, is_binary: bool = False) -> WantedSecret:
    return WantedSecret(name, Value(content, is_binary=is_binary), SecretSettings({}))


def test_a_version_matches_its_own_secret_only() -> None:
    key = randomness.token_bytes(32)
    version = Digest(key).version(wanted(b"x"))
    assert len(version) == 64
    assert Digest(key).matches(version, wanted(b"x"))
    assert not Digest(key).matches(version, wanted(b"y"))
    assert not Digest(key).matches(version, wanted(b"x", "b"))
    assert not Digest(key).matches(version, wanted(b"x", is_binary=True))
    assert not Digest(randomness.token_bytes(32)).matches(version, wanted(b"x"))


@pytest.mark.parametrize("version", [None, "", "x", "é" * 64, "0" * 64], ids=repr)
def test_a_version_of_somebody_else_matches_nothing(version: str | None) -> None:
    assert not Digest(b"key").matches(version, wanted(b"x"))


def test_the_same_value_never_has_the_same_version_twice() -> None:
    versions = {Digest(b"key").version(wanted(b"x")) for _ in range(100)}
    assert len({version[:32] for version in versions}) == len({version[32:] for version in versions}) == 100


def test_a_version_is_not_a_plain_hash(canary: Canaries) -> None:
    value = canary().encode()
    version = Digest(b"key").version(wanted(value))
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        for text in (value, b"a" + value, version[:32].encode() + value):
            assert version[32:48] not in hashlib.new(algorithm, text).hexdigest()


class Service:
    """moto, with a record of the operations and of what was sent."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.sent: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.sent.append(request)
        return forward(request, self._url)

    def operations(self) -> list[str]:
        return [request.action for request in self.sent]


@pytest.fixture(params=["kms", "secret"])
def key(request: pytest.FixtureRequest, moto: str, cloud: Cloud) -> dict[str, str]:
    """The `target.digest` of a sync.yaml."""
    if request.param == "secret":
        return {"secret": cloud.secret(randomness.token_hex(32))}
    kms: Any = boto3.Session("made-up", "made-up", region_name=REGION).client("kms", endpoint_url=moto)
    made = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")
    return {"kms": made["KeyMetadata"]["KeyId"]}


@pytest.mark.long
def test_a_sync_with_digests_reads_no_value_and_writes_only_what_changed(
    key: dict[str, str],
    moto: str,
    cloud: Cloud,
    environment: Environment,
    keystart: Keystart,
    canary: Canaries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert environment()
    cloud.ssm.describe_parameters(MaxResults=1)  # moto takes long to load this service
    name = f"digest-{randomness.token_hex(4)}"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/db").write_text(canary())
    (tmp_path / "secrets/key").write_bytes(b"\xff" + canary().encode())
    document = {
        "version": 1,
        "id": name,
        "source": {"folder": "secrets"},
        "target": {"digest": key},
        "secrets": [{"name": f"{name}/{{name}}"}],
    }
    (tmp_path / "sync.yaml").write_text(json.dumps(document))
    service = Service(moto)
    with Stub(service) as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        assert keystart("sync", "apply", "--yes")[0] == 0
        assert keystart("sync", "plan") == (0, "2 unchanged\n", "")
        (tmp_path / "secrets/db").write_text(canary())
        assert keystart("sync", "plan")[1].splitlines()[0] == f"~ {name}/db  value"
        assert keystart("sync", "apply", "--yes")[0] == 0
        cloud.secrets.put_secret_value(SecretId=f"{name}/db", SecretString=canary())  # by hand
        assert keystart("sync", "plan")[1].splitlines()[0] == f"~ {name}/db  value"
        assert keystart("sync", "apply", "--yes")[0] == 0
        assert keystart("sync", "plan") == (0, "2 unchanged\n", "")
    current = cloud.secrets.get_secret_value(SecretId=f"{name}/db")["SecretString"]
    assert current == (tmp_path / "secrets/db").read_text()
    asked = service.operations()
    assert "BatchGetSecretValue" not in asked
    reads = [request.json["SecretId"] for request in service.sent if request.action == "GetSecretValue"]
    assert set(reads) <= {key.get("secret")}
    assert asked.count("PutSecretValue") == 2


def test_a_key_that_is_short_or_missing_is_an_error(cloud: Cloud, canary: Canaries) -> None:
    with pytest.raises(SyncError, match="fewer than 32 bytes"):
        digest(lambda _: cloud.secrets, Settings(None, cloud.secret("short")), "a")
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        digest(lambda _: cloud.secrets, Settings(None, "no-such-secret"), "a")


def test_two_syncs_have_different_digests(cloud: Cloud) -> None:
    settings = Settings(None, cloud.secret(randomness.token_hex(32)))
    one, other = (digest(lambda _: cloud.secrets, settings, sync) for sync in ("a", "b"))
    assert not other.matches(one.version(wanted(b"x")), wanted(b"x"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("target: {digest: {}}", "`target.digest` must have exactly one of these keys"),
        ("target: {digest: {kms: a, secret: b}}", "`target.digest` must have exactly one of these keys"),
        ("target: {digest: {key: a}}", "`target.digest` has an unknown key"),
    ],
)
def test_wrong_keys_are_refused_with_the_cure(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "sync.yaml"
    file.write_text(f"version: 1\nid: a\nsource: {{folder: secrets}}\n{text}\nsecrets: [{{name: x}}]\n")
    with pytest.raises(SyncError, match=problem):
        read(file)


def test_digests_go_with_no_secret_in_json(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "sync.yaml"
    file.write_text(
        "version: 1\nid: a\nsource: {folder: secrets}\ntarget: {digest: {kms: a}}\n"
        "secrets: [{name: x, json: '{name}'}]\n"
    )
    with pytest.raises(SyncError, match="`json` needs to read secrets"):
        read(file)
