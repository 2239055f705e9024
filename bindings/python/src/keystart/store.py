"""Reads a store: the client, and snapshots of one generation. The rules are the core's (contract §6)."""

from __future__ import annotations

from . import core
from .core import lib
from .errors import SnapshotExpired
from .secret import Secret

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")

_BYTES, _TEXT, _JSON = 0, 1, 2


class Reader:
    """What a client and a snapshot have in common. Safe from several threads and after a fork."""

    __slots__ = ("_store",)

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, name: str) -> str:
        """Returns a secret as text.

        Waits until the store is ready, at most the client's timeout. Errors: `InvalidName`, `NotAttached`,
        `NotReady`, `PrefetchFailed`, `SecretNotFound`, `SecretUnavailable`, `SecretNotText`; where the store is damaged
        `LayoutInsecure`, `ManifestInvalid`, `ManifestUnsupported`, `StoreUnreadable`, `SecretCorrupt`.
        """
        return core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _TEXT).decode()

    def get_bytes(self, name: str) -> bytes:
        """Returns a secret's exact bytes. Errors as for `get`, but `SecretNotText`."""
        return core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _BYTES)

    def get_json(self, name: str) -> Any:
        """Returns a secret's parsed JSON: RFC 8259, nothing more, whole numbers exact.

        Errors as for `get_bytes`, and `SecretNotJson`.
        """
        import json  # only those pay for it who use it

        return json.loads(core.give_bytes(lib.keystart_secret_read, self._store, *core.text(name), _JSON))

    def path(self, name: str) -> str:
        """Returns the absolute path of a secret's file, for libraries that want one. The file is not looked at."""
        return core.give_bytes(lib.keystart_secret_path, self._store, *core.text(name)).decode()

    def names(self, prefix: str | None = None) -> list[str]:
        """Returns the names of all secrets, or of those below the folder `prefix`, sorted by bytes."""
        if prefix is not None and not core.is_text(prefix):
            core.check_name(prefix)
        joined = core.give_bytes(lib.keystart_names_list, self._store, *core.text(prefix))
        return joined.decode().split("\n") if joined else []

    def info(self, name: str) -> dict[str, Any]:
        """Returns a secret's entry in the manifest and `stale`.

        That is path, size (bytes), encoding, fetched_at and refresh_after (RFC 3339, UTC), and source.
        """
        import json  # only those pay for it who use it

        info: dict[str, Any] = json.loads(
            core.give_bytes(lib.keystart_secret_info, self._store, *core.text(name))
        )
        return info

    def secret(self, name: str) -> Secret:
        """Returns a secret as an object whose repr, str and format never show the value. Errors as for `get_bytes`."""
        name = core.check_name(name)
        return self._at_one_instant(lambda one: Secret(name, one.get_bytes(name), lambda: one.info(name)))

    def snapshot(self) -> Snapshot:
        """Binds a reader to the generation that is published now: what it gives belongs together."""
        return Snapshot(core.give_store(lib.keystart_store_snapshot, self._store))

    def tls(self, prefix: str) -> ssl.SSLContext:
        """Makes a context for mutual TLS from `<prefix>/cert`, `<prefix>/key` and, where there is one, `<prefix>/ca`.

        All come from one generation. Without a `ca` the system's authorities are trusted. Errors as for `get`; what
        OpenSSL cannot use raises `ssl.SSLError`.
        """
        prefix = core.check_name(prefix)
        core.check_name(f"{prefix}/cert")
        from . import mtls

        return self._at_one_instant(lambda one: mtls.context(one.get, one.path, prefix))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} cannot be pickled or copied: it may hold secrets. Make another."
        )

    def _at_one_instant(self, question: Callable[[Snapshot], T]) -> T:
        """Asks several things of one generation; again of the next when it was collected meanwhile (contract 6.2.7)."""
        one = self.snapshot()
        while True:
            try:
                return question(one)
            except SnapshotExpired:
                one = Snapshot(core.give_store(lib.keystart_snapshot_renew, one._store))


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
        """Returns this snapshot."""
        return self

    def _at_one_instant(self, question: Callable[[Snapshot], T]) -> T:
        return question(self)
