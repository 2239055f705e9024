"""What a sync wants of a secret, and what exists in Secrets Manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .error import SyncError

OWNER_TAG = "keystart:sync"  # its value is the id of the sync that owns the secret
LARGEST = 65_536  # bytes of a secret, a limit of Secrets Manager


class Settings(NamedTuple):
    """What a sync sets on a secret beside its value. None leaves what is there."""

    tags: Mapping[str, str]
    description: str | None = None
    kms_key: str | None = None
    replicas: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedSecret:
    """A secret that the source has: its name, where its value comes from, and its settings."""

    name: str
    value: Value
    settings: Settings
    keys: frozenset[str] | None = None  # of the JSON that several entries make


@dataclass(frozen=True)
class Value:
    """The bytes of a secret, and whether Secrets Manager holds them as binary. Its `repr` does not show them."""

    content: bytes = field(repr=False)
    is_binary: bool

    @classmethod
    def of(cls, content: bytes) -> Value:
        """Makes a value of bytes: text if they are UTF-8, so that the console shows it."""
        try:
            content.decode()
        except UnicodeDecodeError:
            return cls(content, is_binary=True)
        return cls(content, is_binary=False)

    @classmethod
    def of_text(cls, text: str) -> Value:
        """Makes a value of text, of which JSON may hold half of a surrogate pair. Such text has no bytes."""
        try:
            return cls(text.encode(), is_binary=False)
        except UnicodeEncodeError:
            pass  # the error holds the text
        raise SyncError("It holds half of a surrogate pair, so it is not text. Correct it in the source.")


def value_of(answer: Mapping[str, Any]) -> Value:
    """Returns the value in an answer of Secrets Manager."""
    if "SecretString" in answer:
        return Value(answer["SecretString"].encode(), is_binary=False)
    return Value(answer["SecretBinary"], is_binary=True)


@dataclass(frozen=True)
class ExistingSecret:
    """A secret in Secrets Manager. `value` is None if it has no value yet, or none that may be read."""

    arn: str
    tags: Mapping[str, str]
    value: Value | None = None
    version: str | None = None  # the id of AWSCURRENT
    description: str = ""
    kms_key: str | None = None
    # By region: why the replica failed, None if it did not.
    replicas: Mapping[str, str | None] = field(default_factory=dict)
    service: str | None = None  # the AWS service that owns it
    is_rotated: bool = False  # by Secrets Manager
    is_deleted: bool = False

    @property
    def owner(self) -> str | None:
        """The id of the sync that owns the secret, None if no sync does."""
        return self.tags.get(OWNER_TAG)

    def lacks(self, regions: Sequence[str]) -> list[str]:
        """Returns those of the regions that have no replica, or one that failed."""
        return [region for region in regions if self.replicas.get(region, "missing") is not None]
