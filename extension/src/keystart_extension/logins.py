"""Decides which version of a secret each login of `attempt` uses, and which calls wait.

Every process of the environment asks here before it logs in, and reports the outcome. This module is a pure function
of these events: it has no clock, does no I/O, and draws no random numbers. Each event carries its time, in seconds of
a clock that never runs backwards. It returns actions, and whoever runs them reports what became of them as events.

    event                           from               meaning
    asked, left                     control.sock       a call wants to log in; it ended without a report
    rejected, accepted              control.sock       a login took place, and this is its outcome
    fetched, not_fetched            the store          the answer about one stage of one source
    published, not_published        the writer         a generation became current, or could not be published
    made, not_made                  the writer         a candidate exists, or could not be made
    passed                          a timer            the time `wake_at` has come

The numbers in comments are the steps of `attempt`:

    (1) Before each login a call asks which generation to use. One call logs in first, and the others wait.
    (2) Each login that is accepted or rejected is reported.
    (3) After a rejection: the published version, else AWSPENDING, AWSCURRENT and AWSPREVIOUS, in that order.
    (4) The sources of a candidate that is accepted are published.
    (5) A refused version is not tried again while another one is left. Then all are tried again, ever more rarely.
    (6) What the reader alone decides: its budget, and which error it raises. `locked` ends the logins of all calls.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal, TypeAlias

    Source: TypeAlias = int  # one id with region, role and stage: its place in the configuration
    Stage = Literal["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]
    # The version of each source of a group: its version id. Where that is missing or constant, whatever text the
    # process makes up each time when the bytes are others.
    Versions: TypeAlias = tuple[str, ...]

PENDING: Stage = "AWSPENDING"
CURRENT: Stage = "AWSCURRENT"  # or the stage that the configuration names for the source
PREVIOUS: Stage = "AWSPREVIOUS"

# All in seconds.
FREE = 0.2  # an accepted version needs nobody to go first for so long
LEAD = 1.0  # the first call has so long to report; then the next one goes
GRACE = 0.005  # the last report of a call may come so long after the end of its connection
LOST = 10.0  # an outcome that has not come for so long never comes
HOLD = 0.5  # no call waits longer for an answer: after 1 s without one, a reader logs in by itself
LOOK = 1.0  # between two requests for one stage of one source
LATE = 1.0  # a login that began before a refusal of its version may be reported as accepted so long after it
BACK_OFF = (1.0, 5.0, 30.0, 60.0)  # until refused versions are tried again; the last one repeats
PATIENT = 10.0  # after nothing was left, a call is asked to wait SHORT at most for so long
SHORT = 1.0
YOUNG = 24 * 3600.0  # AWSPREVIOUS may still be the server's if AWSCURRENT is not older
CROWDED = 0.1  # the shortest pause of a call that finds too many others waiting
CROWDED_SPREAD = 0.15  # how much longer the pauses of others are, so that they do not all ask at once
KEPT = 30.0  # a candidate is reused for so long; the store keeps it for 60 s

_HISTORY = 32  # generations of a group whose versions are remembered, for late reports


class Action:
    """Something to do. Two actions with the same members are equal."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._members() == other._members()

    def __hash__(self) -> int:
        return hash(self._members())

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({members})"

    def _members(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


class Use(Action):
    """Answer the call: log in with this candidate, or with the current generation if it is None."""

    __slots__ = ("call", "candidate")

    def __init__(self, call: int, candidate: int | None) -> None:
        self.call = call
        self.candidate = candidate


class Retry(Action):
    """Answer the call: do not log in, and ask again after so many seconds. 0 means at once."""

    __slots__ = ("after", "call")

    def __init__(self, call: int, after: float) -> None:
        self.call = call
        self.after = after


class Fetch(Action):
    """Fetch this stage of these sources. The answer is one `fetched` or `not_fetched` for each of them."""

    __slots__ = ("sources", "stage")

    def __init__(self, stage: Stage, sources: tuple[Source, ...]) -> None:
        self.stage = stage
        self.sources = sources


class Publish(Action):
    """Publish the current generation with what AWSCURRENT of these sources is now. The answer is `published`.

    A refresh may have fetched it, up to a second ago.
    """

    __slots__ = ("sources",)

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.sources = sources


class MakeCandidate(Action):
    """Make a candidate: the current generation with that stage of these sources. The answer is `made`."""

    __slots__ = ("group", "sources", "stage")

    def __init__(self, group: tuple[Source, ...], stage: Stage, sources: tuple[Source, ...]) -> None:
        self.group = group
        self.stage = stage
        self.sources = sources


class PublishCandidate(Action):
    """Publish the current generation with these sources as they are in the candidate. The answer is `published`."""

    __slots__ = ("candidate", "sources")

    def __init__(self, candidate: int, sources: tuple[Source, ...]) -> None:
        self.candidate = candidate
        self.sources = sources


class LogExhausted(Action):
    """Log that the server refused every version of these sources, and that one call tries again in so many seconds.

    If it `is_locked`, the server has locked the account.
    """

    __slots__ = ("after", "group", "is_locked")

    def __init__(self, group: tuple[Source, ...], after: float, *, is_locked: bool = False) -> None:
        self.group = group
        self.after = after
        self.is_locked = is_locked


class Logins:
    """What is known of logins, for all groups of sources.

    A group is the sources of a name or folder and of its folder group. Each source belongs to one group, which is
    always passed as the same tuple. `versions` are the published ones of all sources, in this `generation`. The socket
    serves as many requests at once as there are `places`.
    """

    def __init__(self, generation: int, versions: Mapping[Source, str], places: int = 64) -> None:
        self._generation = generation
        self._versions = dict(versions)
        self._places = places
        self._groups: dict[tuple[Source, ...], _Group] = {}
        self._group_of: dict[Source, _Group] = {}

    def asked(self, now: float, call: int, group: tuple[Source, ...]) -> list[Action]:
        """Decides what a call that wants to log in does: at once, or with a later event.

        A call that waits takes a place of the socket. When half of them are taken, the call asks again later instead:
        whoever finds no place would get no answer.
        """
        actions = self._group(group).asked(now, call)
        if call in self._group(group).waiting and self._waiting() > self._places // 2:
            del self._group(group).waiting[call]
            actions.append(Retry(call, CROWDED + CROWDED_SPREAD * (call * 0.618 % 1)))
        return actions

    def left(self, now: float, call: int) -> list[Action]:
        """Takes note that a call ended without a report: it gave up waiting, failed otherwise, or was killed."""
        return [action for group in self._groups.values() for action in group.left(now, call)]

    def leads(self, call: int) -> bool:
        """Returns whether others wait for this call, so that its end matters."""
        return any(group.is_led_by(call) for group in self._groups.values())

    def accepted(self, now: float, group: tuple[Source, ...], generation: int) -> list[Action]:
        """Takes note of a login that the server accepted."""
        if generation > self._highest():
            return []
        return self._group(group).was_accepted(now, generation)

    def rejected(
        self, now: float, group: tuple[Source, ...], generation: int, *, locked: bool = False
    ) -> list[Action]:
        """Takes note of a login that the server rejected; `locked` if it will reject every other one too."""
        if generation > self._highest():
            return []
        return self._group(group).was_rejected(now, generation, locked=locked)

    def fetched(
        self, now: float, stage: Stage, source: Source, version: str | None, age: float | None = None
    ) -> list[Action]:
        """Takes note of the answer about a stage, whoever asked for it. The version is None if no version has it.

        `age` is how long ago the version was created, by the wall clock, if the store says so.
        """
        return self._answer(stage, source, _Answer(now, version, age))

    def not_fetched(self, now: float, stage: Stage, source: Source) -> list[Action]:
        """Takes note that a stage could not be fetched, for whatever reason but that no version has it."""
        return self._answer(stage, source, _Answer(now, None, None, failed=True))

    def published(self, now: float, generation: int, versions: Mapping[Source, str]) -> list[Action]:
        """Takes note of a new current generation, whoever published it. `versions` are at least those that changed."""
        self._generation = generation
        self._versions.update(versions)
        groups = dict.fromkeys(self._group_of[source] for source in versions if source in self._group_of)
        return [
            action
            for group in groups
            for action in group.was_published(now, generation, self._of(group.sources))
        ]

    def not_published(self, now: float, sources: Iterable[Source]) -> list[Action]:
        """Takes note that a `Publish` or `PublishCandidate` of these sources failed."""
        groups = dict.fromkeys(self._group_of[source] for source in sources)
        return [action for group in groups for action in group.was_not_published(now)]

    def made(self, now: float, group: tuple[Source, ...], generation: int) -> list[Action]:
        """Takes note of the candidate that a group asked for."""
        return self._group(group).was_made(now, generation)

    def not_made(self, now: float, group: tuple[Source, ...]) -> list[Action]:
        """Takes note that a candidate could not be made."""
        return self._group(group).was_not_made(now)

    def passed(self, now: float) -> list[Action]:
        """Answers whoever has waited for long enough."""
        return [action for group in self._groups.values() for action in group.passed(now)]

    @property
    def wake_at(self) -> float | None:
        """When `passed` is to be called, if nothing else happens before."""
        return min((at for group in self._groups.values() if (at := group.wake_at) is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Whether a decision is open, which may need what was fetched."""
        return any(group.waiting or group.is_busy for group in self._groups.values())

    def lose_candidates(self) -> None:
        """Takes note that no candidate exists any more."""
        for group in self._groups.values():
            group.lose_candidates()

    def keeps(self, source: Source) -> bool:
        """Returns whether a refresh leaves this source as it is published, after it reported what it `fetched`.

        (4) An accepted version stays until AWSCURRENT moves to another id or the version is refused.
        """
        return source in self._group_of and source in self._group_of[source].pins

    def _answer(self, stage: Stage, source: Source, answer: _Answer) -> list[Action]:
        group = self._group_of.get(source)
        return [] if group is None else group.was_answered(stage, source, answer)

    def _group(self, sources: tuple[Source, ...]) -> _Group:
        if sources not in self._groups:
            group = _Group(sources, self._generation, self._of(sources))
            self._groups[sources] = group
            self._group_of.update(dict.fromkeys(sources, group))
        return self._groups[sources]

    def _of(self, sources: tuple[Source, ...]) -> Versions:
        return tuple(self._versions[source] for source in sources)

    def _waiting(self) -> int:
        return sum(len(group.waiting) for group in self._groups.values())

    def _highest(self) -> int:
        """The highest generation that a reader can have used."""
        return max(
            [self._generation, *(number for group in self._groups.values() for number in group.candidates)]
        )


class _Answer:
    """What the store said about a stage of a source, asked for at that time."""

    __slots__ = ("age", "asked_at", "failed", "version")

    def __init__(
        self, asked_at: float, version: str | None, age: float | None, *, failed: bool = False
    ) -> None:
        self.asked_at = asked_at
        self.version = version
        self.age = age
        self.failed = failed


class _Candidate:
    """A generation that is not current, and the versions of the group in it."""

    __slots__ = ("made_at", "versions")

    def __init__(self, made_at: float, versions: Versions) -> None:
        self.made_at = made_at
        self.versions = versions


class _Lead:
    """The call that logs in first, with these versions."""

    __slots__ = ("call", "ends_at", "versions")

    def __init__(self, call: int, versions: Versions, ends_at: float) -> None:
        self.call = call
        self.versions = versions
        self.ends_at = ends_at


class _Group:
    """Sources that move together, and what is known of logins with them."""

    def __init__(self, sources: tuple[Source, ...], generation: int, versions: Versions) -> None:
        self.sources = sources
        self.pins: dict[Source, str] = {}  # (4) what AWSCURRENT was when another version was accepted
        self.candidates: dict[int, _Candidate] = {}
        self._published = versions
        self._history = [(generation, versions)]  # the last one is when a source of the group changed last
        self._actions: list[Action] = []

        self.waiting: dict[int, float] = {}  # (1) calls without an answer, in their order
        self._lead: _Lead | None = None
        # Since when the published versions are being tried without an outcome, and whether a rotation was looked for.
        self._silent_since: float | None = None
        self._has_looked = False
        self._accepted: Versions | None = None
        self._accepted_at = 0.0

        self._refused: dict[Versions, float] = {}  # (5) and when
        self._is_locked = False
        self._empty_since: float | None = None  # since when nothing was left, if no login succeeded since
        self._forget_at: float | None = None
        self._back_off = 0  # how often refusals were forgotten

        self._answers: dict[tuple[Stage, Source], _Answer] = {}  # (3)
        self._round: set[Stage] = set()  # the stages that were looked at for this decision
        self._looked_at = float("-inf")
        self._fetching: Stage = PENDING
        self._awaited: set[Source] = set()
        self._is_publishing = False
        self._publish_failed = False
        self._accepting: tuple[Source, ...] = ()  # the sources of the candidate that is being published
        self._making: Versions | None = None
        self._stage_of: dict[Versions, Stage] = {}

    # Events

    def asked(self, now: float, call: int) -> list[Action]:
        self.waiting[call] = now
        return self._decide_anew(now)

    def left(self, now: float, call: int) -> list[Action]:
        was_waiting = self.waiting.pop(call, None) is not None
        if self.is_led_by(call) and self._lead is not None:
            # Its report may be on the way, over another connection.
            self._lead.ends_at = min(self._lead.ends_at, now + GRACE)
            self._silent_since = None
        elif not was_waiting:
            return []
        return self._decide_anew(now)

    def is_led_by(self, call: int) -> bool:
        return self._lead is not None and self._lead.call == call

    def was_accepted(self, now: float, generation: int) -> list[Action]:
        versions = self._versions_in(generation)
        if versions is None or now - self._refused.get(versions, float("-inf")) < LATE:
            return []  # its login began before the refusal, because a refused version is not handed out
        self._end_lead(versions)
        self._accepted, self._accepted_at = versions, now
        self._refused.pop(versions, None)
        self._is_locked = False
        self._empty_since = self._forget_at = None
        self._back_off = 0
        if (
            generation in self.candidates
            and versions != self._published
            and generation > self._history[-1][0]
        ):
            self._publish_candidate(generation, versions)
        return self._decide_anew(now)

    def was_rejected(self, now: float, generation: int, *, locked: bool) -> list[Action]:
        versions = self._versions_in(generation)
        if versions is None:
            return []
        if generation in self.candidates and versions == self._published:
            return []  # its login began before another one was accepted, and the version was published
        self._end_lead(versions)
        if versions == self._accepted:
            self._refused.clear()  # (5) the server changed
            self._accepted = None
        if versions == self._published:
            self.pins.clear()
        self._refused[versions] = now
        if locked:
            self._is_locked = True
            if self._forget_at is None or now >= self._forget_at:
                self._begin_back_off(now)
        return self._decide_anew(now)

    def was_answered(self, stage: Stage, source: Source, answer: _Answer) -> list[Action]:
        now = answer.asked_at
        if stage == self._fetching and source in self._awaited:
            self._awaited.remove(source)
            answer.asked_at = self._looked_at
        self._answers[stage, source] = answer
        if (
            stage == CURRENT
            and not answer.failed
            and source in self.pins
            and answer.version != self.pins[source]
        ):
            del self.pins[source]
        return self._decide(now)

    def was_published(self, now: float, generation: int, versions: Versions) -> list[Action]:
        self._is_publishing = False
        if versions != self._published:
            for source, before, after in zip(self.sources, self._published, versions, strict=True):
                if before != after and source not in self._accepting:
                    self.pins.pop(source, None)
            self._published = versions
            self._silent_since = self._empty_since = self._forget_at = None
            self._back_off = 0
            self._history = [*self._history[1 - _HISTORY :], (generation, versions)]
            self._is_locked = False
        self._accepting = ()
        return self._decide(now)

    def was_not_published(self, now: float) -> list[Action]:
        self._is_publishing = False
        self._publish_failed = True
        for source in self._accepting:
            self.pins.pop(source, None)
        self._accepting = ()
        return self._decide(now)

    def was_made(self, now: float, generation: int) -> list[Action]:
        if self._making is not None:
            self.candidates[generation] = _Candidate(now, self._making)
            for oldest in list(self.candidates)[:-_HISTORY]:
                del self.candidates[oldest]
        self._making = None
        return self._decide(now)

    def lose_candidates(self) -> None:
        for candidate in self.candidates.values():
            candidate.made_at = float("-inf")

    def was_not_made(self, now: float) -> list[Action]:
        self._making = None
        self._retry_all(SHORT)
        return self._decide(now)

    def passed(self, now: float) -> list[Action]:
        actions = self._decide_anew(now)
        late = [call for call, since in self.waiting.items() if now >= since + HOLD]
        for call in late:
            del self.waiting[call]
        return [*actions, *(Retry(call, 0.0) for call in late)]

    @property
    def wake_at(self) -> float | None:
        if not self.waiting:
            return None
        hold = next(iter(self.waiting.values())) + HOLD
        return hold if self._lead is None else min(hold, self._lead.ends_at)

    # Decisions

    def _decide_anew(self, now: float) -> list[Action]:
        """Decides after news from a call: what the store said long ago does not count any more."""
        if self._lead is not None and now >= self._lead.ends_at:
            self._lead = None
        if not self.is_busy and now >= self._looked_at + LOOK:
            self._round.clear()
            self._publish_failed = False
        return self._decide(now)

    def _decide(self, now: float) -> list[Action]:
        """Answers calls for as long as the next one need not wait."""
        while self.waiting and not self.is_busy:
            may_be_free = self._was_accepted_just_now(now) or self._is_slow(now)
            if self._lead is not None and not may_be_free:
                break  # (1)
            versions = self._next_versions(now)
            if versions is None:
                break
            is_free = self._is_free(now, versions)
            if self._lead is not None and not is_free:
                break
            if versions != self._published and (candidate := self._candidate_with(now, versions)) is None:
                self._make_candidate(versions)
                break
            call = next(iter(self.waiting))
            del self.waiting[call]
            self._actions.append(Use(call, None if versions == self._published else candidate))
            if not is_free:
                self._lead = _Lead(call, versions, now + LEAD)
                if versions == self._published and (
                    self._silent_since is None or now >= self._silent_since + LOST
                ):
                    self._silent_since, self._has_looked = now, False
        if self.waiting and not self.is_busy and self._is_silent(now):
            self._look_for_a_rotation(now)
        actions, self._actions = self._actions, []
        return actions

    def _was_accepted_just_now(self, now: float) -> bool:
        return self._accepted is not None and now <= self._accepted_at + FREE

    def _is_silent(self, now: float) -> bool:
        """Returns whether the server takes long for a login with the published versions, which it has not refused."""
        since = self._silent_since
        return since is not None and since + LEAD <= now < since + LOST

    def _look_for_a_rotation(self, now: float) -> None:
        """Fetches the stages that show one, one after the other, once for each silence.

        Some servers delay the refusal of a password, so a silence may be one.
        """
        stages = (PENDING, CURRENT)
        if not self._has_looked and not any(self._looks_at(now, stage, self.sources) for stage in stages):
            self._has_looked = True

    def _is_slow(self, now: float) -> bool:
        """Returns whether the server is silent although no rotation is under way."""
        return self._is_silent(now) and all(
            self._has_only_published(source, published)
            for source, published in zip(self.sources, self._published, strict=True)
        )

    def _has_only_published(self, source: Source, published: str) -> bool:
        pending, current = (self._answers.get((stage, source)) for stage in (PENDING, CURRENT))
        if pending is None or current is None or pending.failed or current.failed:
            return False
        return pending.version in (None, published) and current.version in (
            None,
            self.pins.get(source, published),
        )

    def _is_free(self, now: float, versions: Versions) -> bool:
        """Returns whether a call need not wait for the outcome of another one."""
        if versions == self._accepted and self._was_accepted_just_now(now):
            return True
        return versions == self._published and self._is_slow(now)

    def _next_versions(self, now: float) -> Versions | None:
        """Returns the versions for the next login, or None if something is under way or every call was answered."""
        if self._is_locked:
            if self._forget_at is not None and now < self._forget_at:
                self._retry_all(self._forget_at - now)  # (6)
                return None
            self._is_locked = False  # another version may be of another user, so the locked one comes last
        if self._published not in self._refused:
            return self._published
        for stage in (PENDING, CURRENT):
            if self._looks_at(now, stage, self.sources):
                return None
        if self._publishes_current():
            return None
        if (versions := self._differing(PENDING, self.sources)) is not None:
            return versions
        young = tuple(source for source in self.sources if self._is_young(source))
        if self._looks_at(now, PREVIOUS, young):
            return None
        if (versions := self._differing(PREVIOUS, young)) is not None:
            return versions
        return self._after_all_were_refused(now)

    def _after_all_were_refused(self, now: float) -> Versions | None:
        # (5)
        if self._forget_at is not None and now >= self._forget_at:
            self._forget()
            return self._published
        after = self._begin_back_off(now) if self._forget_at is None else self._forget_at - now
        is_short = self._empty_since is not None and now < self._empty_since + PATIENT
        self._retry_all(min(after, SHORT) if is_short else after)
        return None

    def _begin_back_off(self, now: float) -> float:
        """Returns in how many seconds one call may go through the refused versions again."""
        after = BACK_OFF[min(self._back_off, len(BACK_OFF) - 1)]
        self._back_off += 1
        self._forget_at = now + after
        if self._empty_since is None:
            self._empty_since = now
        self._actions.append(LogExhausted(self.sources, after, is_locked=self._is_locked))
        return after

    def _forget(self) -> None:
        self._refused.clear()
        self._forget_at = None
        self._is_locked = False

    def _retry_all(self, after: float) -> None:
        self._actions += [Retry(call, after) for call in self.waiting]
        self.waiting.clear()

    def _end_lead(self, versions: Versions) -> None:
        if versions == self._published:
            self._silent_since = None
        if self._lead is not None and self._lead.versions == versions:
            self._lead = None

    # What the store has

    @property
    def is_busy(self) -> bool:
        return bool(self._awaited) or self._is_publishing or self._making is not None

    def _looks_at(self, now: float, stage: Stage, sources: tuple[Source, ...]) -> bool:
        """Begins to fetch a stage, if this round has not, and returns whether there is something to wait for."""
        if stage in self._round:
            return False
        self._round.add(stage)
        due = tuple(source for source in sources if self._is_due(now, stage, source))
        if due:
            self._fetching, self._awaited, self._looked_at = stage, set(due), now
            self._actions.append(Fetch(stage, due))
        return bool(due)

    def _is_due(self, now: float, stage: Stage, source: Source) -> bool:
        answer = self._answers.get((stage, source))
        return answer is None or now >= answer.asked_at + LOOK

    def _is_young(self, source: Source) -> bool:
        current = self._answers[CURRENT, source]
        return current.age is not None and current.age < YOUNG

    def _publishes_current(self) -> bool:
        """Begins to publish what AWSCURRENT is now, if it is something else, and returns whether it did."""
        if self._publish_failed or any(self._answers[CURRENT, source].failed for source in self.sources):
            return False  # sources of a group change together or not at all
        changed = tuple(
            source
            for source, published in zip(self.sources, self._published, strict=True)
            if source not in self.pins and self._answers[CURRENT, source].version not in (None, published)
        )
        if changed:
            self._is_publishing = True
            self._actions.append(Publish(changed))
        return bool(changed)

    def _differing(self, stage: Stage, sources: tuple[Source, ...]) -> Versions | None:
        """Returns the published versions with those of a stage, if that was not refused."""
        answers = {
            source: self._answers[stage, source] for source in sources if (stage, source) in self._answers
        }
        if any(answer.failed for answer in answers.values()):
            return None
        versions = tuple(
            answers[source].version or published if source in answers else published
            for source, published in zip(self.sources, self._published, strict=True)
        )
        if versions == self._published or versions in self._refused:
            return None
        self._stage_of[versions] = stage
        return versions

    # Candidates

    def _candidate_with(self, now: float, versions: Versions) -> int | None:
        for generation, candidate in self.candidates.items():
            is_newer = generation > self._history[-1][0]
            if candidate.versions == versions and is_newer and now < candidate.made_at + KEPT:
                return generation
        return None

    def _make_candidate(self, versions: Versions) -> None:
        self._making = versions
        self._actions.append(
            MakeCandidate(self.sources, self._stage_of[versions], self._changed_by(versions))
        )

    def _publish_candidate(self, generation: int, versions: Versions) -> None:
        # (4)
        self._accepting = self._changed_by(versions)
        for source in self._accepting:
            current = self._answers.get((CURRENT, source))
            known = None if current is None or current.failed else current.version
            self.pins[source] = known or self._published[self.sources.index(source)]
        self._is_publishing = True
        self._actions.append(PublishCandidate(generation, self._accepting))

    def _changed_by(self, versions: Versions) -> tuple[Source, ...]:
        triples = zip(self.sources, self._published, versions, strict=True)
        return tuple(source for source, published, version in triples if version != published)

    def _versions_in(self, generation: int) -> Versions | None:
        """Returns the versions that a generation has, or None if it is too old or was never made."""
        if generation in self.candidates:
            return self.candidates[generation].versions
        return next((versions for since, versions in reversed(self._history) if since <= generation), None)
