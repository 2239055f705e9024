"""Secrets Manager as the target: reads what exists, and carries out a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..aws import AwsError
from ..aws.errors import ask
from .secret import OWNER_TAG, ExistingSecret, Value, WantedSecret, value_of
from .step import Step

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, ListSecretsResponseTypeDef
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef as Tag

Result = TypeVar("Result")

_SHORTEST = 4  # characters; a shorter line of a value may be part of ordinary words


class Target:
    """The secrets of one account and region."""

    def __init__(self, client: SecretsManagerClient, sync: str, recovery_days: int) -> None:
        self._client = client
        self._sync = sync
        self._recovery_days = recovery_days

    def find(self, name: str, *, adopts: bool = False) -> ExistingSecret | None:
        """Returns the secret of this name, None if no secret has it. `adopts` as in `step_for`.

        It reads the value only of a secret that the sync may change.
        """
        try:
            described = self._call(
                "DescribeSecret", name, lambda: self._client.describe_secret(SecretId=name)
            )
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                return None
            raise
        # An answer that is not whole is a failure of the call.
        return self._call("DescribeSecret", name, lambda: self._existing(described, adopts=adopts))

    def owned_names(self) -> Iterator[str]:
        """Lists the names of all secrets of this sync that are not deleted."""
        pages = self._client.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "tag-key", "Values": [OWNER_TAG]}, {"Key": "tag-value", "Values": [self._sync]}]
        )
        iterator = iter(pages)
        ask_next = partial(self._call, "ListSecrets", "*", lambda: self._owned(next(iterator, None)))
        while (names := ask_next()) is not None:
            yield from names

    def _owned(self, page: ListSecretsResponseTypeDef | None) -> list[str] | None:
        """Returns the names of a page. The filters match prefixes, and the value of any tag."""
        tag = {"Key": OWNER_TAG, "Value": self._sync}
        return (
            None
            if page is None
            else [one["Name"] for one in page["SecretList"] if tag in one.get("Tags", [])]
        )

    def _existing(self, described: DescribeSecretResponseTypeDef, *, adopts: bool) -> ExistingSecret:
        tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}
        is_deleted = "DeletedDate" in described
        has_value = any("AWSCURRENT" in stages for stages in described.get("VersionIdsToStages", {}).values())
        owner = tags.get(OWNER_TAG)
        may_read = "OwningService" not in described and (owner == self._sync or (owner is None and adopts))
        return ExistingSecret(
            arn=described["ARN"],
            tags=tags,
            value=self._value(described["ARN"]) if may_read and has_value and not is_deleted else None,
            description=described.get("Description", ""),
            kms_key=described.get("KmsKeyId"),
            replicas=tuple(replica["Region"] for replica in described.get("ReplicationStatus", ())),
            service=described.get("OwningService"),
            is_rotated=described.get("RotationEnabled", False),
            is_deleted=is_deleted,
        )

    def create(self, wanted: WantedSecret) -> None:
        """Creates a secret with its tags in one request, so that it is never without its owner."""
        settings = wanted.settings
        request: dict[str, Any] = {"Name": wanted.name, "Tags": self._tags(wanted), **_content(wanted.value)}
        if settings.description is not None:
            request["Description"] = settings.description
        if settings.kms_key is not None:
            request["KmsKeyId"] = settings.kms_key
        if settings.replicas:
            request["AddReplicaRegions"] = [{"Region": region} for region in settings.replicas]
        self._send("CreateSecret", wanted.name, wanted.value, lambda: self._client.create_secret(**request))

    def change(self, wanted: WantedSecret, existing: ExistingSecret, step: Step) -> None:
        """Makes the changes of a step. The value comes last, so that AWSCURRENT moves when the rest is in place."""
        secret, settings = existing.arn, wanted.settings
        client = self._client
        if "restore" in step.changes:
            self._call("RestoreSecret", secret, lambda: client.restore_secret(SecretId=secret))
        if {"adopt", "tags"} & set(step.changes):
            tags = self._tags(wanted)
            self._call("TagResource", secret, lambda: client.tag_resource(SecretId=secret, Tags=tags))
        if new := {"description", "kms_key"} & set(step.changes):
            request: dict[str, Any] = {"SecretId": secret}
            if "description" in new:
                request["Description"] = settings.description
            if "kms_key" in new:
                request["KmsKeyId"] = settings.kms_key
            self._call("UpdateSecret", secret, lambda: client.update_secret(**request))
        if missing := [region for region in settings.replicas if region not in existing.replicas]:
            regions: Any = [{"Region": region} for region in missing]
            self._call(
                "ReplicateSecretToRegions",
                secret,
                lambda: client.replicate_secret_to_regions(SecretId=secret, AddReplicaRegions=regions),
            )
        if "value" in step.changes:
            # A secret that was restored may have the value already.
            if existing.is_deleted and self._value(secret) == wanted.value:
                return
            content = _content(wanted.value)
            self._send(
                "PutSecretValue",
                secret,
                wanted.value,
                lambda: client.put_secret_value(SecretId=secret, **content),
            )

    def delete(self, existing: ExistingSecret) -> None:
        """Deletes a secret, with a recovery window. Its replicas go first: Secrets Manager demands it."""
        secret, client = existing.arn, self._client
        if existing.replicas:
            regions = list(existing.replicas)
            self._call(
                "RemoveRegionsFromReplication",
                secret,
                lambda: client.remove_regions_from_replication(SecretId=secret, RemoveReplicaRegions=regions),
            )
        days = self._recovery_days
        self._call(
            "DeleteSecret", secret, lambda: client.delete_secret(SecretId=secret, RecoveryWindowInDays=days)
        )

    def _value(self, secret: str) -> Value:
        def call() -> Value:
            return value_of(self._client.get_secret_value(SecretId=secret))

        return self._call("GetSecretValue", secret, call)

    def _tags(self, wanted: WantedSecret) -> Sequence[Tag]:
        tags = {**wanted.settings.tags, OWNER_TAG: self._sync}
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    def _send(self, operation: str, secret: str, value: Value, call: Callable[[], object]) -> None:
        """Makes a call that sends a value. A message that repeats a line of it is not shown."""
        try:
            self._call(operation, secret, call)
        except AwsError as error:
            lines = (line.strip() for line in value.content.decode(errors="replace").splitlines())
            if not any(len(line) >= _SHORTEST and line in error.message for line in lines):
                raise
            code = error.code
        else:
            return
        raise AwsError(code, "The message of Secrets Manager repeats the value, so it is not shown.")

    def _call(self, operation: str, secret: str, call: Callable[[], Result]) -> Result:
        return ask(f"secretsmanager:{operation} on {secret}", call)


def _content(value: Value) -> dict[str, Any]:
    """Returns the value as the API takes it."""
    return {"SecretBinary": value.content} if value.is_binary else {"SecretString": value.content.decode()}
