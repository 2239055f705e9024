"""Secrets Manager of another account or region. An entry is a secret, its metadata are its tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...aws.errors import ask
from ..keys import Place, keys_of, text_of
from ..secret import Value, value_of
from . import Entry
from .account import OPTIONS, Account, Client, account


def source(document: object, place: Place) -> SecretsManager:
    """Reads `source.secrets_manager` of a sync.yaml."""
    where = "source.secrets_manager"
    given = keys_of(document, where, optional=(*OPTIONS, "prefix"))
    prefix = text_of(given["prefix"], f"{where}.prefix") if "prefix" in given else ""
    return SecretsManager(account(given, where, place), prefix)


class SecretsManager:
    """The secrets whose name begins with a prefix."""

    def __init__(self, account: Account, prefix: str) -> None:
        self.account = account
        self.prefix = prefix
        self._client = Client("secretsmanager", account)

    def entries(self) -> Iterator[Entry]:
        """Lists the secrets, except those that are scheduled for deletion."""
        client = self._client()
        # The service's filter by name matches words of a name too.
        filters = [{"Key": "name", "Values": [self.prefix]}] if self.prefix else []
        pages = iter(client.get_paginator("list_secrets").paginate(Filters=filters))

        def ask_next() -> list[Entry] | None:
            page = next(pages, None)
            return None if page is None else [_entry(one) for one in page["SecretList"]]

        while (found := ask("secretsmanager:ListSecrets of the source", ask_next)) is not None:
            yield from (entry for entry in found if entry.name.startswith(self.prefix))

    def read(self, entry: Entry) -> Value:
        """Reads the current version of one secret: text stays text, and binary stays binary."""
        client = self._client()
        return ask(
            f"secretsmanager:GetSecretValue on {entry.name} of the source",
            lambda: value_of(client.get_secret_value(SecretId=entry.name)),
        )


def _entry(listed: dict[str, Any]) -> Entry:
    return Entry(listed["Name"], {tag["Key"]: tag["Value"] for tag in listed.get("Tags", ())})
