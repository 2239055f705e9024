"""Execution environments under load: functions that open database connections, and a record of each call."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests import ROOT
from tests.e2e import stage
from tests.e2e.lambda_simulator import Environment, runtimes

from .rotations import Database

Mode = Literal["attempt", "refresh", "get"]
FUNCTIONS = Path(__file__).parent / "functions"
DRIVERS = ROOT / "tests/servers/node/node_modules"
LANGUAGES = ("python", "node", "ruby")
RUNTIMES = {"python": runtimes.python, "node": runtimes.node_loop, "ruby": runtimes.ruby}
HOLD = 4  # connections that a function keeps
BURST = 10  # connections that a pool opens at once
_TIMEOUT = 30.0  # seconds, of the function
_PATIENCE = 120.0  # seconds; after ten dead minutes one call a minute logs in


class Login(NamedTuple):
    """One login at the server. `outcome` is accepted, refused, or the class of another error."""

    began: float
    ended: float
    outcome: str
    version: str = ""  # of the secret, with its stages when it was fetched


@dataclass(frozen=True)
class Call:
    """One call that opens a connection: all its logins, and the error that it raised."""

    began: float
    ended: float
    logins: Sequence[Login]
    error: str | None


@dataclass(frozen=True)
class Plan:
    """One environment: how its function reads, in which language, and the ttl of its configuration."""

    mode: Mode
    language: str
    ttl: str | None = None

    @property
    def label(self) -> str:
        """How the report names it, together with its like in other languages."""
        return "get, ttl" if self.mode == "get" and self.ttl else self.mode

    @property
    def database(self) -> str:
        """The database that it uses, by which the server's log names the environment."""
        return f"{self.mode}_{self.ttl}_{self.language}"


@dataclass
class Member:
    """A running environment. A thread invokes it one time after the other, as Lambda does."""

    plan: Plan
    environment: Environment
    random: random.Random
    pauses: tuple[float, float]
    calls: list[Call] = field(default_factory=list)
    problem: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins the load."""
        self._thread = threading.Thread(target=self._run, name=self.plan.database)
        self._thread.start()

    def stop(self) -> None:
        """Ends the load after the invocation that runs."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def wait_for_call(self, since: float) -> None:
        """Waits until a call that began after a moment has ended."""
        self._wait(lambda: bool(self.calls) and self.calls[-1].began > since)

    def wait_for_success(self, since: float) -> None:
        """Waits until a call that began after a moment has succeeded."""
        self._wait(lambda: any(call.began > since and call.error is None for call in self.calls[-BURST:]))

    def _wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE
        while not condition():
            if self.problem is not None:
                raise self.problem
            if time.monotonic() > until:
                raise TimeoutError(f"{self.plan.database} made no such call in {_PATIENCE:g} s")
            time.sleep(0.02)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                opened = BURST if self.random.random() < 0.1 else 1
                self.calls += invoke(self.environment, {"open": opened, "hold": HOLD})
                self._stop.wait(self.random.uniform(*self.pauses))
        except BaseException as problem:
            self.problem = problem


def invoke(environment: Environment, event: Mapping[str, object]) -> list[Call]:
    """Invokes a function of this folder once, and returns its calls."""
    answer: Any = environment.invoke(event).value
    return [
        Call(call["began"], call["ended"], [Login(*login) for login in call["logins"]], call["error"])
        for call in answer["calls"]
    ]


@contextmanager
def running(
    plans: Sequence[Plan],
    *,
    folder: Path,
    endpoint: str,
    secret: str,
    server: Database,
    pauses: Mapping[Mode, tuple[float, float]],
    seed: int,
) -> Iterator[list[Member]]:
    """Runs environments during the `with` block. The load begins when all are ready, and ends with `stop`."""
    place_of_server = {
        "SERVER_HOST": server.host,
        "SERVER_PORT": str(server.port),
        "SERVER_SCHEME": server.scheme,
    }
    with ExitStack() as stack:
        members = []
        for plan in plans:
            place = folder / plan.database
            place.mkdir()
            ttl = f"ttl: {plan.ttl}\n" if plan.ttl else ""
            environment = stage.environment(
                place,
                plan.language,
                endpoint,
                runtime=RUNTIMES[plan.language](),
                function=FUNCTIONS / plan.language / "logins",
                configuration=f"version: 1\n{ttl}secrets:\n  db: {{secret: {secret}, expand: true}}\n",
                env={**place_of_server, "SERVER_DATABASE": plan.database, "MODE": plan.mode},
                node_packages={"pg": DRIVERS / "pg"} if server.scheme == "postgresql" else {},
                timeout=_TIMEOUT,
            )
            stack.enter_context(environment)
            generator = random.Random(f"{seed} {plan.database}")
            members.append(Member(plan, environment, generator, pauses[plan.mode]))
        for begun in [member.environment.init_in_background() for member in members]:
            begun.result()
        for member in members:
            stack.callback(member.stop)
            member.start()
        yield members


def stop(members: Sequence[Member]) -> None:
    """Ends the load of all environments. Raises what ended one of them before."""
    for member in members:
        member.stop()
        if member.problem is not None:
            raise member.problem
