"""Reads the secrets that the Keystart extension has prefetched.

    import keystart
    password = keystart.get("db")

The functions here use one default client, made at the first call; `Keystart(root, timeout)` makes others.
"""

from __future__ import annotations

from . import core
from .client import Keystart, Snapshot
from .version import __version__

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    import ssl
    import typing

    from . import _secret, _types
    from ._secret import Secret
    from .errors import *  # noqa: F403  (its __all__ is what a reader raises)
else:
    ssl = typing = _secret = _types = core.annotated

__all__ = [
    "Keystart",
    "Secret",
    "Snapshot",
    "__version__",
    "attempt",
    "get",
    "get_bytes",
    "get_json",
    "info",
    "names",
    "path",
    "refresh",
    "refresh_async",
    "secret",
    "snapshot",
    "tls",
]
__all__ += [
    # generated from contract/errors.toml: errors
    "Internal",
    "InvalidName",
    "InvalidOption",
    "KeystartError",
    "LayoutInsecure",
    "LoginRefused",
    "ManifestInvalid",
    "ManifestUnsupported",
    "NotAttached",
    "NotReady",
    "PrefetchFailed",
    "RefreshFailed",
    "RefreshUnavailable",
    "SecretCorrupt",
    "SecretNotFound",
    "SecretNotJson",
    "SecretNotText",
    "SecretStale",
    "SecretUnavailable",
    "SnapshotExpired",
    "StoreUnreadable",
    "TlsInvalid",
    # end of generated
]

if not TYPE_CHECKING:  # or a type checker would accept every name

    def __getattr__(name: str) -> object:
        """Loads what no read without an error needs. Making the errors' classes takes longer than loading all else."""
        if name not in {*__all__, "errors"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "errors":
            import keystart.errors  # `from . import` would ask this function

            return keystart.errors
        module = _secret if name == "Secret" else core.errors()
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        """Returns the names of the module, also those that it has not loaded yet."""
        return sorted({*globals(), *__all__})


_default: dict[str, Keystart] = {}


def _client() -> Keystart:
    """Returns the default client, made at the first call (contract 6.1.5)."""
    # setdefault is atomic, and unlike a lock nobody can hold it at the moment of a fork.
    return _default.get("client") or _default.setdefault("client", Keystart())


def get(name: str) -> str:
    """Returns a secret as text; see `Keystart.get`."""
    return _client().get(name)


def get_bytes(name: str) -> bytes:
    """Returns a secret's exact bytes; see `Keystart.get_bytes`."""
    return _client().get_bytes(name)


def get_json(name: str) -> typing.Any:
    """Returns a secret's parsed JSON; see `Keystart.get_json`."""
    return _client().get_json(name)


def path(name: str) -> str:
    """Returns the absolute path of a secret's file; see `Keystart.path`."""
    return _client().path(name)


def names(prefix: str | None = None) -> list[str]:
    """Returns the names of all secrets, or of those below `prefix`; see `Keystart.names`."""
    return _client().names(prefix)


def info(name: str) -> dict[str, typing.Any]:
    """Returns all facts about a secret except its value; see `Keystart.info`."""
    return _client().info(name)


def secret(name: str) -> _secret.Secret:
    """Returns a secret as an object that never shows its value; see `Keystart.secret`."""
    return _client().secret(name)


def snapshot() -> Snapshot:
    """Binds a reader to the generation that is published now; see `Keystart.snapshot`."""
    return _client().snapshot()


def tls(prefix: str) -> ssl.SSLContext:
    """Makes a context for mutual TLS; see `Keystart.tls`."""
    return _client().tls(prefix)


def refresh(*names: str) -> list[str]:
    """Asks the extension to fetch secrets now, and returns the names of those that changed; see `Keystart.refresh`."""
    return _client().refresh(*names)


def attempt(
    name: str,
    fn: typing.Callable[[Snapshot], _types.T],
    *,
    rejected: _types.Rejected | None = None,
    budget: float = 2.0,
) -> _types.T:
    """Logs in with a secret, even while it is rotated, and returns what `fn` returns; see `Keystart.attempt`."""
    return _client().attempt(name, fn, rejected=rejected, budget=budget)


def _report_restore() -> None:
    """Lets the extension fetch before the first invocation (contract 11.11). An error would end the environment."""
    from contextlib import suppress  # only a restore pays for both

    with suppress(core.errors().KeystartError):  # the next read raises the same
        core.call(core.lib.keystart_store_report_restore, _client()._store)


if core.variable("AWS_LAMBDA_INITIALIZATION_TYPE")[0] == b"snap-start":
    try:
        from snapshot_restore_py import register_after_restore
    except ImportError:
        pass  # this runtime has no hooks: the first invocation lets the extension fetch
    else:
        register_after_restore(_report_restore)


async def refresh_async(*names: str) -> list[str]:
    """Does the same as `refresh` in a thread; see `Keystart.refresh_async`."""
    return await _client().refresh_async(*names)
