"""Secrets Manager in memory, with the refusals of the real one that moto lacks, fast enough for 100,000 runs.

It has the calls of boto3's client that `keystart sync` makes. Sources: the API reference of Secrets Manager.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

TAKEN = "Secret with this name already exists in this region"
_BATCH = 20  # the most secrets in one BatchGetSecretValue


@dataclass
class Secret:
    """One secret: everything that a sync could change or lose."""

    values: list[str | bytes]
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    kms_key: str | None = None
    replicas: dict[str, str] = field(default_factory=dict)  # the status of each, by region
    service: str | None = None
    is_rotated: bool = False
    policy: str | None = None
    is_deleted: bool = False
    version: str = "by hand"  # the id of AWSCURRENT


class SecretsManager:
    """The secrets by name. `interrupt` is called before each request, and may raise what `error` returns."""

    page = 3  # secrets on a page of ListSecrets: few, so that several pages are common
    has_empty_pages = True  # in BatchGetSecretValue, as the real one may have

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.taken = set[str]()  # names that another secret has in the other regions
        self.needless_versions = 0
        self._chosen = set[str]()  # the ids that callers chose

    def interrupt(self, operation: str, name: str = "*", tags: Mapping[str, str] | None = None) -> None:
        """Does what a test wants before a request about a secret, with the tags that it sets. Here that is nothing."""

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        secret = self._find("DescribeSecret", SecretId)
        return {
            **_described(SecretId, secret),
            "VersionIdsToStages": _versions(secret),
            "ReplicationStatus": [
                {"Region": region, "Status": status, "StatusMessage": TAKEN if status == "Failed" else ""}
                for region, status in secret.replicas.items()
            ],
        }

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:
        secret = self._active("GetSecretValue", SecretId)
        if not secret.values:
            raise error("GetSecretValue", "ResourceNotFoundException")
        return _value(secret)

    def batch_get_secret_value(self, *, SecretIdList: list[str], NextToken: str = "0") -> dict[str, Any]:
        """Returns the values of some secrets, with an empty page first. Those that cannot be read are missing."""
        assert 0 < len(SecretIdList) <= _BATCH
        self.interrupt("BatchGetSecretValue")
        if self.has_empty_pages and NextToken == "0":
            return {"SecretValues": [], "NextToken": "1"}
        found = []
        for name in SecretIdList:
            self.interrupt("GetSecretValue", name)
            secret = self.secrets.get(name)
            if secret is not None and not secret.is_deleted and secret.values:
                found.append({"ARN": name, "Name": name, **_value(secret)})
        return {"SecretValues": found, "Errors": []}

    def create_secret(
        self, *, Name: str, Tags: list[dict[str, str]], Description: str = "", **content: Any
    ) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in Tags}
        self.interrupt("CreateSecret", Name, tags)
        if Name in self.secrets:
            code = "InvalidRequestException" if self.secrets[Name].is_deleted else "ResourceExistsException"
            raise error("CreateSecret", code)
        self.secrets[Name] = Secret(
            [content.get("SecretString") or content["SecretBinary"]],
            tags,
            Description,
            content.get("KmsKeyId"),
            version=self._version(content),
        )

    def tag_resource(self, *, SecretId: str, Tags: list[dict[str, str]]) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in Tags}
        secret = self._active("TagResource", SecretId, tags)
        secret.tags.update(tags)

    def update_secret(
        self, *, SecretId: str, Description: str | None = None, KmsKeyId: str | None = None
    ) -> None:
        secret = self._active("UpdateSecret", SecretId)
        secret.description = secret.description if Description is None else Description
        secret.kms_key = secret.kms_key if KmsKeyId is None else KmsKeyId

    def put_secret_value(self, *, SecretId: str, **content: Any) -> None:
        secret = self._active("PutSecretValue", SecretId)
        value = content.get("SecretString") or content["SecretBinary"]
        # Whoever may not read cannot know the value of a version that somebody else wrote.
        is_known = "ClientRequestToken" not in content or secret.version in self._chosen
        self.needless_versions += is_known and bool(secret.values) and secret.values[-1] == value
        secret.values.append(value)
        secret.version = self._version(content)

    def _version(self, content: Mapping[str, Any]) -> str:
        version: str = content.get("ClientRequestToken", "by boto3")
        if version != "by boto3":
            assert 32 <= len(version) <= 64
            assert version not in self._chosen, "a put with an id that exists moves nothing"
            self._chosen.add(version)
        return version

    def restore_secret(self, *, SecretId: str) -> None:
        self._find("RestoreSecret", SecretId).is_deleted = False

    def replicate_secret_to_regions(self, *, SecretId: str, AddReplicaRegions: list[dict[str, str]]) -> None:
        """Replicates a secret, also where that failed before. It overwrites no other secret: nobody asks it to."""
        secret = self._active("ReplicateSecretToRegions", SecretId)
        for region in (replica["Region"] for replica in AddReplicaRegions):
            if secret.replicas.get(region) == "InSync":
                raise error("ReplicateSecretToRegions", "InvalidParameterException")
            secret.replicas[region] = "Failed" if SecretId in self.taken else "InSync"

    def remove_regions_from_replication(self, *, SecretId: str, RemoveReplicaRegions: list[str]) -> None:
        secret = self._active("RemoveRegionsFromReplication", SecretId)
        for region in RemoveReplicaRegions:
            del secret.replicas[region]

    def delete_secret(self, *, SecretId: str, RecoveryWindowInDays: int) -> None:
        assert 7 <= RecoveryWindowInDays <= 30
        secret = self._active("DeleteSecret", SecretId)
        if secret.replicas:
            raise error("DeleteSecret", "InvalidRequestException")
        secret.is_deleted = True

    def get_paginator(self, operation: str) -> SecretsManager:
        assert operation == "list_secrets"
        return self

    def paginate(
        self, *, Filters: list[dict[str, Any]], PaginationConfig: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """Lists secrets with a tag whose key begins with the filter's: the real one matches prefixes."""
        assert PaginationConfig["PageSize"] <= 100
        prefix = Filters[0]["Values"][0]
        found = [
            {**_described(name, secret), "Name": name, "SecretVersionsToStages": _versions(secret)}
            for name, secret in self.secrets.items()
            if not secret.is_deleted and any(key.startswith(prefix) for key in secret.tags)
        ]
        for start in range(0, len(found) or 1, self.page):
            self.interrupt("ListSecrets")
            yield {"SecretList": found[start : start + self.page]}

    def _find(self, operation: str, name: str, tags: Mapping[str, str] | None = None) -> Secret:
        self.interrupt(operation, name, tags)
        if name not in self.secrets:
            raise error(operation, "ResourceNotFoundException")
        return self.secrets[name]

    def _active(self, operation: str, name: str, tags: Mapping[str, str] | None = None) -> Secret:
        secret = self._find(operation, name, tags)
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


def _described(arn: str, secret: Secret) -> dict[str, Any]:
    """Returns what both DescribeSecret and ListSecrets say."""
    answer: dict[str, Any] = {"ARN": arn, "Tags": _tags(secret), "Description": secret.description}
    if secret.kms_key is not None:
        answer["KmsKeyId"] = secret.kms_key
    if secret.service is not None:
        answer["OwningService"] = secret.service
    if secret.is_rotated:
        answer["RotationEnabled"] = True
    if secret.is_deleted:
        answer["DeletedDate"] = 0
    return answer


def _versions(secret: Secret) -> dict[str, list[str]]:
    return {secret.version: ["AWSCURRENT"], "older": ["AWSPREVIOUS"]} if secret.values else {}


def _value(secret: Secret) -> dict[str, Any]:
    value = secret.values[-1]
    return {"SecretString": value} if isinstance(value, str) else {"SecretBinary": value}
