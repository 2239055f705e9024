"""Secrets Manager as the target: reads what exists, and carries out a step.

A plan lists the secrets of the sync, 100 with a request, and reads their values, 20 with a request. A list may lack the
changes of the last minutes, so it only shows what needs no change; `find` shows one secret as it is now.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..aws import AwsError
from ..aws.errors import ask, without
from .digest import Digest
from .pace import Pace
from .secret import OWNER_TAG, ExistingSecret, Value, WantedSecret, value_of
from .step import Step

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        ListSecretsResponseTypeDef,
        ReplicationStatusTypeTypeDef,
        SecretListEntryTypeDef,
    )
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef as Tag

Result = TypeVar("Result")

READ_AT_ONCE = 20  # values in one BatchGetSecretValue
_LISTED = 100  # secrets on a page of ListSecrets
_FAILED = ("Failed", "Detached")  # one that was detached is a separate secret


class Target:
    """The secrets of one account and region."""

    def __init__(
        self,
        client: SecretsManagerClient,
        sync: str,
        recovery_days: int,
        digest: Digest | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._sync = sync
        self._recovery_days = recovery_days
        self._digest = digest
        self._pace = pace or Pace()

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
        return ask(
            f"secretsmanager:DescribeSecret on {name}", lambda: self._existing(described, adopts=adopts)
        )

    def own_secrets(self) -> Iterator[tuple[str, ExistingSecret]]:
        """Lists the secrets of this sync that are not deleted, by name, without their values and replicas."""
        pages = self._client.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "tag-key", "Values": [OWNER_TAG]}, {"Key": "tag-value", "Values": [self._sync]}],
            PaginationConfig={"PageSize": _LISTED},
        )
        iterator = iter(pages)
        ask_next = partial(self._call, "ListSecrets", "*", lambda: self._own_secrets_on(next(iterator, None)))
        while (secrets := ask_next()) is not None:
            yield from secrets

    def _own_secrets_on(
        self, page: ListSecretsResponseTypeDef | None
    ) -> list[tuple[str, ExistingSecret]] | None:
        """Returns the secrets of a page. The filters match prefixes, and the value of any tag."""
        tag = {"Key": OWNER_TAG, "Value": self._sync}
        return (
            None
            if page is None
            else [
                (one["Name"], _existing(one, one.get("SecretVersionsToStages", {})))
                for one in page["SecretList"]
                if tag in one.get("Tags", [])
            ]
        )

    def values(self, secrets: Mapping[str, ExistingSecret]) -> dict[str, Value]:
        """Reads the values of some secrets of this sync, by name. Those that it cannot read are missing.

        `find` says of each one why.
        """
        arns = {
            one.arn: name for name, one in secrets.items() if one.service is None and one.version is not None
        }
        request: dict[str, Any] = {"SecretIdList": list(arns)}
        found: dict[str, Value] = {}
        try:
            while arns:
                answer = self._call(
                    "BatchGetSecretValue", "*", lambda: self._client.batch_get_secret_value(**request)
                )
                for one in answer.get("SecretValues", ()):
                    if (name := arns.get(one["ARN"])) is not None:
                        found[name] = ask(
                            f"secretsmanager:BatchGetSecretValue on {name}", partial(value_of, one)
                        )
                if (token := answer.get("NextToken")) is None:
                    break
                request["NextToken"] = token
        except AwsError:
            return {}
        return found

    def _existing(self, described: DescribeSecretResponseTypeDef, *, adopts: bool) -> ExistingSecret:
        existing = _existing(described, described.get("VersionIdsToStages", {}))
        may_read = existing.service is None and (
            existing.owner == self._sync or (existing.owner is None and adopts)
        )
        is_read = (
            may_read and existing.version is not None and not existing.is_deleted and self._digest is None
        )
        return replace(
            existing,
            value=self._value(existing.arn) if is_read else None,
            replicas={one["Region"]: _failure(one) for one in described.get("ReplicationStatus", ())},
        )

    def create(self, wanted: WantedSecret) -> None:
        """Creates a secret with its tags in one request, so that it is never without its owner."""
        settings = wanted.settings
        request: dict[str, Any] = {"Name": wanted.name, "Tags": self._tags(wanted), **self._content(wanted)}
        if settings.description is not None:
            request["Description"] = settings.description
        if settings.kms_key is not None:
            request["KmsKeyId"] = settings.kms_key
        self._send("CreateSecret", wanted.name, wanted.value, lambda: self._client.create_secret(**request))
        # Not within CreateSecret: IAM would have to allow replicas of secrets that carry no tag yet.
        self._replicate(wanted.name, settings.replicas)

    def restore(self, existing: ExistingSecret) -> ExistingSecret:
        """Brings back a secret that is scheduled for deletion, and returns it with its value: now that can be read."""
        secret = existing.arn
        self._call("RestoreSecret", secret, lambda: self._client.restore_secret(SecretId=secret))
        is_read = existing.version is not None and self._digest is None
        return replace(existing, is_deleted=False, value=self._value(secret) if is_read else None)

    def change(self, wanted: WantedSecret, existing: ExistingSecret, step: Step) -> None:
        """Makes the changes of a step, except for restoring.

        The value comes last, so that AWSCURRENT moves when the rest is in place.
        """
        secret, settings = existing.arn, wanted.settings
        client = self._client
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
        self._replicate(secret, existing.lacks(settings.replicas))
        if "value" in step.changes:
            content = self._content(wanted)
            self._send(
                "PutSecretValue",
                secret,
                wanted.value,
                lambda: client.put_secret_value(SecretId=secret, **content),
            )

    def _replicate(self, secret: str, regions: Sequence[str]) -> None:
        """Asks for replicas, even for those that failed. It never lets them overwrite another secret of the name."""
        if not regions:
            return
        replicas: Any = [{"Region": region} for region in regions]
        self._call(
            "ReplicateSecretToRegions",
            secret,
            lambda: self._client.replicate_secret_to_regions(SecretId=secret, AddReplicaRegions=replicas),
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
        """Makes a call that sends a value. A message that repeats a part of it is not shown."""
        try:
            self._call(operation, secret, call)
        except AwsError as error:
            forms = (value.content.decode(errors="replace"), base64.b64encode(value.content).decode())
            if without(error.message, forms) == error.message:
                raise
            code = error.code
        else:
            return
        raise AwsError(code, "The message of Secrets Manager repeats the value, so it is not shown.")

    def _content(self, wanted: WantedSecret) -> dict[str, Any]:
        """Returns the value as the API takes it, and the id of its version if that is to hold a digest."""
        value = wanted.value
        version = {} if self._digest is None else {"ClientRequestToken": self._digest.version(wanted)}
        if value.is_binary:
            return {"SecretBinary": value.content, **version}
        return {"SecretString": value.content.decode(), **version}

    def _call(self, operation: str, secret: str, call: Callable[[], Result]) -> Result:
        self._pace.wait(operation)
        return ask(f"secretsmanager:{operation} on {secret}", call)


def _existing(
    described: DescribeSecretResponseTypeDef | SecretListEntryTypeDef, versions: Mapping[str, Sequence[str]]
) -> ExistingSecret:
    """Returns what an answer says about a secret, except its value and its replicas."""
    return ExistingSecret(
        arn=described["ARN"],
        tags={tag["Key"]: tag["Value"] for tag in described.get("Tags", ())},
        version=next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None),
        description=described.get("Description", ""),
        kms_key=described.get("KmsKeyId"),
        service=described.get("OwningService")
        or described.get("Type"),  # the type of a managed external secret
        is_rotated=described.get("RotationEnabled", False),
        is_deleted="DeletedDate" in described,
    )


def _failure(replica: ReplicationStatusTypeTypeDef) -> str | None:
    """Returns why a replica failed, None if it did not."""
    if replica.get("Status") not in _FAILED:
        return None
    return replica.get("StatusMessage") or "Secrets Manager does not say why"
