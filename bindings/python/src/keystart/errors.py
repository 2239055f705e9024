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
├── StoreLocked            501  this and the next are a writer's; no reader raises them
├── StoreUnwritable        502
├── NameConflict           503
├── ValueTooLarge          504
├── ManifestTooLarge       505
└── Internal               901  a bug of Keystart
"""

from __future__ import annotations


class KeystartError(Exception):
    """Is what every error of Keystart is: `code` is its word, `secret` the name that was asked for or None."""

    code = ""

    def __init__(self, message: str, secret: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.secret = secret

    def __str__(self) -> str:
        return self.message


class InvalidName(KeystartError):
    """The name is not one by the contract."""

    code = "invalid_name"


class InvalidOption(KeystartError):
    """Root or timeout is not usable."""

    code = "invalid_option"


class NotAttached(KeystartError):
    """There is no store: no extension is attached, or KEYSTART_DIR is wrong."""

    code = "not_attached"


class NotReady(KeystartError):
    """The store was not ready within the timeout, or was stopped or removed."""

    code = "not_ready"


class PrefetchFailed(KeystartError):
    """The extension could not fetch what is required; the message names each secret and the reason."""

    code = "prefetch_failed"


class LayoutInsecure(KeystartError):
    """The store does not lie as the contract says, so nothing is read from it."""

    code = "layout_insecure"


class ManifestInvalid(KeystartError):
    """The manifest is missing, not JSON, or of a wrong shape."""

    code = "manifest_invalid"


class ManifestUnsupported(KeystartError):
    """The manifest has a format that this version does not know."""

    code = "manifest_unsupported"


class StoreUnreadable(KeystartError):
    """The system refuses to read; the message has the errno's name."""

    code = "store_unreadable"


class SecretNotFound(KeystartError, KeyError):
    """The secret is not in the store; the message offers the nearest names."""

    code = "secret_not_found"


class SecretUnavailable(KeystartError):
    """The secret is optional and could not be fetched."""

    code = "secret_unavailable"


class SecretCorrupt(KeystartError):
    """The secret's file is missing or has another size than the manifest says."""

    code = "secret_corrupt"


class SecretNotText(KeystartError):
    """The secret was asked as text and is not valid UTF-8."""

    code = "secret_not_text"


class SecretNotJson(KeystartError):
    """The secret was asked as JSON and is not."""

    code = "secret_not_json"


class SnapshotExpired(KeystartError):
    """The snapshot's generation was collected; take a new snapshot."""

    code = "snapshot_expired"


class RefreshUnavailable(KeystartError):
    """Reserved: nobody answers a request to refresh."""

    code = "refresh_unavailable"


class RefreshFailed(KeystartError):
    """Reserved: a request to refresh was answered with an error."""

    code = "refresh_failed"


class StoreLocked(KeystartError):
    """Another writer is alive."""

    code = "store_locked"


class StoreUnwritable(KeystartError):
    """The system refuses to write; the message has the errno's name."""

    code = "store_unwritable"


class NameConflict(KeystartError):
    """Two secrets have one name, or one name is the folder of the other."""

    code = "name_conflict"


class ValueTooLarge(KeystartError):
    """A value has more than 1,048,576 bytes."""

    code = "value_too_large"


class ManifestTooLarge(KeystartError):
    """The manifest would have more than 1,048,576 bytes."""

    code = "manifest_too_large"


class Internal(KeystartError):
    """Keystart failed in a way it should not. Please report it."""

    code = "internal"


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
    501: StoreLocked,
    502: StoreUnwritable,
    503: NameConflict,
    504: ValueTooLarge,
    505: ManifestTooLarge,
    901: Internal,
}
