"""Publishes stores for the tests, through the core.

As a program, `python publisher.py ROOT`, it publishes each line of its input, a JSON object of texts, and answers with
the number of the generation.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keystart import core
from keystart.core import ffi, lib

FETCHED_AT = "2026-11-23T09:20:00.180Z"
NOTHING: Mapping[str, str] = {}


class Publisher:
    """The writer of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        out = ffi.new("keystart_writer **")
        given = (*core.root(str(root)), core.NULL, 0)
        core.call(lib.keystart_writer_open, *given, *core.text("keystart-tests"), *core.text("0"), 0, out)
        self._writer = ffi.gc(out[0], lib.keystart_writer_free)

    def publish(
        self,
        secrets: Mapping[str, str | bytes],
        unavailable: Mapping[str, str] = NOTHING,
        refresh_after: str | None = None,
    ) -> int:
        """Publishes one generation and returns its number."""
        out = ffi.new("keystart_draft **")
        core.call(lib.keystart_draft_new, out)
        draft = ffi.gc(out[0], lib.keystart_draft_free)
        for name, value in secrets.items():
            data = value.encode() if isinstance(value, str) else value
            entry = {
                "encoding": "binary" if isinstance(value, bytes) else "utf-8",
                "fetched_at": FETCHED_AT,
                "refresh_after": refresh_after,
                "source": {"provider": "test", "id": f"the {len(data)} bytes of {name}"},
            }
            core.call(lib.keystart_draft_add, draft, *core.text(name), data, len(data), *_json(entry))
        for name, message in unavailable.items():
            core.call(
                lib.keystart_draft_mark, draft, *core.text(name), *core.text("Gone"), *core.text(message)
            )
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_draft_publish, draft, self._writer, number)
        return int(number[0])

    def collect(self, secrets: Mapping[str, str | bytes]) -> None:
        """Publishes, and removes everything published before, as the writer does it after a minute."""
        self.publish(secrets)
        for path in (self.root / "generations").iterdir():
            if path != self.generation():
                # Renamed first: a generation exists whole or not at all.
                shutil.rmtree(path.rename(path.with_name(f".old-{path.name}")))

    def stop(self) -> None:
        """Removes every secret."""
        core.call(lib.keystart_writer_stop, self._writer, ffi.NULL, 0)

    def generation(self) -> Path:
        """The folder of the published generation."""
        return (self.root / "current").resolve()


def _json(value: Any) -> tuple[Any, int]:
    return core.text(json.dumps(value))


def main() -> None:
    publisher = Publisher(Path(sys.argv[1]))
    print("open", flush=True)
    for line in sys.stdin:
        print(publisher.publish(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
