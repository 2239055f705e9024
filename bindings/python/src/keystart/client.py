"""Reads a store: the client, and snapshots of one generation. The rules are the core's (contract §6)."""

from __future__ import annotations

import os

from . import core
from .core import lib

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    import ssl
    import typing

    from . import _secret, _types
    from .errors import SnapshotExpired
else:
    ssl = typing = _secret = _types = core.annotated

_BYTES, _TEXT, _JSON = 0, 1, 2


def _snapshot_expired() -> type[SnapshotExpired]:
    """Returns the class for an `except`, which calls this only after an error."""
    expired: type[SnapshotExpired] = core.errors().SnapshotExpired
    return expired


def _load_the_rest() -> None:
    """Loads what reads load later. A child of a fork waits forever for another thread's half of an import."""
    import keystart._secret  # noqa: F401 (only to load it; `from . import` finds the package's stand-in)

    core.errors()


os.register_at_fork(before=_load_the_rest)


class Reader:
    """The methods of a client and of a snapshot. It is safe to use from several threads and after a fork."""

    __slots__ = ("_store",)

    def __init__(self, store: typing.Any) -> None:
        self._store = store

    def get(self, name: str) -> str:
        """Returns a secret as text.

        Waits until the store is ready, at most the client's timeout. Raises `InvalidName`, `NotAttached`, `NotReady`,
        `PrefetchFailed`, `SecretNotFound`, `SecretUnavailable`, `SecretNotText`. If the store is damaged, raises
        `LayoutInsecure`, `ManifestInvalid`, `ManifestUnsupported`, `StoreUnreadable`, `SecretCorrupt`.
        """
        return core.call_for_bytes(lib.keystart_secret_read, self._store, *core.text(name), _TEXT).decode()

    def get_bytes(self, name: str) -> bytes:
        """Returns a secret's exact bytes. Raises the same errors as `get` except `SecretNotText`."""
        return core.call_for_bytes(lib.keystart_secret_read, self._store, *core.text(name), _BYTES)

    def get_json(self, name: str) -> typing.Any:
        """Returns a secret's parsed JSON: strictly RFC 8259, with exact whole numbers.

        Raises the same errors as `get_bytes`, and `SecretNotJson`.
        """
        import json  # only callers of this method pay for it

        return json.loads(core.call_for_bytes(lib.keystart_secret_read, self._store, *core.text(name), _JSON))

    def path(self, name: str) -> str:
        """Returns the absolute path of a secret's file, for libraries that need one. It does not open the file."""
        return core.call_for_bytes(lib.keystart_secret_path, self._store, *core.text(name)).decode()

    def names(self, prefix: str | None = None) -> list[str]:
        """Returns the names of all secrets, or of those below the folder `prefix`, sorted by bytes."""
        if prefix is not None and not core.is_text(prefix):
            core.check_name(prefix)
        joined = core.call_for_bytes(lib.keystart_names_list, self._store, *core.text(prefix))
        return joined.decode().split("\n") if joined else []

    def info(self, name: str) -> dict[str, typing.Any]:
        """Returns all facts about a secret except its value.

        They are path, size (bytes), encoding, source, fetched_at, checked_at and refresh_after (RFC 3339, UTC),
        failure (the code, message and time of the last refresh if it failed), and stale.
        """
        import json  # only callers of this method pay for it

        info: dict[str, typing.Any] = json.loads(
            core.call_for_bytes(lib.keystart_secret_info, self._store, *core.text(name))
        )
        return info

    def secret(self, name: str) -> _secret.Secret:
        """Returns an object whose repr, str and format never show the value. Raises the same errors as `get_bytes`."""
        from ._secret import Secret  # only callers of this method pay for it

        name = core.check_name(name)
        return self._at_one_instant(lambda one: Secret(name, one.get_bytes(name), lambda: one.info(name)))

    def snapshot(self) -> Snapshot:
        """Binds a reader to the generation that is published now, so its values belong together."""
        return Snapshot(core.call_for_store(lib.keystart_store_snapshot, self._store))

    def tls(self, prefix: str) -> ssl.SSLContext:
        """Makes a context for mutual TLS from `<prefix>/cert`, `<prefix>/key` and, if it exists, `<prefix>/ca`.

        All come from one generation. Without a `ca` the system's authorities are trusted. Raises
        the same errors as `get`, `TlsInvalid` for a part that is not PEM, and `ssl.SSLError` for PEM
        that OpenSSL cannot use.
        """
        prefix = core.check_name(prefix)
        core.check_name(f"{prefix}/cert")
        from . import _tls

        return self._at_one_instant(lambda one: _tls.context(one.get, one.path, prefix))

    def __reduce__(self) -> typing.NoReturn:
        raise TypeError(
            f"A {type(self).__name__} cannot be pickled or copied: it may hold secrets. Make another."
        )

    def _at_one_instant(self, question: typing.Callable[[Snapshot], _types.T]) -> _types.T:
        """Asks one generation several questions, and begins again if it is removed in between (contract 6.2.7)."""
        one = self.snapshot()
        while True:
            try:
                return question(one)
            except _snapshot_expired():
                one = Snapshot(core.call_for_store(lib.keystart_snapshot_renew, one._store))


class Keystart(Reader):
    """A client of the store at `root`; default: KEYSTART_DIR, else /tmp/keystart.

    `timeout` is how many seconds a read waits for the store; default: KEYSTART_TIMEOUT_MS, else 9. 0 does not wait.
    Raises `InvalidOption`.
    """

    __slots__ = ()

    def __init__(self, root: str | None = None, timeout: float | None = None) -> None:
        super().__init__(
            core.call_for_store(
                lib.keystart_store_open,
                *core.root(root),
                *core.variable("KEYSTART_DIR"),
                core.milliseconds(timeout),
                *core.variable("KEYSTART_TIMEOUT_MS"),
            )
        )

    def refresh(self, *names: str) -> list[str]:
        """Asks the extension to fetch these secrets now, or all, and returns the names of those that changed.

        A folder stands for all names below it. "Changed" means: differs from what this client read last. Waits at most
        the client's timeout. Raises `RefreshUnavailable` if no extension answers, `RefreshFailed` if a secret could not
        be fetched (the last good value stays), and the errors of `names`.
        """
        checked = [core.check_name(name) for name in names]
        asked = core.text("\n".join(checked)) if checked else core.text(None)
        joined = core.call_for_bytes(lib.keystart_store_refresh, self._store, *asked)
        return joined.decode().split("\n") if joined else []

    def attempt(
        self,
        name: str,
        fn: typing.Callable[[Snapshot], _types.T],
        *,
        rejected: _types.Rejected | None = None,
        budget: float = 2.0,
    ) -> _types.T:
        """Logs in with a secret, or with a folder of secrets, even while it is rotated. Returns what `fn` returns.

        `fn` gets a snapshot, reads the secret from it, opens one connection, and does nothing else, because it may run
        three times. If it is a coroutine function, await what this returns. It must not swallow the server's refusal.
        `rejected` says which errors are a refusal: a class, several, or a function of the error; by default Keystart
        knows those of common drivers. `budget` limits in seconds how long the call waits between logins; 0 logs in
        once. Without an extension there is one login. Raises what `fn` raises; `LoginRefused` if no login took place;
        `InvalidOption`; and the same errors as `get`.
        """
        from . import _attempt  # only callers of this method pay for it

        result: _types.T = _attempt.attempt(self._store, Snapshot, name, fn, rejected, budget)
        return result

    async def refresh_async(self, *names: str) -> list[str]:
        """Does the same as `refresh` in a thread, so that the event loop continues."""
        import asyncio  # only callers of this method pay for it

        return await asyncio.to_thread(self.refresh, *names)


class Snapshot(Reader):
    """A reader bound to one generation. After `SnapshotExpired`, take a new one."""

    __slots__ = ()

    def snapshot(self) -> Snapshot:
        """Returns this snapshot."""
        return self

    def _at_one_instant(self, question: typing.Callable[[Snapshot], _types.T]) -> _types.T:
        return question(self)
