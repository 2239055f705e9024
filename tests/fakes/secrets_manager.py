"""Secrets Manager in memory, with the refusals of the real one that moto lacks, fast enough for 100,000 runs.

It has the calls of boto3's client that `keystart sync` makes. Sources: the API reference of Secrets Manager.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

_PAGE = 3  # secrets on a page of ListSecrets: few, so that several pages are common


@dataclass
class Secret:
    """One secret: everything that a sync could change or lose."""

    values: list[str | bytes]
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    kms_key: str | None = None
    replicas: list[str] = field(default_factory=list)
    service: str | None = None
    is_rotated: bool = False
    policy: str | None = None
    is_deleted: bool = False


class SecretsManager:
    """The secrets by name. `interrupt` is called before each request, and may raise what `error` returns."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.needless_versions = 0

    def interrupt(self, operation: str) -> None:
        """Does what a test wants before a request. This one does nothing."""

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        secret = self._find("DescribeSecret", SecretId)
        answer: dict[str, Any] = {
            "ARN": SecretId,
            "Tags": _tags(secret),
            "Description": secret.description,
            "VersionIdsToStages": {"1": ["AWSCURRENT"]} if secret.values else {},
            "ReplicationStatus": [{"Region": region} for region in secret.replicas],
        }
        if secret.kms_key is not None:
            answer["KmsKeyId"] = secret.kms_key
        if secret.service is not None:
            answer["OwningService"] = secret.service
        if secret.is_rotated:
            answer["RotationEnabled"] = True
        if secret.is_deleted:
            answer["DeletedDate"] = 0
        return answer

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:
        secret = self._active("GetSecretValue", SecretId)
        if not secret.values:
            raise error("GetSecretValue", "ResourceNotFoundException")
        value = secret.values[-1]
        return {"SecretString": value} if isinstance(value, str) else {"SecretBinary": value}

    def create_secret(
        self, *, Name: str, Tags: list[dict[str, str]], Description: str = "", **content: Any
    ) -> None:
        self.interrupt("CreateSecret")
        if Name in self.secrets:
            code = "InvalidRequestException" if self.secrets[Name].is_deleted else "ResourceExistsException"
            raise error("CreateSecret", code)
        self.secrets[Name] = Secret(
            [content.get("SecretString") or content["SecretBinary"]],
            {tag["Key"]: tag["Value"] for tag in Tags},
            Description,
            content.get("KmsKeyId"),
            [region["Region"] for region in content.get("AddReplicaRegions", [])],
        )

    def tag_resource(self, *, SecretId: str, Tags: list[dict[str, str]]) -> None:
        secret = self._active("TagResource", SecretId)
        secret.tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    def update_secret(
        self, *, SecretId: str, Description: str | None = None, KmsKeyId: str | None = None
    ) -> None:
        secret = self._active("UpdateSecret", SecretId)
        secret.description = secret.description if Description is None else Description
        secret.kms_key = secret.kms_key if KmsKeyId is None else KmsKeyId

    def put_secret_value(self, *, SecretId: str, **content: Any) -> None:
        secret = self._active("PutSecretValue", SecretId)
        value = content.get("SecretString") or content["SecretBinary"]
        self.needless_versions += bool(secret.values) and secret.values[-1] == value
        secret.values.append(value)

    def restore_secret(self, *, SecretId: str) -> None:
        self._find("RestoreSecret", SecretId).is_deleted = False

    def replicate_secret_to_regions(self, *, SecretId: str, AddReplicaRegions: list[dict[str, str]]) -> None:
        secret = self._active("ReplicateSecretToRegions", SecretId)
        secret.replicas += [region["Region"] for region in AddReplicaRegions]

    def remove_regions_from_replication(self, *, SecretId: str, RemoveReplicaRegions: list[str]) -> None:
        secret = self._active("RemoveRegionsFromReplication", SecretId)
        secret.replicas = [region for region in secret.replicas if region not in RemoveReplicaRegions]

    def delete_secret(self, *, SecretId: str, RecoveryWindowInDays: int) -> None:
        assert 7 <= RecoveryWindowInDays <= 30
        secret = self._active("DeleteSecret", SecretId)
        if secret.replicas:
            raise error("DeleteSecret", "InvalidRequestException")
        secret.is_deleted = True

    def get_paginator(self, operation: str) -> SecretsManager:
        assert operation == "list_secrets"
        return self

    def paginate(self, *, Filters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Lists secrets with a tag whose key begins with the filter's: the real one matches prefixes."""
        prefix = Filters[0]["Values"][0]
        found = [
            {"Name": name, "Tags": _tags(secret)}
            for name, secret in self.secrets.items()
            if not secret.is_deleted and any(key.startswith(prefix) for key in secret.tags)
        ]
        for start in range(0, len(found) or 1, _PAGE):
            self.interrupt("ListSecrets")
            yield {"SecretList": found[start : start + _PAGE]}

    def _find(self, operation: str, name: str) -> Secret:
        self.interrupt(operation)
        if name not in self.secrets:
            raise error(operation, "ResourceNotFoundException")
        return self.secrets[name]

    def _active(self, operation: str, name: str) -> Secret:
        secret = self._find(operation, name)
        if secret.is_deleted:
            raise error(operation, "InvalidRequestException")
        return secret


def error(operation: str, code: str) -> ClientError:
    """Makes an error of the service, as boto3 raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": "made up"}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[typeddict-item]
        operation,
    )


def _tags(secret: Secret) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in secret.tags.items()]
