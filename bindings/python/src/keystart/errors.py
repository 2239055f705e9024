"""Holds one exception for each error code of the contract (§8); it raises none of them itself.

KeystartError
├── InvalidName            101  the name is not one
├── InvalidOption          102  root or timeout is not usable
├── NotAttached            201  there is no store
├── NotReady               202  waited the whole timeout
├── PrefetchFailed         203  the extension gave up
├── LayoutInsecure         204  the store is not safe to read
├── ManifestInvalid        205
├── ManifestUnsupported    206
├── StoreUnreadable        207  the system refuses
├── SecretNotFound         301  also a KeyError
├── SecretUnavailable      302  optional, and could not be fetched
├── SecretCorrupt          303
├── SecretNotText          304
├── SecretNotJson          305
├── SnapshotExpired        306  take a new one
├── RefreshUnavailable     401  reserved
├── RefreshFailed          402  reserved
└── Internal               901  a bug of Keystart
"""

from __future__ import annotations


class KeystartError(Exception):
    """Is what every error of Keystart is: `code` is its word, `secret` the name that was asked for or None."""

    def __init__(self, code: str, message: str, secret: str | None = None) -> None:
        super().__init__(code, message, secret)
        self.code = code
        self.message = message
        self.secret = secret

    def __str__(self) -> str:
        return self.message


class InvalidName(KeystartError):
    """The name is not one by the contract."""


class InvalidOption(KeystartError):
    """Root or timeout is not usable."""


class NotAttached(KeystartError):
    """There is no store: no extension is attached, or KEYSTART_DIR is wrong."""


class NotReady(KeystartError):
    """The store was not ready within the timeout, or was stopped."""


class PrefetchFailed(KeystartError):
    """The extension could not fetch what is required; the message names each secret and the reason."""


class LayoutInsecure(KeystartError):
    """The store does not lie as the contract says, so nothing is read from it."""


class ManifestInvalid(KeystartError):
    """The manifest is missing, not JSON, or of a wrong shape."""


class ManifestUnsupported(KeystartError):
    """The manifest has a format that this version does not know."""


class StoreUnreadable(KeystartError):
    """The system refuses to read; the message has the errno's name."""


class SecretNotFound(KeystartError, KeyError):
    """The secret is not in the store; the message offers the nearest names."""

    __str__ = KeystartError.__str__  # KeyError would show the repr


class SecretUnavailable(KeystartError):
    """The secret is optional and could not be fetched."""


class SecretCorrupt(KeystartError):
    """The secret's file is missing or has another size than the manifest says."""


class SecretNotText(KeystartError):
    """The secret was asked as text and is not valid UTF-8."""


class SecretNotJson(KeystartError):
    """The secret was asked as JSON and is not."""


class SnapshotExpired(KeystartError):
    """The snapshot's generation was collected; take a new snapshot."""


class RefreshUnavailable(KeystartError):
    """Reserved: nobody answers a request to refresh."""


class RefreshFailed(KeystartError):
    """Reserved: a request to refresh was answered with an error."""


class Internal(KeystartError):
    """Keystart failed in a way it should not. Please report it."""


# contract §8: the pinned numbers, as the core gives them.
BY_NUMBER: dict[int, type[KeystartError]] = {
    101: InvalidName,
    102: InvalidOption,
    201: NotAttached,
    202: NotReady,
    203: PrefetchFailed,
    204: LayoutInsecure,
    205: ManifestInvalid,
    206: ManifestUnsupported,
    207: StoreUnreadable,
    301: SecretNotFound,
    302: SecretUnavailable,
    303: SecretCorrupt,
    304: SecretNotText,
    305: SecretNotJson,
    306: SnapshotExpired,
    401: RefreshUnavailable,
    402: RefreshFailed,
    901: Internal,
}
