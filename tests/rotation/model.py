"""A model of rotations: many environments, one database, one store. It runs the extension's own decisions.

Time is simulated, and everything random comes from the seed, so that a run can be repeated.
`python -m tests.rotation.model --seed S --runs N` prints what fails and what locks.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from keystart_extension.logins import Logins
from keystart_extension.logins.actions import (
    Action,
    Fetch,
    LogExhausted,
    MakeCandidate,
    Publish,
    PublishCandidate,
    Retry,
    Use,
)
from keystart_extension.logins.sources import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from keystart_extension.logins.sources import Stage

Kind = Literal["single-user", "alternating", "secret-first", "database-first", "rolled-back", "dead"]
KINDS: tuple[Kind, ...] = (
    "single-user",
    "alternating",
    "secret-first",
    "database-first",
    "rolled-back",
    "dead",
)
GROUP = (0,)
BUDGET = 2.0  # seconds
LOGINS = 3  # of one call
HALF_A_LOGIN = (
    0.005,
    0.025,
)  # seconds until the server decides, and until the call knows, at least and at most
TTL = 20.0
START = 10.0  # when the rotation begins
HOUR = 3_600.0
DAY = 24 * HOUR


class World:
    """The clock of a run, and what is still to happen."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()

    def at(self, time: float, happens: Callable[[], object]) -> None:
        heapq.heappush(self._events, (time, next(self._number), happens))

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        self.at(self.now + seconds, happens)

    def run(self) -> None:
        while self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()


@dataclass
class Server:
    """A database. `passwords` has the version that each user logs in with; the last letter of a version is its user."""

    passwords: dict[str, str]
    locks_after: int | None = None
    refused: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)

    def log_in(self, version: str) -> Literal["accepted", "rejected", "locked"]:
        user = version[-1]
        if user in self.locked:
            return "locked"
        if self.passwords.get(user) == version:
            self.errors[user] = 0
            return "accepted"
        self.refused += 1
        self.errors[user] = self.errors.get(user, 0) + 1
        if self.errors[user] == self.locks_after:
            self.locked.add(user)
        return "rejected"


@dataclass
class SecretStore:
    """One secret with its stages."""

    stages: dict[str, str]
    created_at: dict[str, float]  # by version
    fetches: list[tuple[int, str, float]] = field(default_factory=list)

    def put(self, version: str, stage: str, now: float) -> None:
        """Stores a new version with a stage."""
        self.created_at[version] = now
        self._attach(stage, version)

    def move(self, version: str) -> None:
        """Moves AWSCURRENT to a version, as the last step of a rotation does."""
        self._attach(CURRENT, version)
        self.stages.pop(PENDING, None)

    def age(self, version: str, now: float) -> float:
        """Returns how long ago a version was created."""
        return now - self.created_at[version]

    def _attach(self, stage: str, version: str) -> None:
        if stage == CURRENT:
            self.stages[PREVIOUS] = self.stages[CURRENT]
        self.stages[stage] = version


@dataclass
class Outcome:
    """What a run came to."""

    calls: int = 0
    failed: int = 0
    refused: int = 0
    is_locked: bool = False
    longest_wait: float = 0.0
    late: int = 0  # calls that failed after the rotation was over for a minute


class Call:
    """One call of `attempt`, as the readers do it."""

    def __init__(
        self, environment: Environment, *, half: tuple[float, float] = HALF_A_LOGIN, budget: float = BUDGET
    ) -> None:
        self.environment = environment
        self.half = half
        self.budget = budget
        self.world = environment.world
        self.began = self.world.now
        self.logins = 0
        self.number = 0
        environment.outcome.calls += 1
        self.ask()

    def ask(self) -> None:
        self.environment.ask(self)

    def use(self, generation: int) -> None:
        self.logins += 1
        waited = self.world.now - self.began
        self.environment.outcome.longest_wait = max(self.environment.outcome.longest_wait, waited)
        half = self.world.random.uniform(*self.half)

        def reach() -> None:
            result = self.environment.server.log_in(self.environment.version_in(generation))
            self.world.after(half, lambda: self.report(generation, result))

        self.world.after(half, reach)

    def retry(self, after: float) -> None:
        if self.world.now + after > self.began + self.budget:
            self.fail()
        else:
            self.world.after(after + 0.001, self.ask)

    def report(self, generation: int, result: str) -> None:
        environment, now = self.environment, self.world.now
        if result == "accepted":
            environment.run(environment.logins.accepted(now, GROUP, generation))
            return
        locked = result == "locked"
        environment.run(environment.logins.rejected(now, GROUP, generation, locked=locked))
        if locked or self.logins == LOGINS or now > self.began + self.budget:
            self.fail()
        else:
            self.ask()

    def fail(self) -> None:
        self.environment.outcome.failed += 1
        if self.world.now > self.environment.over_at + 60:
            self.environment.outcome.late += 1


class PlainCall(Call):
    """One login with what a plain read returns."""

    def ask(self) -> None:
        self.use(self.environment.generation)

    def report(self, generation: int, result: str) -> None:  # noqa: ARG002 it reports to nobody
        if result != "accepted":
            self.fail()


class Environment:
    """One execution environment: the process around the decisions, with a store of generations."""

    def __init__(
        self, world: World, number: int, server: Server, store: SecretStore, outcome: Outcome
    ) -> None:
        self.world = world
        self.number = number
        self.server = server
        self.store = store
        self.outcome = outcome
        self.over_at = float("inf")
        self.generation = 1
        self._numbers = itertools.count(2)
        self._versions = {1: store.stages[CURRENT]}
        self._fetched: dict[str, str] = {}
        self._current_at_pin: str | None = None  # what AWSCURRENT was when a candidate was accepted
        self._calls: dict[int, Call] = {}
        self._numbers_of_calls = itertools.count()
        self.logins = Logins(1, {0: self._versions[1]})

    def version_in(self, generation: int) -> str:
        return self._versions[generation]

    def ask(self, call: Call) -> None:
        call.number = next(self._numbers_of_calls)
        self._calls[call.number] = call
        self.run(self.logins.asked(self.world.now, call.number, GROUP))

    def run(self, actions: list[Action]) -> None:
        """Does what was decided, and what follows from it."""
        queue = deque(actions)
        while queue:
            queue.extend(self._do(queue.popleft()))
        if (wake_at := self.logins.wake_at) is not None:
            self.world.at(wake_at, lambda: self._wake(wake_at))

    def refresh(self) -> None:
        """Fetches AWSCURRENT for a ttl that has passed."""
        version = self.store.stages[CURRENT]

        self.world.after(self.world.random.uniform(0.01, 0.05), lambda: self._arrive(CURRENT, version))

    def _wake(self, at: float) -> None:
        if self.logins.wake_at == at:  # nothing else happened before
            self.run(self.logins.passed(self.world.now))

    def _do(self, action: Action) -> list[Action]:
        now = self.world.now
        if isinstance(action, Use):
            self._calls.pop(action.call).use(action.candidate or self.generation)
        elif isinstance(action, Retry):
            self._calls.pop(action.call).retry(action.after)
        elif isinstance(action, Fetch):
            self._fetch(action)
        elif isinstance(action, Publish):
            return self._publish(self._fetched[CURRENT])
        elif isinstance(action, MakeCandidate):
            number = next(self._numbers)
            self._versions[number] = self._fetched[action.stage]
            return self.logins.made(now, action.credential, number)
        elif isinstance(action, PublishCandidate):
            self._current_at_pin = self._fetched.get(CURRENT)
            return self._publish(self._versions[action.candidate])
        else:
            assert isinstance(action, LogExhausted)
        return []

    def _publish(self, version: str) -> list[Action]:
        self.generation = next(self._numbers)
        self._versions[self.generation] = version
        return self.logins.published(self.world.now, self.generation, {0: version})

    def _fetch(self, action: Fetch) -> None:
        self.store.fetches.append((self.number, action.stage, self.world.now))
        version = self.store.stages.get(action.stage)

        self.world.after(self.world.random.uniform(0.01, 0.05), lambda: self._arrive(action.stage, version))

    def _arrive(self, stage: Stage, version: str | None) -> None:
        now, age = self.world.now, None
        if version is not None:
            self._fetched[stage] = version
            age = self.store.age(version, now)
            is_kept = self.logins.keeps(0) and version == self._current_at_pin
            if stage == CURRENT and version != self._versions[self.generation] and not is_kept:
                self.run(self._publish(version))  # whatever the fetch was for
        self.run(self.logins.fetched(now, stage, 0, version, age))


def rotate(world: World, kind: Kind, pause: float, server: Server, store: SecretStore) -> float:
    """Plans a rotation and returns when it is over. Versions are a number and the letter of their user."""

    def at(time: float, happens: Callable[[], None]) -> None:
        world.at(time, happens)

    def change(**passwords: str) -> Callable[[], None]:
        return lambda: server.passwords.update(passwords)

    def stage(version: str) -> Callable[[], None]:
        return lambda: store.put(version, PENDING, world.now)

    def unstage() -> None:
        del store.stages[PENDING]

    def move(version: str) -> Callable[[], None]:
        return lambda: store.move(version)

    def put(version: str) -> Callable[[], None]:
        return lambda: store.put(version, CURRENT, world.now)

    over = START + 0.5 + pause
    if kind == "single-user":
        at(START, stage("1a"))
        at(START + 0.5, change(a="1a"))
        at(over, move("1a"))
    elif kind == "alternating":
        for begin, version in ((START, "1b"), (over + 30, "2a")):  # the second one changes the first user
            at(begin, stage(version))
            at(begin + 0.5, change(**{version[-1]: version}))
            at(begin + 0.5 + pause, move(version))
        over += 30.5 + pause
    elif kind == "secret-first":
        at(START, put("1a"))
        at(over, change(a="1a"))
    elif kind == "database-first":
        at(START, change(a="1a"))
        at(over, put("1a"))
    elif kind == "rolled-back":
        at(START, stage("1a"))
        at(START + 0.5, change(a="1a"))
        at(over, change(a="0a"))
        at(over, unstage)
    else:
        over = START + 600
        at(START, change(a="dead"))
        at(over, change(a="0a"))
    return over


def simulate(
    kind: Kind,
    *,
    environments: int = 1,
    pause: float = 5.0,
    rate: float = 2.0,
    locks_after: int | None = None,
    is_plain: bool = False,
    is_soon: bool = False,
    seed: int = 0,
) -> tuple[Outcome, SecretStore]:
    """Simulates one rotation under `rate` calls a second in each environment, with up to 10 of them at once.

    If it `is_soon`, the rotation before was an hour ago, so that AWSPREVIOUS is tried too, and the one before that has
    left its AWSPENDING behind.
    """
    world = World(seed)
    server = Server({"a": "0a"}, locks_after)
    store = SecretStore({CURRENT: "0a"}, {"0a": -DAY})
    if is_soon:
        store = SecretStore(
            {PENDING: "8a", PREVIOUS: "9a", CURRENT: "0a"}, {"8a": -3 * HOUR, "9a": -2 * HOUR, "0a": -HOUR}
        )
    outcome = Outcome()
    call = PlainCall if is_plain else Call
    over = rotate(world, kind, pause, server, store)
    end = over + 90
    for number in range(environments):
        environment = Environment(world, number, server, store, outcome)
        environment.over_at = over
        time = world.random.uniform(0, TTL)
        while time < end:
            world.at(time, environment.refresh)
            time += TTL * world.random.uniform(0.9, 1)
        time = 0.0
        while (time := time + world.random.expovariate(rate / 2)) < end:
            burst = 10 if world.random.random() < 0.1 else 1  # a pool that fills up
            for _ in range(burst):
                world.at(time, partial(call, environment))
    world.run()
    outcome.refused = server.refused
    outcome.is_locked = bool(server.locked)
    return outcome, store


def simulate_crowd(
    calls: int,
    half: tuple[float, float],
    *,
    locks_after: int,
    kind: Kind = "single-user",
    pause: float = 60.0,
    seed: int = 0,
) -> Outcome:
    """Simulates calls that begin at once, in one environment, a second after a rotation has begun.

    With a short pause the rotation is over by then. `half` is how long the server takes to decide, at least and at
    most.
    """
    world = World(seed)
    server = Server({"a": "0a"}, locks_after)
    store = SecretStore({CURRENT: "0a"}, {"0a": -DAY})
    outcome = Outcome()
    rotate(world, kind, pause, server, store)
    environment = Environment(world, 0, server, store, outcome)
    for _ in range(calls):
        world.at(START + 1, partial(Call, environment, half=half, budget=30.0))
    world.run()
    outcome.refused = server.refused
    outcome.is_locked = bool(server.locked)
    return outcome


def kinds_table(seed: int) -> list[str]:
    """Returns what each kind of rotation costs one environment."""
    lines = [
        "One environment in the model, 3 calls a second, a pause of 5 s:",
        f"{'rotation':16}{'calls':>8}{'failed':>8}{'refused logins':>16}{'failed without attempt':>24}",
    ]
    for kind in KINDS:
        outcome, _ = simulate(kind, rate=3, seed=seed)
        plain, _ = simulate(kind, rate=3, seed=seed, is_plain=True)
        lines.append(f"{kind:16}{outcome.calls:8}{outcome.failed:8}{outcome.refused:16}{plain.failed:24}")
    return lines


def locks_table(seed: int, runs: int, environments: Sequence[int]) -> list[str]:
    """Returns in how many runs a server locked that locks after 3 wrong logins in a row."""
    kinds: tuple[Kind, ...] = ("single-user", "alternating", "database-first")
    lines = [
        f"A server in the model that locks after 3 wrong logins in a row: runs of {runs} in which it locked:",
        f"{'environments':16}" + "".join(f"{kind:>16}" for kind in kinds),
    ]
    for number in environments:
        locked = [
            sum(
                simulate(kind, environments=number, rate=0.2, locks_after=3, seed=seed + run)[0].is_locked
                for run in range(runs)
            )
            for kind in kinds
        ]
        lines.append(f"{number:<16}" + "".join(f"{count:16}" for count in locked))
    return lines


def main() -> None:
    """Prints a table of all kinds of rotation, then one of what locks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=40, help="of each line of the table of locks")
    parser.add_argument("--environments", type=int, nargs="+", default=[1, 10, 20, 50, 100])
    options = parser.parse_args()
    print("\n".join([*kinds_table(options.seed), ""]))
    print("\n".join(locks_table(options.seed, options.runs, options.environments)))


if __name__ == "__main__":
    main()
