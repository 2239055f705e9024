"""Compares values without reading them in Secrets Manager: the id of each version is a keyed digest of its value.

The sync chooses the id (ClientRequestToken): a random number, and an HMAC over it, the name and the value. So the
digest changes together with the value, and a version that somebody else wrote never matches. Without the key nobody can
test a guess. A tag would need a second request, and could lie if that failed.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from ..aws.errors import ask
from .error import SyncError
from .secret import WantedSecret, value_of

_LABEL = b"keystart sync digest 1\0"  # no other use of the key makes the same digests
_SHORTEST = 32  # bytes of a key
_HALF = 32  # characters: an id has at most 64


class Settings(NamedTuple):
    """Where the key lives: a KMS key for HMAC, or a secret. One of them is None."""

    kms: str | None
    secret: str | None


class Digest:
    """Makes and checks ids of versions."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def version(self, wanted: WantedSecret) -> str:
        """Makes the id of a new version, never the same twice: a put with an id that exists would move nothing."""
        once = secrets.token_hex(_HALF // 2)
        return once + self._mac(once, wanted)

    def matches(self, version: str | None, wanted: WantedSecret) -> bool:
        """Returns whether this sync wrote this very value as this version."""
        once, mac = (version or "")[:_HALF], (version or "")[_HALF:]
        return hmac.compare_digest(mac.encode(), self._mac(once, wanted).encode())

    def _mac(self, once: str, wanted: WantedSecret) -> str:
        form = b"b" if wanted.value.is_binary else b"t"
        parts = (once.encode(), wanted.name.encode(), form, wanted.value.content)
        # None of the parts before the last can hold a zero.
        return hmac.digest(self._key, b"\0".join(parts), "sha256").hex()[:_HALF]


def digest(clients: Callable[[str], Any], settings: Settings, sync: str) -> Digest:
    """Derives the key of a sync from a KMS key or a secret, with one request."""
    message = _LABEL + sync.encode()
    if settings.kms is not None:
        kms = clients("kms")
        request = {"KeyId": settings.kms, "MacAlgorithm": "HMAC_SHA_256", "Message": message}
        return Digest(ask(f"kms:GenerateMac on {settings.kms}", lambda: kms.generate_mac(**request)["Mac"]))
    client = clients("secretsmanager")
    value = ask(
        f"secretsmanager:GetSecretValue on {settings.secret}",
        lambda: value_of(client.get_secret_value(SecretId=settings.secret)),
    )
    if len(value.content) < _SHORTEST:
        raise SyncError(
            f"The secret of `target.digest` has fewer than {_SHORTEST} bytes. Make it of random ones."
        )
    return Digest(hmac.digest(value.content, message, "sha256"))
