"""Writes the store through the core: a writer for the life of the process, a draft for each publish.

The rules of contract §5 are in core/src/publish.rs; here they are only called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keystart import core
from keystart.core import ffi, lib

from . import __version__
from .fetched import Secret, Unavailable

_WRITER = "keystart-extension"


class Writer:
    """The one writer of the store at `root` (None: KEYSTART_DIR or the default) until it is no longer referred to.

    Its errors are `KeystartError`s.
    """

    def __init__(self, root: str | None = None) -> None:
        out = ffi.new("keystart_writer **")
        core.call(
            lib.keystart_writer_open,
            *core.root(root),
            *core.variable("KEYSTART_DIR"),
            *core.text(_WRITER),
            *core.text(__version__),
            out,
        )
        self._writer = ffi.gc(out[0], lib.keystart_writer_free)
        self.root = core.give_bytes(lib.keystart_writer_root, self._writer).decode()

    def publish(self, secrets: list[Secret], unavailable: Mapping[str, Unavailable]) -> int:
        """Publishes everything as the next generation, or nothing, and gives its number."""
        out = ffi.new("keystart_draft **")
        core.call(lib.keystart_draft_new, out)
        draft = ffi.gc(out[0], lib.keystart_draft_free)
        for secret in secrets:
            entry = {
                "encoding": secret.encoding,
                "fetched_at": secret.fetched_at,
                "refresh_after": None,
                "source": secret.source,
            }
            value = ffi.from_buffer(secret.value)
            core.call(
                lib.keystart_draft_add,
                draft,
                *core.text(secret.name),
                value,
                len(secret.value),
                *_json(entry),
            )
        for name, why in unavailable.items():
            core.call(
                lib.keystart_draft_mark,
                draft,
                *core.text(name),
                *core.text(why.code),
                *core.text(why.message),
            )
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_draft_publish, draft, self._writer, number)
        return int(number[0])

    def fail(self, message: str, failures: Mapping[str, Unavailable]) -> None:
        """Tells readers that there will be no secrets, and why."""
        told = {name: {"code": why.code, "message": why.message} for name, why in failures.items()}
        core.call(lib.keystart_writer_fail, self._writer, *core.text(message), *_json(told))

    def stop(self) -> None:
        """Overwrites and removes every secret and tells readers so."""
        core.call(lib.keystart_writer_stop, self._writer)


def _json(value: Any) -> tuple[Any, int]:
    return core.text(json.dumps(value))
