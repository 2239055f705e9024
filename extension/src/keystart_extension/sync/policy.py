"""The least privilege of a sync, as an IAM policy: IAM itself refuses to change secrets without the tag of the sync."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import UnknownRegionError

from .configuration import read
from .lock import FOLDER
from .secret import OWNER_TAG

_WRITES = (
    "GetSecretValue",
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
    names = sorted({rule.name.partition("{")[0] for rule in configuration.rules})
    partition = _partition(region)
    secrets = [f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}*" for name in names]
    keys = sorted({rule.kms_key for rule in configuration.rules if rule.kms_key is not None})
    statements = [
        _allow("Look", "secretsmanager", ["DescribeSecret"], secrets),
        _allow("List", "secretsmanager", ["ListSecrets"], ["*"]),  # IAM knows no smaller resource for it
        {
            **_allow("Create", "secretsmanager", ["CreateSecret"], secrets),
            "Condition": {"StringEquals": {f"aws:RequestTag/{OWNER_TAG}": configuration.id}},
        },
        {
            # A new secret gets the tag with its creation. A secret of another sync has another value already.
            **_allow("Tag", "secretsmanager", ["TagResource"], secrets),
            "Condition": {
                "StringEqualsIfExists": {
                    f"aws:RequestTag/{OWNER_TAG}": configuration.id,
                    f"aws:ResourceTag/{OWNER_TAG}": configuration.id,
                }
            },
        },
        {
            **_allow("Change", "secretsmanager", _WRITES, secrets),
            "Condition": {"StringEquals": {f"aws:ResourceTag/{OWNER_TAG}": configuration.id}},
        },
        _allow(
            "Lock",
            "ssm",
            _LOCK,
            [f"arn:{partition}:ssm:{region}:{account}:parameter{FOLDER}/{configuration.id}*"],
        ),
    ]
    uses = ["GenerateDataKey", "Decrypt"]
    if arns := [key for key in keys if key.startswith("arn:")]:
        statements.append(_allow("Keys", "kms", uses, arns))
    if aliases := [key for key in keys if not key.startswith("arn:")]:
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}}
        every = [f"arn:{partition}:kms:{region}:{account}:key/*"]
        statements.append({**_allow("KeysByAlias", "kms", uses, every), "Condition": condition})
    return {"Version": "2012-10-17", "Statement": statements}


def _partition(region: str) -> str:
    try:
        return boto3.Session().get_partition_for_region(region)
    except UnknownRegionError:  # also for *
        return "aws"


def _allow(sid: str, service: str, operations: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    actions = [f"{service}:{operation}" for operation in operations]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}
