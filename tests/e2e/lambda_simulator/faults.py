"""Faults of the Extensions API towards an extension. It holds no state of the API itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Call = Literal["register", "next"]


@dataclass(frozen=True)
class Respond:
    """Answers in place of the API, which never sees the call."""

    status: int
    body: bytes = b'{"errorType":"Simulated.Fault","errorMessage":"a fault of the simulator"}'


@dataclass(frozen=True)
class Deliver:
    """For `next` only: the call counts, and gets this event as its answer at once."""

    event: Mapping[str, object]

    def body(self) -> bytes:
        return json.dumps(self.event).encode()


@dataclass(frozen=True)
class Fault:
    """What happens instead, on which call, of which extension (None: any), how often (None: always)."""

    on: Call
    do: Respond | Deliver
    extension: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        if isinstance(self.do, Deliver) and self.on != "next":
            raise ValueError(f"an event can only be delivered on 'next', not on {self.on!r}")


class Faults:
    """The faults in force. You may add some while the environment runs."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._seen: dict[int, int] = {}

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take(self, call: Call, extension: str) -> Respond | Deliver | None:
        """Returns the fault for this call, if any. Each fault counts the calls that match it."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.on != call or fault.extension not in (None, extension):
                    continue
                seen = self._seen[index] = self._seen.get(index, 0) + 1
                if fault.times is None or seen <= fault.times:
                    return fault.do
        return None
