"""Reads each kind of source as sync.yaml names it, and prints the policy that it needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import read
from keystart_extension.sync.policy import policy

from tests.fakes.iam import allows

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROLE = "arn:aws:iam::210987654321:role/keystart-source"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
FOREIGN_KEY = f"arn:aws:kms:eu-west-1:210987654321:key/{KEY}"
SOURCES: dict[str, Any] = {
    "folder": "secrets",
    "keywhiz": {"url": "https://k", "certificate": "file", "key": "file", "ca": "file"},
    "vault": {"url": "https://v", "auth": {"token": {"token_file": "file"}}},
    "sops": "file",
    "dotenv": ["file"],
    "secrets_manager": {"region": "eu-north-1", "prefix": "prod/"},
    "parameter_store": {"region": "eu-north-1", "path": "/prod"},
}


def configured(folder: Path, source: dict[str, Any], **target: Any) -> Path:
    (folder / "secrets").mkdir()
    (folder / "file").write_text("")
    document = {
        "version": 1,
        "id": "a",
        "source": source,
        "target": target,
        "secrets": [{"name": "x/{name}"}],
    }
    (folder / "sync.yaml").write_text(json.dumps(document))
    return folder / "sync.yaml"


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_of_source_is_read_from_its_key(kind: str, tmp_path: Path) -> None:
    source = read(configured(tmp_path, {kind: SOURCES[kind]})).source
    assert type(source).__module__ == f"keystart_extension.sync.sources.{kind}"


@pytest.mark.parametrize(
    ("kind", "package", "module"), [("vault", "hvac", "hvac"), ("dotenv", "python-dotenv", "dotenv.parser")]
)
def test_a_package_that_is_not_installed_is_named(
    kind: str, package: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"keystart_extension.sync.sources.{kind}", raising=False)
    cure = rf"{package}, .* is not installed. Run: pip install 'keystart-extension\[{kind}\]'"
    with pytest.raises(SyncError, match=cure):
        read(configured(tmp_path, {kind: SOURCES[kind]}))


def test_a_file_names_one_source(tmp_path: Path) -> None:
    with pytest.raises(
        SyncError, match="`source` must have exactly one of these keys: folder, keywhiz, vault, sops"
    ):
        read(configured(tmp_path, {"folder": "secrets", "sops": "file"}))


def secret(name: str, region: str = REGION) -> str:
    return f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}-a1B2c3"


def parameter(name: str, region: str = "eu-north-1") -> str:
    return f"arn:aws:ssm:{region}:{ACCOUNT}:parameter/{name}"


LOCKS = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/keystart/sync"

# What a sync does, and what it never does, by its source and target: action, resource, context.
Requests = list[tuple[str, str, dict[str, str]]]
POLICIES: dict[str, tuple[dict[str, Any], dict[str, Any], Requests, Requests]] = {
    "Secrets Manager": (
        {"secrets_manager": {"region": "eu-north-1", "prefix": "prod/"}},
        {},
        [
            ("secretsmanager:ListSecrets", "*", {}),
            ("secretsmanager:GetSecretValue", secret("prod/db", "eu-north-1"), {}),
        ],
        [
            ("secretsmanager:GetSecretValue", secret("test/db", "eu-north-1"), {}),
            ("secretsmanager:GetSecretValue", secret("prod/db", "eu-west-2"), {}),
            ("secretsmanager:PutSecretValue", secret("prod/db", "eu-north-1"), {}),
            ("secretsmanager:DescribeSecret", secret("prod/db", "eu-north-1"), {}),
        ],
    ),
    "Parameter Store": (
        {"parameter_store": {"region": "eu-north-1", "path": "/prod"}},
        {},
        [
            ("ssm:GetParametersByPath", parameter("prod"), {}),
            ("ssm:GetParameter", parameter("prod/db"), {}),
            ("ssm:GetParameters", parameter("prod/db"), {}),
        ],
        [
            ("ssm:GetParameter", parameter("test/db"), {}),
            ("ssm:GetParameters", parameter("test/db"), {}),
            ("ssm:GetParameter", parameter("production"), {}),
            ("ssm:PutParameter", parameter("prod/db"), {}),
        ],
    ),
    "a role": (
        {"secrets_manager": {"region": "eu-north-1", "role": ROLE}},
        {},
        [("sts:AssumeRole", ROLE, {})],
        [
            ("sts:AssumeRole", f"{ROLE}2", {}),
            ("secretsmanager:GetSecretValue", secret("prod/db", "eu-north-1"), {}),
        ],
    ),
    "Vault": (
        {"vault": SOURCES["vault"]},
        {},
        [
            ("secretsmanager:DescribeSecret", secret("x/db"), {}),
            ("ssm:GetParametersByPath", f"{LOCKS}/a", {}),
            ("ssm:PutParameter", f"{LOCKS}/a/1", {}),
        ],
        [
            ("secretsmanager:DescribeSecret", secret("y/db"), {}),
            ("sts:AssumeRole", ROLE, {}),
            ("ssm:PutParameter", f"{LOCKS}/ab/1", {}),
            ("ssm:DeleteParameters", f"{LOCKS}/a-b/1", {}),
        ],
    ),
    "a KMS key for digests": (
        {"folder": "secrets"},
        {"digest": {"kms": KEY}},
        [("kms:GenerateMac", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}", {})],
        [
            ("kms:GenerateMac", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/other", {}),
            ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}", {}),
            ("secretsmanager:GetSecretValue", secret("x/db"), {"aws:ResourceTag/keystart:sync": "a"}),
            ("secretsmanager:BatchGetSecretValue", "*", {}),
        ],
    ),
    "a KMS key of another account": (
        {"folder": "secrets"},
        {"digest": {"kms": FOREIGN_KEY}},
        [("kms:GenerateMac", FOREIGN_KEY, {})],
        [("kms:GenerateMac", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}", {})],
    ),
    "an alias": (
        {"folder": "secrets"},
        {"digest": {"kms": "alias/sync"}},
        [
            (
                "kms:GenerateMac",
                f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}",
                {"kms:ResourceAliases": "alias/sync"},
            )
        ],
        [
            (
                "kms:GenerateMac",
                f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}",
                {"kms:ResourceAliases": "alias/b"},
            )
        ],
    ),
    "a secret for digests": (
        {"folder": "secrets"},
        {"digest": {"secret": "key"}},
        [("secretsmanager:GetSecretValue", secret("key"), {})],
        [
            ("secretsmanager:GetSecretValue", secret("key/other"), {}),
            ("secretsmanager:GetSecretValue", secret("x/db"), {"aws:ResourceTag/keystart:sync": "a"}),
            ("secretsmanager:PutSecretValue", secret("key"), {}),
        ],
    ),
}


@pytest.mark.parametrize(("source", "target", "needed", "refused"), POLICIES.values(), ids=POLICIES)
def test_the_policy_allows_what_a_source_and_a_target_need_and_no_more(
    source: dict[str, Any], target: dict[str, Any], needed: Requests, refused: Requests, tmp_path: Path
) -> None:
    printed = policy(configured(tmp_path, source, **target), ACCOUNT, REGION)
    assert [request for request in needed if not allows(printed, *request)] == []
    assert [request for request in refused if allows(printed, *request)] == []
