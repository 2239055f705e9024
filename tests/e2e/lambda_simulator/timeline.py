"""Keeps what happened and when, by the monotonic clock. It decides nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

Detail = str | int | float | bool | None | list[str]


class Kind(str, Enum):
    """The kinds of events. The value is the word in the JSON file."""

    SANDBOX_START = "sandbox start"
    SANDBOX_END = "sandbox end"
    INIT_START = "init start"
    INIT_END = "init end"
    INIT_FAILED = "init failed"
    EXTENSION_STARTED = "extension started"
    EXTENSION_LAUNCH_ERROR = "extension launch error"
    EXTENSION_REGISTERED = "extension registered"
    EXTENSION_REFUSED = "extension refused"
    EXTENSION_NEXT = "extension next"
    EXTENSION_EVENT = "extension event"
    EXTENSION_INIT_ERROR = "extension init error"
    EXTENSION_EXIT_ERROR = "extension exit error"
    EXTENSION_EXITED = "extension exited"
    RUNTIME_STARTED = "runtime started"
    RUNTIME_LAUNCH_ERROR = "runtime launch error"
    RUNTIME_NEXT = "runtime next"
    RUNTIME_EVENT = "runtime event"
    RUNTIME_RESTORE_NEXT = "runtime restore next"
    RUNTIME_RESPONSE = "runtime response"
    RUNTIME_ERROR = "runtime error"
    RUNTIME_INIT_ERROR = "runtime init error"
    RUNTIME_REFUSED = "runtime refused"
    RUNTIME_EXITED = "runtime exited"
    RESTORE_START = "restore start"
    RESTORE_END = "restore end"
    INVOKE_START = "invoke start"
    INVOKE_END = "invoke end"
    FROZEN = "frozen"
    THAWED = "thawed"
    SHUTDOWN_START = "shutdown start"
    SHUTDOWN_END = "shutdown end"
    SIGNAL_SENT = "signal sent"
    FAULT = "fault"


@dataclass(frozen=True)
class Event:
    """One event: when (`time.monotonic_ns`), what, to whom, and further facts."""

    at_ns: int
    kind: Kind
    who: str = ""
    detail: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Returns the event in words, as the picture prints it."""
        return f"{self.who} {self.kind.value.split(' ', 1)[1]}" if self.who else self.kind.value


@dataclass(frozen=True)
class LogLine:
    """One line a process wrote, without its newline."""

    at_ns: int
    who: str
    stream: str
    text: str

    def __str__(self) -> str:
        return f"[{self.who} {self.stream}] {self.text}"


class NotSeenError(LookupError):
    """A requested event has not happened. The message lists those that have."""


class Timeline:
    """All events in the order they happened. Threads may add, read and wait at the same time."""

    def __init__(self) -> None:
        self.origin_ns = time.monotonic_ns()
        self.origin_wall_ns = time.time_ns()
        self._events: list[Event] = []
        self._added = threading.Condition()

    def add(self, kind: Kind, who: str = "", at_ns: int | None = None, **detail: Detail) -> Event:
        """Adds an event that happens now, or that happened at `at_ns`."""
        with self._added:
            event = Event(time.monotonic_ns() if at_ns is None else at_ns, kind, who, detail)
            self._events.append(event)
            self._events.sort(key=lambda each: each.at_ns)  # stable: equal times keep the order they came in
            self._added.notify_all()
        return event

    def __iter__(self) -> Iterator[Event]:
        with self._added:
            return iter(list(self._events))

    def __len__(self) -> int:
        with self._added:
            return len(self._events)

    def all(self, kind: Kind, who: str | None = None) -> list[Event]:
        """Returns every event of this kind, of everybody or of one extension."""
        return [event for event in self if event.kind is kind and who in (None, event.who)]

    def first(self, kind: Kind, who: str | None = None) -> Event:
        """Returns the first event of this kind. Raises `NotSeenError` without one."""
        return self._one(self.all(kind, who)[:1], kind, who)

    def last(self, kind: Kind, who: str | None = None) -> Event:
        """Returns the last event of this kind. Raises `NotSeenError` without one."""
        return self._one(self.all(kind, who)[-1:], kind, who)

    def wait(self, kind: Kind, who: str | None = None, *, times: int = 1, timeout: float = 10.0) -> Event:
        """Waits until the event has happened `times` times since the beginning; returns the last of them."""
        with self._added:
            self._added.wait_for(lambda: len(self._matching(kind, who)) >= times, timeout)
            found = self._matching(kind, who)[times - 1 : times]
        return self._one(found, kind, who)

    def _matching(self, kind: Kind, who: str | None) -> list[Event]:
        return [event for event in self._events if event.kind is kind and who in (None, event.who)]

    def _one(self, found: list[Event], kind: Kind, who: str | None) -> Event:
        if found:
            return found[0]
        wanted = f"{kind.value!r}" + (f" of {who!r}" if who is not None else "")
        raise NotSeenError(f"no {wanted} in this timeline:\n{self}")

    def at_wall_time(self, seconds: float) -> int:
        """Returns the moment on this timeline of a wall-clock time, such as one in a manifest."""
        return self.origin_ns + round(seconds * 1e9) - self.origin_wall_ns

    def milliseconds(self, at_ns: int) -> float:
        """Returns milliseconds from the beginning of the timeline."""
        return (at_ns - self.origin_ns) / 1e6

    def to_json(self) -> str:
        """Returns the timeline as one JSON object. Times are nanoseconds from its beginning."""
        events = [
            {
                "at_ns": event.at_ns - self.origin_ns,
                "kind": event.kind.value,
                "who": event.who,
                **event.detail,
            }
            for event in self
        ]
        document = {
            "format": "lambda-simulator.timeline/1",
            "origin_wall_ns": self.origin_wall_ns,
            "events": events,
        }
        return json.dumps(document, indent=1)

    def write(self, path: Path | str) -> None:
        """Writes `to_json` into a file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    def __str__(self) -> str:
        lines = []
        for event in self:
            detail = " ".join(f"{key}={value}" for key, value in event.detail.items())
            lines.append(f"{self.milliseconds(event.at_ns):10.3f} ms  {event.label}  {detail}".rstrip())
        return "\n".join(lines)
