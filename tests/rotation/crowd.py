"""Rotations at a MariaDB server that locks a user after three wrong passwords, with many logins at once."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from keystart_extension.logins.sources import LOOK

from tests.e2e import stage
from tests.fakes.stages import StagedSecrets

from .fleet import FUNCTIONS, RUNTIMES, Mode
from .rotations import NAME, Rotator, Server

MAX_ERRORS = 3
MODES: tuple[Mode, ...] = ("attempt", "get")
SIZES = ((1, 3), (1, 50), (16, 16), (16, 50))  # processes and connections
_TIMEOUT = 60.0
# Between two rotations, as in database.py: the extension asks for each stage at most once a second.
_SETTLE = LOOK + 0.2


class LockingServer(Server, Protocol):
    """A server that locks a user after `MAX_ERRORS` wrong passwords."""

    def refused(self) -> int:
        """Returns how many logins the server has refused."""


@dataclass
class Outcome:
    """What logins of one size came to, over some rotations."""

    mode: Mode
    processes: int
    connections: int
    rotations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # counted by the server

    @property
    def locked(self) -> int:
        return self.outcomes["locked"]

    def line(self) -> str:
        """Returns the row of the table."""
        calls = self.outcomes.total()
        failed = calls - self.outcomes["accepted"]
        size = f"{self.mode:10}{self.processes:10}{self.connections:13}{self.rotations:11}"
        return f"{size}{calls:8}{failed:8}{self.locked:8}{self.refused:16}"

    def problems(self) -> list[str]:
        """Returns what must not happen: with `attempt` no call fails, and each rotation costs one refused login."""
        title = f"{self.mode}, {self.processes} processes, {self.connections} connections"
        if self.mode == "get":
            # Logins that the server refuses in the same moment may count beyond the number that locks the user.
            saw_locks = self.refused >= MAX_ERRORS * self.rotations
            return [] if saw_locks else [f"{title}: {self.refused} refused logins, so the load sees no lock"]
        found = []
        if failed := {name: count for name, count in self.outcomes.items() if name != "accepted"}:
            found.append(f"{title}: calls failed: {failed}")
        if self.refused > self.rotations:
            found.append(f"{title}: {self.refused} refused logins in {self.rotations} rotations")
        return found


HEAD = (
    f"{'MariaDB':10}{'processes':>10}{'at once':>13}{'rotations':>11}"
    f"{'calls':>8}{'failed':>8}{'locked':>8}{'refused logins':>16}"
)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Returns the outcome in a sentence."""
    rotations = sum(outcome.rotations for outcome in outcomes)
    locked = [
        f"{sum(outcome.locked for outcome in outcomes if outcome.mode == mode)} with {mode}" for mode in MODES
    ]
    return f"{rotations} rotations of MariaDB: calls that found the user locked {', '.join(locked)}"


def run(
    serving: AbstractContextManager[LockingServer], mode: Mode, rotations: int, show: Callable[[str], None]
) -> list[Outcome]:
    """Rotates for each size; the function opens its connections between the change of the server and of the secret."""
    with (
        tempfile.TemporaryDirectory(prefix="keystart-crowd-") as scratch,
        StagedSecrets() as store,
        serving as server,
    ):
        rotator = Rotator(server, store)
        rotator.begin()
        environment = stage.environment(
            Path(scratch),
            "python",
            store.url,
            runtime=RUNTIMES["python"](),
            function=FUNCTIONS / "python/crowd",
            configuration=f"version: 1\nsecrets:\n  db: {{secret: {NAME}, expand: true}}\n",
            env={"MODE": mode, "SERVER_HOST": server.host, "SERVER_PORT": str(server.port)},
            timeout=_TIMEOUT,
        )

        def open_all(event: object, outcome: Outcome) -> None:
            answer: Any = environment.invoke(event).value
            outcome.outcomes.update(answer)

        outcomes = []
        with environment:
            environment.init()
            for processes, connections in SIZES:
                outcome = Outcome(mode, processes, connections)
                before = server.refused()
                for number in range(rotations):
                    show(
                        f"MariaDB, {mode}: {connections} logins of {processes} processes, rotation {number + 1}"
                    )
                    time.sleep(_SETTLE)
                    event = {"processes": processes, "connections": connections}
                    rotator.rotate("single-user", between=partial(open_all, event, outcome))
                    outcome.rotations += 1
                outcomes.append(outcome)
                outcome.refused = server.refused() - before
        return outcomes
