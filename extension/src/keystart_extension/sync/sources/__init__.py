"""Where secrets live: one file for each kind. A source lists its entries without their values, then reads one by one.

folder           files as they lie
keywhiz          Square's Keywhiz, as a client or through its automation API
vault            HashiCorp Vault, or OpenBao: KV version 2
sops             files that SOPS encrypted
dotenv           files of variables
secrets_manager  Secrets Manager of another account or region
parameter_store  Parameter Store of another account or region
account          the account, region and role of a source in AWS
document         JSON of a source
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..secret import Value


@dataclass(frozen=True)
class Entry:
    """A secret of a source: its name there, and its metadata."""

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A place where secrets live. Both methods raise SyncError or AwsError; that of `read` is about one entry."""

    def entries(self) -> Iterator[Entry]:
        """Lists all entries, in any order. If the list is not whole, it raises instead of ending early."""

    def read(self, entry: Entry) -> Value:
        """Reads the value of one entry."""


@runtime_checkable
class BatchSource(Source, Protocol):
    """A source that reads several entries with one request. Only a plan does that: `apply` reads each entry alone."""

    def read_some(self, entries: Sequence[Entry]) -> Mapping[str, Value]:
        """Reads some entries, by name. Those that it cannot read are missing, and `read` says why. It never raises."""
