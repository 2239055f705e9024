"""Decides which version of a secret each login of `attempt` uses, and which calls wait.

Every process of the environment asks here before it logs in, and reports the outcome. This module is a pure function
of these events: it has no clock, does no I/O, and draws no random numbers. Each event carries its time, in seconds of
a clock that never runs backwards. It returns actions, and whoever runs them reports what became of them as events.

    event                           from               meaning
    asked, left                     control.sock       a call wants to log in; it ended without a report
    rejected, accepted              control.sock       a login took place, and this is its outcome
    fetched, not_fetched            the store          the answer about one stage of one source
    published, not_published        the writer         a generation became current, or could not be published
    made, not_made, lost            the writer         a candidate exists, could not be made, or exists no more
    passed                          a timer            the time `wake_at` has come

The numbers in comments are the steps of `attempt`:

    (1) Before each login a call asks which generation to use. One call logs in first, and the others wait.
    (2) Each login that is accepted or rejected is reported.
    (3) After a rejection: the published version, else what AWSCURRENT is now, else AWSPENDING or AWSPREVIOUS.
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
    # The version of each source of a credential: its version id. Where that is missing or constant, whatever text the
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

_HISTORY = 32  # generations of a credential whose versions are remembered, for late reports


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

    __slots__ = ("credential", "sources", "stage")

    def __init__(self, credential: tuple[Source, ...], stage: Stage, sources: tuple[Source, ...]) -> None:
        self.credential = credential
        self.stage = stage
        self.sources = sources


class PublishCandidate(Action):
    """Publish the current generation with these sources as they are in the candidate. The answer is `published`."""

    __slots__ = ("candidate", "sources")

    def __init__(self, candidate: int, sources: tuple[Source, ...]) -> None:
        self.candidate = candidate
        self.sources = sources


class LogExhausted(Action):
    """Log that the server refused a credential, and that one call tries again in so many seconds.

    It refused the published version if `stages` has None, and the versions of the others. If it `is_locked`, the server
    has locked the account.
    """

    __slots__ = ("after", "credential", "is_locked", "stages")

    def __init__(
        self,
        credential: tuple[Source, ...],
        stages: tuple[Stage | None, ...],
        after: float,
        *,
        is_locked: bool = False,
    ) -> None:
        self.credential = credential
        self.stages = stages
        self.after = after
        self.is_locked = is_locked


class Logins:
    """What is known of logins, for all credentials.

    A credential is the sources of a name or folder. Each is always passed as the same tuple. `versions` are the
    published ones of all sources, in this `generation`. Each of the `groups` is sources that are published together or
    not at all; a credential lies within one, and is one if its sources are in none. The socket serves as many requests
    at once as there are `places`. If there were other versions before in this environment, it `is_later`.
    """

    def __init__(
        self,
        generation: int,
        versions: Mapping[Source, str],
        places: int = 64,
        groups: Iterable[tuple[Source, ...]] = (),
        *,
        is_later: bool = False,
    ) -> None:
        self._generation = generation
        self._versions = dict(versions)
        self._changed = set(versions) if is_later else set()
        self._places = places
        self._credentials: dict[tuple[Source, ...], _Credential] = {}
        self._groups: dict[Source, _Group] = {}
        for sources in groups:
            self._add_group(sources)

    def asked(self, now: float, call: int, credential: tuple[Source, ...]) -> list[Action]:
        """Decides what a call that wants to log in does: at once, or with a later event.

        A call that waits takes a place of the socket. When half of them are taken, the call asks again later instead:
        whoever finds no place would get no answer.
        """
        asked = self._credential(credential)
        actions = asked.asked(now, call)
        if call in asked.waiting and len(self.waiting()) > self._places // 2:
            del asked.waiting[call]
            actions.append(Retry(call, CROWDED + CROWDED_SPREAD * (call * 0.618 % 1)))
        return actions

    def left(self, now: float, call: int) -> list[Action]:
        """Takes note that a call ended without a report: it gave up waiting, failed otherwise, or was killed."""
        return [action for credential in self._credentials.values() for action in credential.left(now, call)]

    def leads(self, call: int) -> bool:
        """Returns whether others wait for this call, so that its end matters."""
        return any(credential.is_led_by(call) for credential in self._credentials.values())

    def accepted(self, now: float, credential: tuple[Source, ...], generation: int) -> list[Action]:
        """Takes note of a login that the server accepted."""
        if generation > self._highest():
            return []
        return self._credential(credential).was_accepted(now, generation)

    def rejected(
        self, now: float, credential: tuple[Source, ...], generation: int, *, locked: bool = False
    ) -> list[Action]:
        """Takes note of a login that the server rejected; `locked` if it will reject every other one too."""
        if generation > self._highest():
            return []
        return self._credential(credential).was_rejected(now, generation, locked=locked)

    def fetched(
        self, now: float, stage: Stage, source: Source, version: str | None, age: float | None = None
    ) -> list[Action]:
        """Takes note of the answer about a stage, whoever asked for it. The version is None if no version has it.

        `age` is how long ago the version was created, by the wall clock, if the store says so.
        """
        return self._answer(now, stage, source, _Answer(now, version, age))

    def not_fetched(self, now: float, stage: Stage, source: Source) -> list[Action]:
        """Takes note that a stage could not be fetched, for whatever reason but that no version has it."""
        return self._answer(now, stage, source, _Answer(now, None, None, failed=True))

    def published(
        self, now: float, generation: int, versions: Mapping[Source, str], *, is_anew: bool = False
    ) -> list[Action]:
        """Takes note of a new current generation, whoever published it. `versions` are at least those that changed.

        If it `is_anew`, the store was lost: AWSCURRENT of everything is published, and no candidate exists any more.
        """
        changed = {source for source, version in versions.items() if version != self._versions[source]}
        self._generation = generation
        self._versions.update(versions)
        self._changed |= changed
        groups = dict.fromkeys(self._groups[source] for source in versions if source in self._groups)
        credentials = [credential for group in groups for credential in group.credentials]
        lost = {credential: is_anew and credential.loses(changed) for credential in credentials}
        for group in groups:
            group.was_published(changed)
        if is_anew:
            for candidate in self.candidates(now):
                self.lost(candidate)
        return [
            action
            for credential, is_lost in lost.items()
            for action in credential.was_published(
                now, generation, self._of(credential.sources), is_lost=is_lost
            )
        ]

    def not_published(self, now: float, sources: Iterable[Source]) -> list[Action]:
        """Takes note that a `Publish` or `PublishCandidate` of these sources failed."""
        groups = dict.fromkeys(self._groups[source] for source in sources)
        return [action for group in groups for action in group.was_not_published(now)]

    def made(self, now: float, credential: tuple[Source, ...], generation: int) -> list[Action]:
        """Takes note of the candidate that a credential asked for."""
        return self._credential(credential).was_made(now, generation)

    def not_made(self, now: float, credential: tuple[Source, ...]) -> list[Action]:
        """Takes note that a candidate could not be made."""
        return self._credential(credential).was_not_made(now)

    def waiting(self) -> list[int]:
        """Returns the calls without an answer."""
        return [call for credential in self._credentials.values() for call in credential.waiting]

    def candidates(self, now: float) -> set[int]:
        """Returns the candidates that a call may be sent to log in with."""
        return {
            generation
            for credential in self._credentials.values()
            for generation, candidate in credential.candidates.items()
            if now < candidate.made_at + KEPT
        }

    def lost(self, generation: int) -> None:
        """Takes note that a candidate does not exist any more."""
        for credential in self._credentials.values():
            if generation in credential.candidates:
                credential.candidates[generation].made_at = float("-inf")

    def passed(self, now: float) -> list[Action]:
        """Answers whoever has waited for long enough."""
        return [action for credential in self._credentials.values() for action in credential.passed(now)]

    @property
    def wake_at(self) -> float | None:
        """When `passed` is to be called, if nothing else happens before."""
        times = (credential.wake_at for credential in self._credentials.values())
        return min((at for at in times if at is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Whether a decision is open, which may need what was fetched."""
        return any(credential.waiting or credential.is_busy for credential in self._credentials.values())

    def keeps(self, source: Source) -> bool:
        """Returns whether a refresh leaves this source as it is published, after it reported what it `fetched`.

        (4) An accepted version stays until AWSCURRENT moves to another id or the version is refused.
        """
        return source in self._groups and source in self._groups[source].pins

    def _answer(self, now: float, stage: Stage, source: Source, answer: _Answer) -> list[Action]:
        group = self._groups.get(source)
        return [] if group is None else group.was_answered(now, stage, source, answer)

    def _credential(self, sources: tuple[Source, ...]) -> _Credential:
        if sources not in self._credentials:
            group = self._groups.get(sources[0]) or self._add_group(sources)
            is_untried = not self._changed.isdisjoint(sources)
            credential = _Credential(
                sources, group, self._generation, self._of(sources), is_untried=is_untried
            )
            self._credentials[sources] = credential
            group.credentials.append(credential)
        return self._credentials[sources]

    def _add_group(self, sources: tuple[Source, ...]) -> _Group:
        group = _Group(sources, self._versions)
        self._groups.update(dict.fromkeys(sources, group))
        return group

    def _of(self, sources: tuple[Source, ...]) -> Versions:
        return tuple(self._versions[source] for source in sources)

    def _highest(self) -> int:
        """The highest generation that a reader can have used."""
        made = (number for credential in self._credentials.values() for number in credential.candidates)
        return max([self._generation, *made])


class _Answer:
    """What the store said about a stage of a source, asked for at that time."""

    __slots__ = ("age", "asked_at", "created_at", "failed", "version")

    def __init__(
        self, asked_at: float, version: str | None, age: float | None, *, failed: bool = False
    ) -> None:
        self.asked_at = asked_at
        self.version = version
        self.age = age
        self.created_at = None if age is None else asked_at - age
        self.failed = failed


class _Group:
    """Sources that are published together or not at all, and what the store has of them."""

    def __init__(self, sources: tuple[Source, ...], versions: Mapping[Source, str]) -> None:
        self.sources = sources
        self.credentials: list[_Credential] = []
        self.pins: dict[Source, str] = {}  # (4) what AWSCURRENT was when another version was accepted
        self.publisher: _Credential | None = None  # whoever waits for a publish
        self.accepting: tuple[Source, ...] = ()  # the sources of the candidate that is being published
        self._versions = versions  # the published ones, which its owner keeps up to date
        self._answers: dict[tuple[Stage, Source], _Answer] = {}
        self._asked_at: dict[tuple[Stage, Source], float] = {}  # of the stages that are being fetched

    def due(self, now: float, stage: Stage, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        """Returns the sources of which a stage may be fetched now, and notes that it is."""
        due = tuple(source for source in sources if self._is_due(now, stage, source))
        self._asked_at.update({(stage, source): now for source in due})
        return due

    def fetching(self, stage: Stage, sources: tuple[Source, ...]) -> set[tuple[Stage, Source]]:
        """Returns those of the sources of which the stage is being fetched."""
        return {(stage, source) for source in sources if (stage, source) in self._asked_at}

    def answer(self, stage: Stage, source: Source) -> _Answer | None:
        """Returns what the store said last about a stage."""
        return self._answers.get((stage, source))

    def moved(self, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        """Returns the sources whose AWSCURRENT is to be published; none if it could not be fetched for all of them."""
        answers = {source: self._answers.get((CURRENT, source)) for source in sources}
        if any(answer is None or answer.failed for answer in answers.values()):
            return ()
        return tuple(
            source
            for source, answer in answers.items()
            if source not in self.pins
            and answer is not None
            and answer.version not in (None, self._versions[source])
        )

    def was_answered(self, now: float, stage: Stage, source: Source, answer: _Answer) -> list[Action]:
        key = (stage, source)
        answer.asked_at = self._asked_at.pop(key, answer.asked_at)
        self._answers[key] = answer
        if (
            stage == CURRENT
            and not answer.failed
            and source in self.pins
            and answer.version != self.pins[source]
        ):
            del self.pins[source]
        return [
            action
            for credential in self.credentials
            if source in credential.sources or credential.awaits(key)
            for action in credential.was_answered(now, key)
        ]

    def was_published(self, changed: set[Source]) -> None:
        for source in changed.difference(self.accepting):
            self.pins.pop(source, None)
        self.publisher, self.accepting = None, ()

    def was_not_published(self, now: float) -> list[Action]:
        failed, self.publisher = self.publisher, None
        for source in self.accepting:
            self.pins.pop(source, None)
        self.accepting = ()
        return [
            action
            for credential in self.credentials
            for action in credential.was_not_published(now, is_own=credential is failed)
        ]

    def _is_due(self, now: float, stage: Stage, source: Source) -> bool:
        answer = self._answers.get((stage, source))
        is_old = answer is None or now >= answer.asked_at + LOOK
        return is_old and (stage, source) not in self._asked_at


class _Candidate:
    """A generation that is not current, and the versions of a credential in it."""

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


class _Credential:
    """The sources of a name, and what is known of logins with them."""

    def __init__(
        self,
        sources: tuple[Source, ...],
        group: _Group,
        generation: int,
        versions: Versions,
        *,
        is_untried: bool,
    ) -> None:
        self.sources = sources
        self._group = group
        self.candidates: dict[int, _Candidate] = {}
        self._published = versions
        self._history = [(generation, versions)]  # the last one is when one of them changed last
        self._actions: list[Action] = []

        self.waiting: dict[int, float] = {}  # (1) calls without an answer, in their order
        self._lead: _Lead | None = None
        # Since when the published versions are being tried without an outcome, and whether a rotation was looked for.
        self._silent_since: float | None = None
        self._has_looked = False
        self._turn = 0  # how many logins have gone first in this silence
        # Whether others were published before, and no login with the published ones had an outcome yet.
        self._is_untried = is_untried
        self._accepted: Versions | None = None
        self._accepted_at = 0.0

        self._refused: dict[Versions, float] = {}  # (5) and when
        self._is_locked = False
        self._empty_since: float | None = None  # since when nothing was left, if no login succeeded since
        self._forget_at: float | None = None
        self._back_off = 0  # how often refusals were forgotten
        self._has_tried_another = False  # whether the server refused a candidate since the last success

        # (3) the stages that were looked at for this decision, and of which sources
        self._round: set[tuple[Stage, tuple[Source, ...]]] = set()
        self._looked_at = float("-inf")
        self._awaited: set[tuple[Stage, Source]] = set()
        self._publish_failed = False
        self._making: Versions | None = None
        self._unmade: set[Versions] = set()  # those of which no candidate could be made, for this decision
        self._stage_of: dict[Versions, Stage] = {}
        self._lost: Versions | None = None  # accepted ones that were published when the store was lost

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
        self._has_tried_another = False
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
            self._has_tried_another = False
        if versions == self._published:
            for source in self.sources:
                self._group.pins.pop(source, None)
        self._refused[versions] = now
        self._has_tried_another |= generation in self.candidates
        if locked:
            self._is_locked = True
            if self._forget_at is None or now >= self._forget_at:
                self._begin_back_off(now)
        return self._decide_anew(now)

    def awaits(self, key: tuple[Stage, Source]) -> bool:
        return key in self._awaited

    def was_answered(self, now: float, key: tuple[Stage, Source]) -> list[Action]:
        self._awaited.discard(key)
        return self._decide(now)

    def loses(self, changed: set[Source]) -> bool:
        """Returns whether these sources lose a version that was accepted."""
        return any(source in self._group.pins for source in changed.intersection(self.sources))

    def was_published(
        self, now: float, generation: int, versions: Versions, *, is_lost: bool = False
    ) -> list[Action]:
        if is_lost:
            self._lost = self._published
        elif versions != self._published:
            self._lost = None
        if versions != self._published:
            self._published = versions
            self._is_untried = versions != self._accepted
            self._has_tried_another = False
            self._silent_since = self._empty_since = self._forget_at = None
            self._back_off = 0
            self._history = [*self._history[1 - _HISTORY :], (generation, versions)]
            self._is_locked = False
        return self._decide_anew(now) if is_lost else self._decide(now)

    def was_not_published(self, now: float, *, is_own: bool) -> list[Action]:
        self._publish_failed |= is_own
        return self._decide(now)

    def was_made(self, now: float, generation: int) -> list[Action]:
        made, self._making = self._making, None
        if made is not None:
            self.candidates[generation] = _Candidate(now, made)
            for oldest in list(self.candidates)[:-_HISTORY]:
                del self.candidates[oldest]
            if made == self._lost:
                self._lost = None
                self._publish_candidate(generation, made)
        return self._decide(now)

    def was_not_made(self, now: float) -> list[Action]:
        if self._making is not None:
            self._unmade.add(self._making)
        self._making = self._lost = None
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
            self._unmade.clear()
            self._publish_failed = False
        return self._decide(now)

    def _decide(self, now: float) -> list[Action]:
        """Answers calls for as long as the next one need not wait."""
        if self._lost is not None and not self.is_busy:
            self._restore(now, self._lost)
        while self.waiting and not self.is_busy:
            if self._is_silent(now) and self._looks_for_a_rotation(now):
                break
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
                    self._silent_since, self._has_looked, self._turn = now, False, 0
                self._turn += 1
        actions, self._actions = self._actions, []
        return actions

    def _was_accepted_just_now(self, now: float) -> bool:
        return self._accepted is not None and now <= self._accepted_at + FREE

    def _is_silent(self, now: float) -> bool:
        """Returns whether the server takes long for a login with the published versions, which it has not refused."""
        since = self._silent_since
        return since is not None and since + LEAD <= now < since + LOST

    def _looks_for_a_rotation(self, now: float) -> bool:
        """Fetches the stages that show one, once for each silence, and returns whether there is something to wait for.

        Some servers delay the refusal of a password, so a silence may be one.
        """
        if not self._has_looked:
            stages = (PENDING, CURRENT, PREVIOUS) if self._is_untried else (PENDING, CURRENT)
            self._has_looked = not any(self._looks_at(now, stage, self.sources) for stage in stages)
        return not self._has_looked

    def _of_rotation(self) -> list[Versions]:
        """Returns the versions that the server may have instead of the published ones."""
        rotated = tuple(source for source in self.sources if self._is_rotated(source))
        former = self.sources if self._is_untried else ()
        stages = ((CURRENT, self._group.moved(self.sources)), (PENDING, rotated), (PREVIOUS, former))
        found = dict.fromkeys(self._differing(stage, sources) for stage, sources in stages)
        return [versions for versions in found if versions is not None]

    def _in_turn(self, now: float) -> Versions:
        """Returns the published versions, and while the server is silent in turn with them those of a rotation.

        The server has one of them and may be slow to refuse the others. A server that locks a user counts the refused
        logins in a row, so no version may be used again before each of the others was.
        """
        turns: list[Versions] = [self._published]
        if self._is_silent(now):
            turns += self._of_rotation()
        return turns[self._turn % len(turns)]

    def _is_slow(self, now: float) -> bool:
        """Returns whether the server is silent although no rotation is under way."""
        return (
            self._is_silent(now)
            and not self._of_rotation()
            and all(
                self._has_only_published(source, published)
                for source, published in zip(self.sources, self._published, strict=True)
            )
        )

    def _has_only_published(self, source: Source, published: str) -> bool:
        pending, current = (self._group.answer(stage, source) for stage in (PENDING, CURRENT))
        if pending is None or current is None or pending.failed or current.failed:
            return False
        if pending.version not in (None, published) and not self._is_left_over(source):
            return False
        return current.version in (None, self._group.pins.get(source, published))

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
            return self._in_turn(now)
        for stage in (PENDING, CURRENT):
            if self._looks_at(now, stage, self.sources):
                return None
        if self._publishes_current(now):
            return None
        if self._is_first_round() and self._has_tried_another:
            # The call has one more login, for a server that changes meanwhile.
            return self._after_all_were_refused(now)
        if (versions := self._differing(PENDING, self._rotating())) is not None:
            return versions
        young = tuple(source for source in self.sources if self._is_young(source))
        if self._looks_at(now, PREVIOUS, young):
            return None
        for stage, sources in ((PREVIOUS, young), (PENDING, self.sources)):
            if (versions := self._differing(stage, sources)) is not None:
                return versions
        return self._after_all_were_refused(now)

    def _after_all_were_refused(self, now: float) -> Versions | None:
        # (5)
        if self._unmade:
            self._retry_all(SHORT)  # a version is left
            return None
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
        stages = dict.fromkeys(
            None if versions == self._published else self._stage_of.get(versions)
            for versions in self._refused
        )
        self._actions.append(LogExhausted(self.sources, tuple(stages), after, is_locked=self._is_locked))
        return after

    def _forget(self) -> None:
        self._refused.clear()
        self._has_tried_another = False
        self._forget_at = None
        self._is_locked = False

    def _retry_all(self, after: float) -> None:
        self._actions += [Retry(call, after) for call in self.waiting]
        self.waiting.clear()

    def _end_lead(self, versions: Versions) -> None:
        if versions == self._published:
            self._silent_since = None
            self._is_untried = False
        if self._lead is not None and self._lead.versions == versions:
            self._lead = None

    # What the store has

    @property
    def is_busy(self) -> bool:
        return bool(self._awaited) or self._group.publisher is not None or self._making is not None

    def _looks_at(self, now: float, stage: Stage, sources: tuple[Source, ...]) -> bool:
        """Begins to fetch a stage, if this round has not, and returns whether there is something to wait for."""
        if (stage, sources) in self._round:
            return False
        self._round.add((stage, sources))
        if due := self._group.due(now, stage, sources):
            self._actions.append(Fetch(stage, due))
        self._awaited = self._group.fetching(stage, sources)
        if self._awaited:
            self._looked_at = now
        return bool(self._awaited)

    def _is_first_round(self) -> bool:
        """Returns whether no refusal was forgotten since the last success."""
        return self._back_off == 0 or (self._back_off == 1 and self._forget_at is not None)

    def _rotating(self) -> tuple[Source, ...]:
        """Returns the sources whose AWSPENDING is newer than AWSCURRENT, or may be.

        An older one is left over from a rotation that failed, or that somebody has overtaken by hand.
        """
        return tuple(source for source in self.sources if not self._is_left_over(source))

    def _is_left_over(self, source: Source) -> bool:
        pending, current = self._created_at(PENDING, source), self._created_at(CURRENT, source)
        return pending is not None and current is not None and pending < current

    def _is_rotated(self, source: Source) -> bool:
        """Returns whether AWSPENDING is newer than AWSCURRENT."""
        pending, current = self._created_at(PENDING, source), self._created_at(CURRENT, source)
        return pending is not None and current is not None and pending > current

    def _created_at(self, stage: Stage, source: Source) -> float | None:
        answer = self._group.answer(stage, source)
        return None if answer is None else answer.created_at

    def _is_young(self, source: Source) -> bool:
        current = self._group.answer(CURRENT, source)
        return current is not None and current.age is not None and current.age < YOUNG

    def _publishes_current(self, now: float) -> bool:
        """Begins to publish what AWSCURRENT is now, if it is something else, and returns whether it did.

        What is published together with it is fetched first.
        """
        group = self._group
        if self._publish_failed or not group.moved(self.sources):
            return False
        if self._looks_at(now, CURRENT, group.sources):
            return True
        if moved := group.moved(group.sources):
            group.publisher = self
            self._actions.append(Publish(moved))
        return bool(moved)

    def _differing(self, stage: Stage, sources: tuple[Source, ...]) -> Versions | None:
        """Returns the published versions with those of a stage, if that was not refused."""
        looked = {source: self._group.answer(stage, source) for source in sources}
        answers = {source: answer for source, answer in looked.items() if answer is not None}
        if any(answer.failed for answer in answers.values()):
            return None
        versions = tuple(
            answers[source].version or published if source in answers else published
            for source, published in zip(self.sources, self._published, strict=True)
        )
        if versions == self._published or versions in self._refused or versions in self._unmade:
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
        group, changed = self._group, self._changed_by(versions)
        group.publisher, group.accepting = self, changed
        for source in changed:
            current = group.answer(CURRENT, source)
            known = None if current is None or current.failed else current.version
            group.pins[source] = known or self._published[self.sources.index(source)]
        self._actions.append(PublishCandidate(generation, changed))

    def _restore(self, now: float, lost: Versions) -> None:
        """Begins to publish again what was accepted, if the stage that had it still has it."""
        stage = self._stage_of.get(lost)
        if stage is not None and self._looks_at(now, stage, self.sources):
            return
        if stage is not None and self._differing(stage, self.sources) == lost:
            self._make_candidate(lost)
        else:
            self._lost = None

    def _changed_by(self, versions: Versions) -> tuple[Source, ...]:
        triples = zip(self.sources, self._published, versions, strict=True)
        return tuple(source for source, published, version in triples if version != published)

    def _versions_in(self, generation: int) -> Versions | None:
        """Returns the versions that a generation has, or None if it is too old or was never made."""
        if generation in self.candidates:
            return self.candidates[generation].versions
        return next((versions for since, versions in reversed(self._history) if since <= generation), None)
