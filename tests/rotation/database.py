"""Rotations of a database's password under load, with `attempt` and without it."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from keystart_extension.logins.credential import BACK_OFF
from keystart_extension.logins.sources import LOOK

from tests.fakes.stages import Asked, StagedSecrets
from tests.servers import RefusedLogin

from . import fleet
from .fleet import Call, Login, Member, Mode, Plan
from .rotations import AWS_ORDER, NAME, Database, Kind, Rotation, Rotator

BUDGET = 2.0  # seconds, the default of attempt
_MARGIN = 0.2  # seconds
_NEAR = 1.0  # seconds around a failed call that its trace shows
_TRACED = 3  # failed calls of a row whose logins are shown
_PAUSES: dict[Mode, tuple[float, float]] = {
    "attempt": (0.05, 0.4),
    "refresh": (0.2, 0.8),
    "get": (0.2, 0.8),
}
Schedule = Sequence[tuple[Kind, float]]
_NAMES = {"postgresql": "PostgreSQL", "http": "a server over HTTP"}  # by scheme
Serve = Callable[[], AbstractContextManager[Database]]
QUICK_DEAD = 5.0  # seconds in which no version works
FULL_DEAD = 600.0

# Alternating users come last: an environment may stay with the other user until that one's password changes too, so
# that a rotation of another kind after them might not concern it.
QUICK: Schedule = (
    *(("single-user", pause) for pause in (0.0, 0.5, 3.0)),
    *(("secret-first", pause) for pause in (0.5, 3.0)),
    *(("rolled-back", pause) for pause in (0.5, 3.0)),
    *(("database-first", pause) for pause in (0.5, 4.0)),
    *(("alternating", pause) for pause in (0.0, 0.5, 3.0, 3.0)),
)
# AWS's order 40 times for each kind, with pauses up to the longest that is reported for it, a minute.
FULL: Schedule = (
    *(("single-user", pause) for pause in (*(0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0) * 5, *(10.0,) * 4, 60.0)),
    *(("secret-first", pause) for pause in (0.0, 0.5, 1.0, 3.0, 10.0) * 3),
    *(("rolled-back", pause) for pause in (0.0, 0.5, 3.0, 10.0) * 2),
    *(("database-first", pause) for pause in (0.5, 1.0, 4.0, 10.0) * 2),
    *(("alternating", pause) for pause in (*(0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0) * 5, *(10.0,) * 4, 60.0)),
)
# Those that use `attempt` differ in their ttl, because a refresh may come at any moment of a rotation.
PLANS = (
    Plan("attempt", "python"),
    Plan("attempt", "node", ttl="10s"),
    Plan("attempt", "ruby", ttl="10s"),
    Plan("refresh", "ruby"),
    Plan("get", "node", ttl="10s"),
    Plan("get", "python"),
)


@dataclass
class Load:
    """What the environments of one kind did during the rotations of one row."""

    calls: int = 0
    failed: int = 0
    refused: int = 0  # logins, counted by the server
    in_flight: int = 0  # of these: begun before the environment knew of its first refusal
    first: int = 0  # environments and rotations with a refusal
    longest: float = 0.0
    errors: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)  # what failed calls did, of the first ones

    @property
    def further(self) -> int:
        """RefusedLogin logins that were neither the first one nor in flight."""
        return self.refused - self.first - self.in_flight


@dataclass
class Row:
    """All rotations of one kind with one pause; the loads by how the functions read."""

    kind: Kind
    pause: float
    rotations: int = 0
    loads: dict[str, Load] = field(default_factory=dict)


@dataclass
class Report:
    """The outcome of a run. `problems` are what must not happen."""

    server: str
    rows: list[Row]
    environments: dict[str, int]
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Returns the table: a line for each kind of rotation and pause, and their sum."""
        counts = ", ".join(f"{count} with {label}" for label, count in self.environments.items())
        head = f"{'failed calls, of all:':32}" + "".join(f"{label:>16}" for label in self.environments)
        lines = [
            f"{self.server} under load, environments: {counts}",
            head + "   refused with attempt = first + in flight + more",
        ]
        rotations = sum(row.rotations for row in self.rows)
        for row in self.rows:
            title = f"{row.kind:16}{row.pause:6g} s  {row.rotations:3} times"
            lines.append(title + self._cells(row.loads))
        title = f"{'all':16}{'':10}{rotations:3} times"
        return [*lines, title + self._cells({label: self.total(label) for label in self.environments})]

    def _cells(self, loads: Mapping[str, Load]) -> str:
        cells = [f"{loads[label].failed} of {loads[label].calls}" for label in self.environments]
        line = "".join(f"{cell:>16}" for cell in cells)
        if "attempt" in loads:
            attempt = loads["attempt"]
            line += f"{attempt.refused:24} = {attempt.first} + {attempt.in_flight} + {attempt.further}"
        return line

    def judge(self) -> None:
        """Adds to `problems` what must not happen, and what shows that the load sees nothing."""
        for row in self.rows:
            title = f"{row.kind}, pause {row.pause:g} s"
            attempt = row.loads.get("attempt", Load())
            if row.kind == "database-first":
                if row.pause > BUDGET and attempt.calls and not attempt.failed:
                    self.problems.append(f"{title}: no call failed, so the load cannot see what fails")
                continue
            if attempt.failed:
                errors = "; ".join(sorted(set(attempt.errors))[:3])
                failed = f"{title}: {attempt.failed} of {attempt.calls} calls of attempt failed: {errors}"
                self.problems.append("\n".join([failed, *attempt.traces]))
            if row.kind in AWS_ORDER and attempt.further:
                self.problems.append(
                    f"{title}: {attempt.further} refused logins were neither the first nor in flight"
                )
        slow = [row for row in self.rows if row.kind in AWS_ORDER and row.pause >= 1]
        for label in self.environments:
            if label != "attempt" and slow and not self.total(label, slow).failed:
                self.problems.append(f"{label}: no call failed, so the load cannot see what fails")

    def verdict(self) -> str:
        """Returns the outcome in a sentence."""
        rows = [row for row in self.rows if row.kind != "database-first"]
        rotations = sum(row.rotations for row in rows)
        loads = {label: self.total(label, rows) for label in self.environments}
        failed = ", ".join(f"{load.failed} of {load.calls} with {label}" for label, load in loads.items())
        return f"{rotations} rotations of {self.server}: failed calls {failed}"

    def total(self, label: str, rows: Iterable[Row] | None = None) -> Load:
        """Returns the sum of one kind of load over rows, all of them if none are passed."""
        total = Load()
        for load in (row.loads[label] for row in (self.rows if rows is None else rows)):
            total.calls += load.calls
            total.failed += load.failed
            total.refused += load.refused
            total.in_flight += load.in_flight
            total.first += load.first
            total.longest = max(total.longest, load.longest)
        return total


def run(
    serve: Serve, plans: Sequence[Plan], schedule: Schedule, seed: int, show: Callable[[str], None]
) -> Report:
    """Runs the rotations of a schedule one after the other, with all environments under load."""
    with _stage(serve, plans, seed) as (rotator, members):
        server = rotator.server
        rotations = []
        for number, (kind, pause) in enumerate(schedule, 1):
            calls = sum(len(member.calls) for member in members)
            show(f"rotation {number} of {len(schedule)}: {kind}, pause {pause:g} s; {calls} calls so far")
            _settle(members)
            rotations.append(rotator.rotate(kind, pause))
        _settle(members)
        fleet.stop(members)
        report = _report(_NAMES[server.scheme], rotations, members, server.refused())
        _add_traces(report, rotations, members, rotator.store.asked)
        report.problems += _leaks(rotator.all_passwords, server, members)
        report.judge()
        return report


@dataclass
class DeadReport:
    """What environments did while no version of the secret worked. `recovery` is how long they failed afterwards."""

    seconds: float
    environments: int
    load: Load
    recovery: float
    problems: list[str]

    def line(self) -> str:
        """Returns the outcome in a sentence."""
        load = self.load
        return (
            f"a password dead for {self.seconds:g} s: {load.calls} calls of {self.environments} environments, "
            f"{load.refused} refused logins ({load.in_flight} in flight), good again after {self.recovery:.1f} s"
        )


def run_dead(
    serve: Serve, plans: Sequence[Plan], seconds: float, seed: int, show: Callable[[str], None]
) -> DeadReport:
    """Lets no version of the secret work for so long, under load."""
    with _stage(serve, plans, seed) as (rotator, members):
        server = rotator.server
        _settle(members)
        show(f"no version of the secret works for {seconds:g} s")
        rotation = rotator.rotate("dead", seconds)
        for member in members:
            member.wait_for_success(rotation.ended)
        fleet.stop(members)
        refused = server.refused()
        load, recovered = Load(), []
        for member in members:
            at_server = [login.at for login in refused if login.database == member.plan.database]
            while_dead = sum(at < rotation.ended for at in at_server)
            add(load, member.calls, rotation.began, rotation.ended, while_dead)
            recovered += [
                call.ended for call in member.calls if call.began > rotation.ended and call.error is not None
            ]
        problems = _leaks(rotator.all_passwords, server, members)
        most = len(members) * logins_while_dead(seconds)
        if load.refused - load.in_flight > most:
            problems.append(
                f"{load.refused - load.in_flight} refused logins beside those in flight, {most} at most"
            )
        if not load.failed:
            problems.append("no call failed, so the load cannot see a dead password")
        recovery = max(recovered, default=rotation.ended) - rotation.ended
        return DeadReport(seconds, len(members), load, recovery, problems)


def logins_while_dead(seconds: float) -> int:
    """Returns how often one environment may log in while no version works: at once, and after each back-off."""
    pauses = itertools.chain(BACK_OFF, itertools.repeat(BACK_OFF[-1]))
    times = itertools.takewhile(lambda at: at <= seconds, itertools.accumulate(pauses))
    return 1 + len(list(times))


@contextmanager
def _stage(
    serve: Serve, plans: Sequence[Plan], seed: int
) -> Iterator[tuple[Rotator[Database], list[Member]]]:
    """Runs a server, a store and environments. The load ends with the `with` block, and the server a moment later."""
    with (
        tempfile.TemporaryDirectory(prefix="keystart-rotation-") as folder,
        StagedSecrets() as store,
        serve() as server,
    ):
        rotator = Rotator(server, store)
        rotator.begin()
        for plan in plans:
            server.create_database(plan.database)
        with fleet.running(
            plans,
            folder=Path(folder),
            endpoint=store.url,
            secret=NAME,
            server=server,
            pauses=_PAUSES,
            seed=seed,
        ) as members:
            yield rotator, members


def _settle(members: Sequence[Member]) -> None:
    """Waits until every environment has used what is valid now, and may ask for each stage again.

    Rotations are days apart. If the next one came within that second, a refused login could get an older answer.
    """
    now = time.time()
    for member in members:
        member.wait_for_call(now)
    time.sleep(LOOK + _MARGIN)


def _report(
    server: str, rotations: Sequence[Rotation], members: Sequence[Member], refused: Sequence[RefusedLogin]
) -> Report:
    rows: dict[tuple[Kind, float], Row] = {}
    environments: dict[str, int] = {}
    for member in members:
        environments[member.plan.label] = environments.get(member.plan.label, 0) + 1
    report = Report(server, [], environments)
    for rotation, end in _with_ends(rotations):
        row = rows.setdefault((rotation.kind, rotation.pause), Row(rotation.kind, rotation.pause))
        row.rotations += 1
        for member in members:
            load = row.loads.setdefault(member.plan.label, Load())
            at_server = sum(
                login.database == member.plan.database and rotation.began <= login.at < end
                for login in refused
            )
            add(load, member.calls, rotation.began, end, at_server)
    report.rows = list(rows.values())
    for member in members:
        seen = sum(login.outcome == "refused" for call in member.calls for login in call.logins)
        counted = sum(login.database == member.plan.database for login in refused)
        if seen != counted:
            report.problems.append(
                f"{member.plan.database} saw {seen} refused logins, and the server refused {counted}"
            )
    return report


def _with_ends(rotations: Sequence[Rotation]) -> Iterator[tuple[Rotation, float]]:
    """Yields each rotation with the beginning of the next one."""
    yield from zip(rotations, [*(rotation.began for rotation in rotations[1:]), float("inf")], strict=True)


def _add_traces(
    report: Report, rotations: Sequence[Rotation], members: Sequence[Member], asked: Sequence[Asked]
) -> None:
    """Adds to each row what the first calls of `attempt` that failed have done."""
    rows = {(row.kind, row.pause): row for row in report.rows}
    changes = [change for rotation in rotations for change in rotation.changed]
    for rotation, end in _with_ends(rotations):
        row = rows[rotation.kind, rotation.pause]
        for member in members:
            if member.plan.mode != "attempt":
                continue
            traces = row.loads[member.plan.label].traces
            failed = [call for call in member.calls if rotation.began <= call.began < end and call.error]
            traces += [trace(member.plan, call, rotation, changes, asked) for call in failed]
            del traces[_TRACED:]


def trace(
    plan: Plan, call: Call, rotation: Rotation, changes: Sequence[float], asked: Sequence[Asked]
) -> str:
    """Returns what a call did, line by line, with what happened at the server and the store meanwhile.

    The store does not see who asks it, so that the requests of all environments are there.
    """
    events = [(call.began, "the call begins"), (call.ended, f"the call ends: {call.error}")]
    for login in call.logins:
        events.append((login.began, f"logs in with {login.version}"))
        events.append((login.ended, login.outcome))
    events += [(at, "the server has another password") for at in changes]
    events += [(request.at, f"some environment fetches {request.stage}") for request in asked]
    near = sorted(event for event in events if call.began - _NEAR <= event[0] <= call.ended + _NEAR)
    after = call.began - rotation.began
    lines = [
        f"    {plan.database}, {after:.3f} s after the rotation began, ttl {plan.ttl or 'none'}",
        *(f"    {at - call.began:+8.3f} s  {what}" for at, what in near),
    ]
    return "\n".join(lines)


def add(load: Load, calls: Sequence[Call], began: float, ended: float, refused: int) -> None:
    """Adds what one environment did from `began` to `ended`, and how many logins the server refused it meanwhile."""
    load.refused += refused
    refusals = []
    for call in calls:
        if began <= call.began < ended:
            load.calls += 1
            load.longest = max(load.longest, call.ended - call.began)
            if call.error is not None:
                load.failed += 1
                load.errors.append(call.error)
        # A call may have begun before the rotation, and its login after it.
        refusals += [refusal for refusal in _refusals(call) if began <= refusal.login.ended < ended]
    if refusals:
        known_at = min(refusals, key=lambda refusal: refusal.login.ended).known_at
        load.first += 1
        load.in_flight += sum(refusal.login.began < known_at for refusal in refusals) - 1


class _Refusal(NamedTuple):
    """A refused login, and when its call had reported it: when it logs in again, or ends."""

    login: Login
    known_at: float


def _refusals(call: Call) -> list[_Refusal]:
    pairs = itertools.zip_longest(call.logins, call.logins[1:])
    return [
        _Refusal(login, following.began if following else call.ended)
        for login, following in pairs
        if login.outcome == "refused"
    ]


def _leaks(passwords: Sequence[str], server: Database, members: Sequence[Member]) -> list[str]:
    """Returns where a password stands that must not: logs, timelines, errors, the server's log."""
    places = {"the server's log": server.log_text()}
    for member in members:
        errors = [call.error for call in member.calls if call.error is not None]
        timeline = member.environment.timeline.to_json()
        places[member.plan.database] = "\n".join([member.environment.log_text(), timeline, *errors])
    pairs = itertools.product(places.items(), passwords)
    return sorted({f"{place} holds a password" for (place, text), one in pairs if one in text})
