"""The extension of this process, which the core has begun: registers, fetches, and waits for the next event."""

from __future__ import annotations

import time

from . import core
from .core import ffi, lib, text, text_or_null
from .fetch import Fetch
from .store import Writer

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from .fetch import Failure

_NO_LIMIT = 2**64 - 1
# Of the time that an invocation has left, in seconds.
_MARGIN = 0.5  # a fetch ends so long before the invocation
_LEAST = 0.7  # with less it does not begin


def seconds_for_fetch(deadline_ms: int) -> float | None:
    """Returns how long a fetch may take in an invocation that ends then (11.3); 0 if it is too late to begin.

    None stands for no limit, and so does a deadline of 0.
    """
    if not deadline_ms:
        return None
    left = deadline_ms / 1000 - time.time()
    return 0 if left < _LEAST else left - _MARGIN


class Event:
    """An event from the core. Its `kind` is one of the header's, which says what the other members mean."""

    def __init__(self, kind: int, number: int, name: str, text: str) -> None:
        self.kind = kind
        self.number = number
        self.name = name
        self.text = text


class Request:
    """A request of control.sock. Its `op` is one of the header's, which says what the other members mean."""

    def __init__(self, op: int, names: list[str] | None, generation: int, *, is_locked: bool) -> None:
        self.op = op
        self.names = names  # None for all
        self.generation = generation
        self.is_locked = is_locked

    @property
    def name(self) -> str:
        """The secret or folder that a login is about."""
        return (self.names or [""])[0]


class Extension:
    """The one extension of the process. It raises `CoreError`."""

    def wait(self, at_most: float | None = None) -> Event:
        """Waits (for hours if need be) for the next event, at most for that many seconds.

        A signal that ends the process is an event too, and so is the end of that time.
        """
        event = ffi.new("keystart_event *")
        # Rounded up, so that the time has come when the wait ends.
        limit = _NO_LIMIT if at_most is None else int(at_most * 1000) + 1
        core.call(lib.keystart_extension_wait, limit, event)
        name, message = core.copy_text(event.name, event.name_len), core.copy_text(event.text, event.text_len)
        return Event(event.kind, event.number, name, message)

    def writer(self) -> Writer | None:
        """Returns the writer of the store, or None if the store cannot be used."""
        handle = self._handle("keystart_writer **", lib.keystart_extension_writer)
        return None if handle is None else Writer(handle)

    def fetch(self) -> Fetch | None:
        """Returns the fetch, or None if none has begun."""
        handle = self._handle("keystart_fetch **", lib.keystart_extension_fetch)
        return None if handle is None else Fetch(handle)

    def plan(self) -> Any:
        """Returns the handle of the plan, or None if the configuration is invalid or was not read."""
        handle = self._handle("keystart_plan **", lib.keystart_extension_plan)
        return None if handle is None else ffi.gc(handle, lib.keystart_plan_free)

    def has_ttl(self) -> bool:
        """Returns whether the plan has a ttl or max_stale, which the first publish must know."""
        plan = self.plan()
        if plan is None:
            return False
        facts = ffi.new("keystart_freshness *")
        core.call(lib.keystart_plan_freshness, plan, facts)
        return bool(facts.ttl_ms or facts.max_stale_ms)

    def refresh(
        self, entries: Collection[int], seconds: float, stage: str | None = None
    ) -> tuple[int, Fetch]:
        """Begins to fetch some entries again, or another stage of them.

        Returns the number that the event of its end has, and the fetch.
        """
        number, out = ffi.new("uint64_t *"), ffi.new("keystart_fetch **")
        numbers = list(entries)
        label, milliseconds = text_or_null(stage), int(seconds * 1000)
        core.call(lib.keystart_extension_refresh, numbers, len(numbers), *label, milliseconds, number, out)
        return int(number[0]), Fetch(out[0])

    def environment(self) -> Any:
        """Returns what the variables of this process say, as the header's `keystart_environment`."""
        environment = ffi.new("keystart_environment *")
        core.call(lib.keystart_extension_environment, environment)
        return environment

    def is_deferred(self) -> bool:
        """Returns whether nothing may be fetched before the first invocation (SnapStart)."""
        out = ffi.new("uint32_t *")
        core.call(lib.keystart_extension_is_deferred, out)
        return bool(out[0])

    def start_fetch(self, seconds: float | None) -> int:
        """Begins the fetch that was deferred, or begins it again after it has failed.

        It takes at most that many seconds, or what the configuration says. Returns the number that the event of its
        end has.
        """
        number = ffi.new("uint64_t *")
        core.call(
            lib.keystart_extension_start_fetch, _NO_LIMIT if seconds is None else int(seconds * 1000), number
        )
        return int(number[0])

    def reopen(self) -> None:
        """Takes over the store again after it was removed."""
        core.call(lib.keystart_extension_reopen)

    def take_request(self, number: int) -> Request:
        """Returns a request of control.sock, once."""
        out = ffi.new("keystart_request *")
        names = core.call_for_text(lib.keystart_request_take, number, out)
        return Request(
            out.op,
            None if out.is_all else names.splitlines(),
            int(out.generation),
            is_locked=bool(out.is_locked),
        )

    def answer(
        self,
        request: int,
        generation: int,
        failures: Sequence[Failure] = (),
        *,
        candidate: int | None = None,
        retry_after: float | None = None,
        is_watched: bool = False,
    ) -> None:
        """Answers a request of control.sock: with the current generation (0 for none), and what the client does next.

        It logs in with the candidate instead, or waits for that many seconds. The end of a connection that is watched
        is an event.
        """
        # Rounded up, so that the time has come when the client asks again.
        pause = -1 if retry_after is None else -int(-retry_after * 1000 // 1)
        reply = ffi.new("keystart_reply *", [generation, candidate or 0, pause, is_watched])
        listed = ffi.new("keystart_failure[]", len(failures))
        kept = []  # cffi frees a text with its last reference
        for place, failure in zip(listed, failures, strict=True):
            for member in ("name", "code", "message"):
                data, length = text(getattr(failure, member))
                kept.append(ffi.from_buffer(data))
                setattr(place, member, kept[-1])
                setattr(place, f"{member}_len", length)
        core.call(lib.keystart_request_answer, request, reply, listed, len(failures))

    def places(self) -> int:
        """Returns how many requests of control.sock are served at once."""
        out = ffi.new("uint64_t *")
        core.call(lib.keystart_request_places, out)
        return int(out[0])

    def register(self) -> None:
        """Registers, unless that has begun already. The answer is an event."""
        core.call(lib.keystart_extension_register)

    def next(self) -> None:
        """Reports to Lambda that the extension is ready, and asks for the next event."""
        core.call(lib.keystart_extension_next)

    def fail(self, error_type: str, message: str, fetch: Fetch | None) -> None:
        """Ends the start with a reason, for readers, then for Lambda, then for the log."""
        handle = ffi.NULL if fetch is None else fetch.handle
        core.call(lib.keystart_extension_fail, *text(error_type), *text(message), handle)

    def _handle(self, kind: str, function: Any) -> Any:
        out = ffi.new(kind)
        core.call(function, out)
        return None if out[0] == ffi.NULL else out[0]
