"""Parameter Store of another account or region. An entry is a parameter below a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...aws import AwsError
from ...aws.errors import ask
from ..error import SyncError
from ..keys import Place, keys_of, text_of
from ..lock import FOLDER
from ..secret import Value
from . import Entry
from .account import OPTIONS, Account, Client, account

_AT_ONCE = 10  # names in one GetParameters


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

    def read_some(self, entries: Sequence[Entry]) -> Mapping[str, Value]:
        """Reads and decrypts some parameters: accounts may send few requests a second."""
        found: dict[str, Value] = {}
        names = [self.path + entry.name for entry in entries]
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]

            def call(some: Sequence[str] = some) -> dict[str, Value]:
                answer = self._client().get_parameters(Names=some, WithDecryption=True)
                # A name in another form than the list has it would not be found again.
                return {
                    one["Name"].removeprefix(self.path): Value.of(one["Value"].encode())
                    for one in answer["Parameters"]
                }

            try:
                found |= ask(f"ssm:GetParameters below {self.path} of the source", call)
            except AwsError:  # for example because one of them may not be read
                continue
        return found

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
