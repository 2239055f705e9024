"""The least privilege of a sync, as an IAM policy: IAM itself refuses to change secrets without the tag of the sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import UnknownRegionError

from .configuration import Configuration, read
from .digest import Settings
from .lock import FOLDER
from .secret import OWNER_TAG
from .sources import Source
from .sources.parameter_store import ParameterStore
from .sources.secrets_manager import SecretsManager

_WRITES = (
    "PutSecretValue",
    "UpdateSecret",
    "RestoreSecret",
    "DeleteSecret",
    "ReplicateSecretToRegions",
    "RemoveRegionsFromReplication",
)
_LOCK = ("PutParameter", "GetParametersByPath", "DeleteParameters")


def policy(file: Path, account: str, region: str) -> dict[str, Any]:
    """Returns the policy that `keystart sync` needs for a sync.yaml. Secrets that are adopted need more."""
    configuration = read(file)
    region = configuration.region or region
    partition = _partition(region)
    where = f"{partition}:{{}}:{region}:{account}"
    statements = _of_target(configuration, where)
    keys = sorted({rule.kms_key for rule in configuration.rules if rule.kms_key is not None})
    statements += _of_keys(keys, where)
    if configuration.digest is not None:
        statements.append(_digest(configuration.digest, where))
    statements += _source(configuration.source, partition, account, region)
    return {"Version": "2012-10-17", "Statement": statements}


def _of_target(configuration: Configuration, where: str) -> list[dict[str, Any]]:
    """Returns what a sync does in Secrets Manager, and its lock."""
    names = sorted({rule.name.partition("{")[0] for rule in configuration.rules})
    secrets = [f"arn:{where.format('secretsmanager')}:secret:{name}*" for name in names]
    lock = f"arn:{where.format('ssm')}:parameter{FOLDER}/{configuration.id}"
    reads = configuration.digest is None
    # IAM knows no smaller resource for these. BatchGetSecretValue also needs GetSecretValue on each secret.
    lists = ["ListSecrets", "BatchGetSecretValue"] if reads else ["ListSecrets"]
    in_request, in_secret = f"aws:RequestTag/{OWNER_TAG}", f"aws:ResourceTag/{OWNER_TAG}"
    own = configuration.id
    return [
        _allow("Look", "secretsmanager", ["DescribeSecret"], secrets),
        _allow("List", "secretsmanager", lists, ["*"]),
        {
            **_allow("Create", "secretsmanager", ["CreateSecret"], secrets),
            "Condition": {"StringEquals": {in_request: own}},
        },
        {
            # A new secret gets the tag with its creation. A secret of another sync has another value already.
            **_allow("Tag", "secretsmanager", ["TagResource"], secrets),
            "Condition": {"StringEqualsIfExists": {in_request: own, in_secret: own}},
        },
        {
            **_allow("Change", "secretsmanager", ["GetSecretValue", *_WRITES] if reads else _WRITES, secrets),
            "Condition": {"StringEquals": {in_secret: own}},
        },
        _allow("Lock", "ssm", _LOCK, [lock, f"{lock}/*"]),
    ]


def _of_keys(keys: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    """Yields what a sync does with the keys of its rules, by their ARNs and by their aliases."""
    uses = ["GenerateDataKey", "Decrypt"]
    if arns := [key for key in keys if key.startswith("arn:")]:
        yield _allow("Keys", "kms", uses, arns)
    if aliases := [key for key in keys if not key.startswith("arn:")]:
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}}
        every = [f"arn:{where.format('kms')}:key/*"]
        yield {**_allow("KeysByAlias", "kms", uses, every), "Condition": condition}


def _digest(settings: Settings, where: str) -> dict[str, Any]:
    if settings.secret is not None:
        arn = f"arn:{where.format('secretsmanager')}:secret:{settings.secret}-??????"
        arn = settings.secret if settings.secret.startswith("arn:") else arn
        return _allow("DigestKey", "secretsmanager", ["GetSecretValue"], [arn])
    key = str(settings.kms)
    if key.startswith("alias/"):
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [key]}}
        every = [f"arn:{where.format('kms')}:key/*"]
        return {**_allow("DigestKey", "kms", ["GenerateMac"], every), "Condition": condition}
    return _allow(
        "DigestKey",
        "kms",
        ["GenerateMac"],
        [key if key.startswith("arn:") else f"arn:{where.format('kms')}:key/{key}"],
    )


def _source(source: Source, partition: str, account: str, region: str) -> list[dict[str, Any]]:
    """Returns what reading a source in AWS needs. Other sources have their own policies."""
    if not isinstance(source, SecretsManager | ParameterStore):
        return []
    if source.account.role is not None:
        return [_allow("SourceRole", "sts", ["AssumeRole"], [source.account.role])]
    region = source.account.region or region
    if isinstance(source, SecretsManager):
        arn = f"arn:{partition}:secretsmanager:{region}:{account}:secret:{source.prefix}*"
        return [
            _allow("SourceList", "secretsmanager", ["ListSecrets"], ["*"]),
            _allow("Source", "secretsmanager", ["GetSecretValue"], [arn]),
        ]
    arn = f"arn:{partition}:ssm:{region}:{account}:parameter{source.path}"
    # Parameter Store lists a path if the path itself is allowed.
    return [
        _allow("SourceList", "ssm", ["GetParametersByPath"], [arn.rstrip("/"), f"{arn}*"]),
        _allow("Source", "ssm", ["GetParameter", "GetParameters"], [f"{arn}*"]),
    ]


def _partition(region: str) -> str:
    try:
        return boto3.Session().get_partition_for_region(region)
    except UnknownRegionError:  # also for *
        return "aws"


def _allow(sid: str, service: str, operations: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    actions = [f"{service}:{operation}" for operation in operations]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}
