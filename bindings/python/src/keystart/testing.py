"""Publishes stores in temporary folders, so that tests run a function unchanged, without Lambda or an extension.

    import keystart.testing

    def test_the_new_password_is_used_at_once():
        with keystart.testing.store({"db": "old"}) as store:
            assert handler({}, None) == "old"
            store.publish({"db": "new"})
            assert handler({}, None) == "new"

The real writer publishes, so it checks names and values as always. For pytest, `keystart.pytest_plugin` has a fixture
that does the same. `import keystart` does not load this module.

Its limits: inside the block the variable KEYSTART_DIR and the default client are those of the whole process. That
suits tests that run one after the other, and pytest-xdist, whose workers are processes. Threads that each open a store
would read each other's. In such tests, pass `keystart.Keystart(root=store.root)` to the tested code. Values read before
the block, and a `Keystart` made before it, do not change: if a function reads at import, import it inside the block.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import keystart

from . import core
from .core import ffi, lib
from .version import __version__

__all__ = ["Store", "store"]

_NOTHING: Mapping[str, Any] = {}


class Store:
    """The writer of one store; `store` makes it."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._writer = _open(root)

    @property
    def root(self) -> str:
        """Returns the store's absolute path, which KEYSTART_DIR holds inside the block."""
        return self._root

    def publish(self, secrets: Mapping[str, object], unavailable: Mapping[str, str] = _NOTHING) -> int:
        """Publishes a whole new set of secrets, as a rotation does, and returns the number of its generation.

        A `str` is stored as text, `bytes` as they are, everything else as JSON. `unavailable` lists optional
        entries that could not be fetched, with the reason by name. After `fail` or `stop` it publishes as a
        restarted extension does.
        Raises `InvalidName`; the writer's `NameConflict`, `ValueTooLarge` and `ManifestTooLarge` (keystart.errors);
        and `TypeError` or `ValueError` for what is not JSON.
        """
        out = ffi.new("keystart_draft **")
        core.call(lib.keystart_draft_new, out)
        draft = ffi.gc(out[0], lib.keystart_draft_free)
        for name, value in secrets.items():
            data = _bytes(value)
            core.call(
                lib.keystart_draft_add, draft, *core.text(name), data, len(data), *_json(_entry(name, value))
            )
        for name, reason in unavailable.items():
            core.call(
                lib.keystart_draft_mark,
                draft,
                *core.text(name),
                *core.text("Unavailable"),
                *core.text(reason),
            )
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_draft_publish, draft, self._running(), number)
        return int(number[0])

    def fail(self, message: str) -> None:
        """Starts the store again and gives up, like an extension that could not fetch: reads raise `PrefetchFailed`."""
        self._free()
        core.call(lib.keystart_writer_fail, self._running(), *core.text(message))

    def stop(self) -> None:
        """Removes every secret, as at the end of the environment: reads raise `NotReady`."""
        core.call(lib.keystart_writer_stop, self._running(), ffi.NULL, 0)
        self._free()

    def _running(self) -> Any:
        if self._writer is None:
            self._writer = _open(self._root)
        return self._writer

    def _free(self) -> None:
        if self._writer is not None:
            ffi.release(self._writer)  # which releases the lock
            self._writer = None


@contextmanager
def store(
    secrets: Mapping[str, object] = _NOTHING, unavailable: Mapping[str, str] = _NOTHING
) -> Iterator[Store]:
    """Publishes secrets in a temporary folder, which KEYSTART_DIR and the default client use inside the block.

    Arguments and errors are those of `Store.publish`. It yields the `Store`, and also works as a decorator.
    Do not use it in several threads at once, as the module says.
    """
    with tempfile.TemporaryDirectory(prefix="keystart-testing-") as folder:
        one = Store(str(Path(folder) / "store"))
        try:
            one.publish(secrets, unavailable)
            with _default_client_of(one.root):
                yield one
        finally:
            one._free()


@contextmanager
def _default_client_of(root: str) -> Iterator[None]:
    variable, client = os.environ.get("KEYSTART_DIR"), keystart._default
    os.environ["KEYSTART_DIR"] = root
    keystart._default = {}
    try:
        yield
    finally:
        keystart._default = client
        if variable is None:
            os.environ.pop("KEYSTART_DIR", None)
        else:
            os.environ["KEYSTART_DIR"] = variable


def _open(root: str) -> Any:
    out = ffi.new("keystart_writer **")
    arguments = (*core.root(root), core.NULL, 0, *core.text("keystart-testing"), *core.text(__version__))
    core.call(lib.keystart_writer_open, *arguments, 0, out)
    return ffi.gc(out[0], lib.keystart_writer_free)


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _entry(name: str, value: object) -> dict[str, object]:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "encoding": "binary" if isinstance(value, bytes) else "utf-8",
        "fetched_at": now,
        "refresh_after": None,
        "source": {"provider": "test", "id": name},
    }


def _json(value: object) -> tuple[Any, int]:
    return core.text(json.dumps(value))
