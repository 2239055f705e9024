"""Reads a store: the client, and snapshots of one generation. The rules are the core's (contract §6)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import core
from .core import lib
from .secret import Secret

if TYPE_CHECKING:
    import ssl

_BYTES, _TEXT, _JSON = 0, 1, 2


class Reader:
    """What a client and a snapshot have in common. Safe from several threads and after a fork."""

    __slots__ = ("_store",)

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, name: str) -> str:
        """Gives a secret as text.

        Waits until the store is ready, at most the client's timeout. Errors: `InvalidName`, `NotAttached`,
        `NotReady`, `PrefetchFailed`, `SecretNotFound`, `SecretUnavailable`, `SecretNotText`; where the store is damaged
        `LayoutInsecure`, `ManifestInvalid`, `ManifestUnsupported`, `StoreUnreadable`, `SecretCorrupt`.
        """
        return core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _TEXT).decode()

    def get_bytes(self, name: str) -> bytes:
        """Gives a secret's exact bytes. Errors as for `get`, but `SecretNotText`."""
        return core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _BYTES)

    def get_json(self, name: str) -> Any:
        """Gives a secret's parsed JSON: RFC 8259, nothing more, whole numbers exact.

        Errors as for `get_bytes`, and `SecretNotJson`.
        """
        return json.loads(core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _JSON))

    def path(self, name: str) -> str:
        """Gives the absolute path of a secret's file, for libraries that want one. The file is not looked at."""
        return os.fsdecode(core.give_bytes(lib.keystart_secret_path, self._store, *core.text(name)))

    def names(self, prefix: str | None = None) -> list[str]:
        """Gives the names of all secrets, or of those below the folder `prefix`, sorted by bytes."""
        if prefix is not None and not isinstance(prefix, str):
            core.call(lib.keystart_name_check, core.NULL, 0)
        joined = core.give_bytes(lib.keystart_names_list, self._store, *core.text(prefix))
        return joined.decode().split("\n") if joined else []

    def info(self, name: str) -> dict[str, Any]:
        """Gives a secret's entry in the manifest and `stale`.

        That is path, size (bytes), encoding, fetched_at and refresh_after (RFC 3339, UTC), and source.
        """
        info: dict[str, Any] = json.loads(
            core.give_bytes(lib.keystart_secret_info, self._store, *core.text(name))
        )
        return info

    def secret(self, name: str) -> Secret:
        """Gives a secret as an object whose repr, str and format never show the value."""
        one = self.snapshot()
        return Secret(name, one.get_bytes(name), one.info(name))

    def snapshot(self) -> Snapshot:
        """Binds a reader to the generation that is published now: what it gives belongs together."""
        return Snapshot(core.give_store(lib.keystart_store_snapshot, self._store))

    def tls(self, prefix: str) -> ssl.SSLContext:
        """Makes a context for mutual TLS from `<prefix>/cert`, `<prefix>/key` and, where there is one, `<prefix>/ca`.

        All come from one generation. Without a `ca` the system's authorities are trusted. What is not PEM raises
        `ssl.SSLError`.
        """
        import ssl  # 10 ms that only those pay who use it

        one = self.snapshot()
        certificate, key = one.path(f"{prefix}/cert"), one.path(f"{prefix}/key")
        trusted = one.get(f"{prefix}/ca") if one._lists(f"{prefix}/ca") else None
        context = ssl.create_default_context(cadata=trusted)
        context.load_cert_chain(certificate, key)
        return context

    def _lists(self, name: str) -> bool:
        """Says whether a name is in the manifest; one that is unavailable raises (contract 6.5.7)."""
        from .errors import SecretNotFound

        try:
            self.path(name)
        except SecretNotFound:
            return False
        return True


class Keystart(Reader):
    """A client of the store at `root`, by default KEYSTART_DIR or /tmp/keystart.

    `timeout` is how many seconds a read waits for the store, by default KEYSTART_TIMEOUT_MS or 9; 0 does not wait.
    Errors: `InvalidOption`.
    """

    __slots__ = ()

    def __init__(self, root: str | None = None, timeout: float | None = None) -> None:
        super().__init__(
            core.give_store(
                lib.keystart_store_open,
                *core.root(root),
                *core.variable("KEYSTART_DIR"),
                core.milliseconds(timeout),
                *core.variable("KEYSTART_TIMEOUT_MS"),
            )
        )


class Snapshot(Reader):
    """A reader bound to one generation; `SnapshotExpired` says that the store has moved on."""

    __slots__ = ()

    def snapshot(self) -> Snapshot:
        """Gives itself."""
        return self
