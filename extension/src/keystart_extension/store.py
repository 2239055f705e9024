"""Writes the store through the core: a writer for the life of the process, a draft for each publish.

core/store/src/publish.rs has the rules of contract §5. This module only calls them.
"""

from __future__ import annotations

from . import __version__, core
from .core import ffi, lib, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .fetch import Failure, Fetch

_WRITER = "keystart-extension"
_NEVER = 2**64 - 1


class Writer:
    """The one writer of a store, by its handle, for as long as the object lives. It raises `CoreError`."""

    def __init__(self, handle: Any) -> None:
        self.handle = ffi.gc(handle, lib.keystart_writer_free)
        self.root = core.call_for_text(lib.keystart_writer_root, self.handle)

    @classmethod
    def open(cls, root: str | None = None, *, keeps: bool = False) -> Writer:
        """Takes over the store at `root` (None: KEYSTART_DIR or the default).

        If it `keeps` what is published, that stays until the first publish.
        """
        import os  # no start comes here, nor to the other places that need it

        out = ffi.new("keystart_writer **")
        core.call(
            lib.keystart_writer_open,
            *_folder(root),
            *_folder(os.environ.get("KEYSTART_DIR")),
            *text(_WRITER),
            *text(__version__),
            keeps,
            out,
        )
        return cls(out[0])

    def publish(self, draft: Draft) -> int:
        """Publishes everything in a draft as the next generation, or nothing, and returns its number."""
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_draft_publish, draft.handle, self.handle, number)
        return int(number[0])

    def watch(self, plan: Any) -> None:
        """Sets the plan, by its handle, whose entries are refreshed."""
        core.call(lib.keystart_writer_watch, self.handle, plan)

    def refresh(self, draft: Draft) -> tuple[int, list[str], list[str]]:
        """Publishes the generation before with the entries that a draft covers, if something changed.

        Returns the new generation (0 if nothing changed), the secrets that are new, gone, or of another version, and
        the entries to fetch again, because their files are not the writer's any more.
        """
        number, changed, lost = (
            ffi.new("uint64_t *"),
            ffi.new("keystart_bytes *"),
            ffi.new("keystart_bytes *"),
        )
        core.call(lib.keystart_writer_refresh, self.handle, draft.handle, number, changed, lost)
        return int(number[0]), core.take_text(changed).splitlines(), core.take_text(lost).splitlines()

    def candidate(self, draft: Draft) -> int | None:
        """Makes the published generation with the entries that a draft covers; None if that is what is published."""
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_writer_candidate, self.handle, draft.handle, number)
        return int(number[0]) or None

    def has(self, generation: int) -> bool:
        """Returns whether a generation exists for readers, published or not."""
        import os

        return os.path.isdir(f"{self.root}/generations/{generation}")  # noqa: PTH112 pathlib takes long to load

    def accept(self, candidate: int) -> int | None:
        """Publishes what a candidate brought; None if one of its entries was published since, or it is gone."""
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_writer_accept, self.handle, candidate, number)
        return int(number[0]) or None

    def refused(self, plan: Any, entry: int) -> None:
        """Notes that the accepted version of an entry was refused, so that a refresh may replace it."""
        core.call(lib.keystart_writer_refused, self.handle, plan, entry)

    def collect(self) -> None:
        """Removes the generations and candidates whose time is over."""
        core.call(lib.keystart_writer_collect, self.handle)

    def seconds_to_collect(self) -> float | None:
        """Returns how long it takes until there is something to remove; None if there never is."""
        out = ffi.new("uint64_t *")
        core.call(lib.keystart_writer_next_collection, self.handle, out)
        return None if out[0] == _NEVER else out[0] / 1000

    def published(self) -> int:
        """Returns the number of the generation that is published, or 0."""
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_writer_published, self.handle, number)
        return int(number[0])

    def fingerprint(self, plan: Any, entry: int) -> int:
        """Returns a number that is equal for equal values of an entry; 0 if none are published."""
        number = ffi.new("uint64_t *")
        core.call(lib.keystart_writer_fingerprint, self.handle, plan, entry, number)
        return int(number[0])

    def is_gone(self) -> bool:
        """Returns whether readers find the store no more, because the function has removed it."""
        out = ffi.new("uint32_t *")
        core.call(lib.keystart_writer_is_gone, self.handle, out)
        return bool(out[0])

    def start(self) -> None:
        """Reports to readers that the deferred fetch has begun."""
        core.call(lib.keystart_writer_start, self.handle)

    def fail(self, message: str, fetch: Fetch | None = None) -> None:
        """Reports to readers that there will be no secrets, and why, with the failures of a fetch."""
        if fetch is None:
            core.call(lib.keystart_writer_fail, self.handle, *text(message))
        else:
            core.call(lib.keystart_fetch_fail, fetch.handle, self.handle, *text(message))

    def stop(self, reason: str | None = None) -> None:
        """Overwrites and removes every secret, and reports that, and the reason if it failed, to readers."""
        core.call(lib.keystart_writer_stop, self.handle, *((ffi.NULL, 0) if reason is None else text(reason)))


class Draft:
    """The secrets to publish together."""

    def __init__(self) -> None:
        out = ffi.new("keystart_draft **")
        core.call(lib.keystart_draft_new, out)
        self.handle = ffi.gc(out[0], lib.keystart_draft_free)

    def take(self, fetch: Fetch) -> None:
        """Moves the result of a fetch into this draft."""
        core.call(lib.keystart_draft_take, self.handle, fetch.handle)

    def copy(self, fetch: Fetch, plan: Any, entry: int) -> None:
        """Copies what a fetch has of an entry, which this draft covers then."""
        core.call(lib.keystart_draft_copy, self.handle, fetch.handle, plan, entry)

    def mark(self, failure: Failure) -> None:
        """Lists an entry that could not be fetched."""
        parts = (text(part) for part in (failure.name, failure.code, failure.message))
        core.call(lib.keystart_draft_mark, self.handle, *(value for part in parts for value in part))

    def schedule(self, refresh_after: float, retry_after: float) -> None:
        """Sets when what this draft has and what failed is fetched again, for freshness.json. 0 means never."""
        times = (int(at * 1000) for at in (refresh_after, retry_after))
        core.call(lib.keystart_draft_schedule, self.handle, *times)


def _folder(path: str | None) -> tuple[Any, int]:
    if path is None:
        return ffi.NULL, 0
    import os

    data = os.fsencode(path)
    return data, len(data)
