"""Rotations of a client certificate and its key while functions shake hands with a server that requires both."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from keystart_extension.logins.sources import LOOK

from tests.e2e import stage
from tests.fakes.partner import Partner
from tests.fakes.stages import StagedSecrets

from .fleet import FUNCTIONS, LANGUAGES, RUNTIMES, Mode

Layout = Literal["one secret", "two secrets"]
MISMATCHED = "mismatched"
_CONFIGURATION = {
    "one secret": "version: 1\nsecrets:\n  partner: {secret: pair, expand: true}\n",
    "two secrets": "version: 1\nsecrets:\n  partner/ca: ca\n  partner/cert: cert\n  partner/key: key\n",
}
_PAUSE = 1.5  # seconds between certificate and key; a refresh is possible once a second
# Between two rotations, as in database.py: the extension asks for each stage at most once a second, so that a login in
# the next rotation could get an AWSPREVIOUS of this one.
_APART = LOOK + 0.2
_LEAST = 2  # rotations; a fast machine has done a quick run's handshakes before the first one
_AN_INVOCATION = 20  # handshakes
_REFRESH_EVERY = 5  # handshakes
_DAYS = 2 * 86_400.0
_TIMEOUT = 120.0


@dataclass
class Outcome:
    """What handshakes came to: how many were done, and how many calls found a pair that does not match."""

    layout: Layout
    mode: Mode
    rotations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def handshakes(self) -> int:
        return self.outcomes["done"]

    @property
    def mismatched(self) -> int:
        return self.outcomes[MISMATCHED]

    def line(self) -> str:
        """Returns the row of the table."""
        others = sum(self.outcomes.values()) - self.handshakes - self.mismatched
        return f"{self.layout:14}{self.mode:10}{self.rotations:10}{self.handshakes:12}{self.mismatched:12}{others:8}"

    def problems(self) -> list[str]:
        """Returns what must not happen: a pair in one secret, or read with `attempt`, always matches."""
        title = f"{self.layout}, {self.mode}"
        found = [
            f"{title}: {count} handshakes failed: {name}"
            for name, count in self.outcomes.items()
            if name not in ("done", MISMATCHED)
        ]
        if self.layout == "one secret" or self.mode == "attempt":
            if self.mismatched:
                found.append(f"{title}: {self.mismatched} pairs did not match")
        elif not self.mismatched:
            found.append(f"{title}: every pair matched, so the load cannot see what does not")
        return found


QUICK: Sequence[tuple[Layout, Mode, int]] = (
    ("one secret", "get", 300),
    ("two secrets", "attempt", 200),
    ("two secrets", "get", 100),
)
FULL: Sequence[tuple[Layout, Mode, int]] = (
    ("one secret", "get", 10_000),
    ("one secret", "attempt", 1_000),
    ("two secrets", "attempt", 10_000),
    ("two secrets", "get", 1_000),
)
HEAD = f"{'mutual TLS':14}{'reads':10}{'rotations':>10}{'handshakes':>12}{'mismatched':>12}{'others':>8}"


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Returns the outcome in a sentence."""
    cells = [
        f"{outcome.mismatched} of {outcome.outcomes.total()} in {outcome.layout} with {outcome.mode}"
        for outcome in outcomes
    ]
    return f"mutual TLS: mismatched pairs {', '.join(cells)}"


def run(layout: Layout, mode: Mode, handshakes: int) -> Outcome:
    """Rotates the pair for as long as the functions shake hands."""
    outcome = Outcome(layout, mode)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keystart-handshakes-")))
        partner = stack.enter_context(Partner(folder, lambda name, _path: name.encode()))
        store = stack.enter_context(StagedSecrets())
        _put(store, layout, partner, 0.0)
        rotating = stack.enter_context(_rotating(store, layout, partner))
        each = handshakes // len(LANGUAGES)
        workers = []
        for language in LANGUAGES:
            place = folder / language
            place.mkdir()
            environment = stage.environment(
                place,
                language,
                store.url,
                runtime=RUNTIMES[language](),
                function=FUNCTIONS / language / "handshakes",
                configuration=_CONFIGURATION[layout],
                env={
                    "MODE": mode,
                    "SERVER_HOST": str(partner.address["host"]),
                    "SERVER_PORT": str(partner.address["port"]),
                },
                timeout=_TIMEOUT,
            )
            stack.enter_context(environment)
            workers.append(_Worker(environment.invoke, each, rotating))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            if worker.problem is not None:
                raise worker.problem
            outcome.outcomes += worker.outcomes
        outcome.rotations = rotating()
    return outcome


class _Worker(threading.Thread):
    """Invokes one environment until its handshakes are done, and the pair was rotated often enough meanwhile."""

    def __init__(
        self, invoke: Callable[[object], Any], handshakes: int, rotations: Callable[[], int]
    ) -> None:
        super().__init__()
        self.outcomes: Counter[str] = Counter()
        self.problem: BaseException | None = None
        self._invoke = invoke
        self._handshakes = handshakes
        self._rotations = rotations

    def run(self) -> None:
        event = {"handshakes": _AN_INVOCATION, "refresh_every": _REFRESH_EVERY}
        try:
            while self.outcomes.total() < self._handshakes or self._rotations() < _LEAST:
                self.outcomes.update(self._invoke(event).value)
        except BaseException as problem:
            self.problem = problem


@contextmanager
def _rotating(store: StagedSecrets, layout: Layout, partner: Partner) -> Iterator[Callable[[], int]]:
    """Rotates during the `with` block. Its value returns how often."""
    stop = threading.Event()
    rotations: list[float] = []

    def run() -> None:
        while not stop.wait(_APART):
            _put(store, layout, partner, _PAUSE)
            rotations.append(time.time())

    thread = threading.Thread(target=run, name="rotating")
    thread.start()
    try:
        yield lambda: len(rotations)
    finally:
        stop.set()
        thread.join()


def _put(store: StagedSecrets, layout: Layout, partner: Partner, pause: float) -> None:
    """Stores a new pair. The versions before it become days old, because real rotations are days apart."""
    names: Sequence[str] = ["pair"] if layout == "one secret" else ["cert", "key"]
    for name in names:
        if (version := store.version(name)) is not None:
            store.age(name, version, _DAYS)
    certificate, key = partner.authority.issue("orders")
    if layout == "one secret":
        pair = {"cert": certificate, "key": key, "ca": partner.authority.pem}
        store.put("pair", json.dumps(pair))
        return
    if store.version("ca") is None:
        store.put("ca", partner.authority.pem)
    store.put("cert", certificate)
    time.sleep(pause)
    store.put("key", key)
