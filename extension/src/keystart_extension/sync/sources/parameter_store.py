"""Parameter Store of another account or region. An entry is a parameter below a path."""

from __future__ import annotations

from collections.abc import Iterator

from ...aws.errors import ask
from ..error import SyncError
from ..keys import Place, keys_of, text_of
from ..lock import FOLDER
from ..secret import Value
from . import Entry
from .account import OPTIONS, Account, Client, account


def source(document: object, place: Place) -> ParameterStore:
    """Reads `source.parameter_store` of a sync.yaml."""
    where = "source.parameter_store"
    given = keys_of(document, where, required=("path",), optional=OPTIONS)
    path = text_of(given["path"], f"{where}.path")
    if not path.startswith("/"):
        raise SyncError(f"`{where}.path` must begin with a slash.")
    return ParameterStore(account(given, where, place), path.rstrip("/") + "/")


class ParameterStore:
    """The parameters below a path. The name of an entry is what follows the path."""

    def __init__(self, account: Account, path: str) -> None:
        self.account = account
        self.path = path
        self._client = Client("ssm", account)

    def entries(self) -> Iterator[Entry]:
        """Lists the parameters of all types, without decrypting them, and without the locks of syncs."""
        client = self._client()
        pages = iter(
            client.get_paginator("get_parameters_by_path").paginate(
                Path=self.path.rstrip("/") or "/", Recursive=True, WithDecryption=False
            )
        )

        def ask_next() -> list[str] | None:
            page = next(pages, None)
            return None if page is None else [one["Name"] for one in page["Parameters"]]

        while (found := ask(f"ssm:GetParametersByPath on {self.path}", ask_next)) is not None:
            for name in found:
                if not name.startswith(f"{FOLDER}/"):
                    yield Entry(name.removeprefix(self.path))

    def read(self, entry: Entry) -> Value:
        """Reads and decrypts one parameter."""
        client = self._client()
        name = self.path + entry.name
        return ask(
            f"ssm:GetParameter on {name} of the source",
            lambda: Value.of(
                client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"].encode()
            ),
        )
