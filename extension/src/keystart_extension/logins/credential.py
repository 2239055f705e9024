"""The decisions about one credential. The numbers in comments are the steps of `attempt`, as in the package."""

from __future__ import annotations

from .actions import Fetch, LogExhausted, MakeCandidate, Publish, PublishCandidate, Retry, Use
from .sources import CURRENT, LOOK, PENDING, PREVIOUS

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import TypeAlias

    from .actions import Action
    from .sources import Group, Source, Stage

    # The version of each source of a credential: its version id. Where that is missing or constant, whatever text the
    # process makes up each time when the bytes are others.
    Versions: TypeAlias = tuple[str, ...]

# All in seconds.
FREE = 0.2  # an accepted version needs nobody to go first for so long
LEAD = 1.0  # the first call has so long to report; then the next one goes
GRACE = 0.005  # the last report of a call may come so long after the end of its connection
LOST = 10.0  # an outcome that has not come for so long never comes
HOLD = 0.5  # no call waits longer for an answer: after 1 s without one, a reader logs in by itself
LATE = 1.0  # a login that began before a refusal of its version may be reported as accepted so long after it
BACK_OFF = (1.0, 5.0, 30.0, 60.0)  # until refused versions are tried again; the last one repeats
PATIENT = 10.0  # after nothing was left, a call is asked to wait SHORT at most for so long
SHORT = 1.0
YOUNG = 24 * 3600.0  # AWSPREVIOUS may still be the server's if AWSCURRENT is not older
KEPT = 30.0  # a candidate is reused for so long; the store keeps it for 60 s

_HISTORY = 32  # generations of a credential whose versions are remembered, for late reports


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


class Credential:
    """The sources of a name, and what is known of logins with them."""

    def __init__(
        self,
        sources: tuple[Source, ...],
        group: Group,
        generation: int,
        versions: Versions,
        *,
        is_untried: bool,
    ) -> None:
        self.sources = sources
        self.group = group
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
        """Takes a call that wants to log in."""
        self.waiting[call] = now
        return self._decide_anew(now)

    def left(self, now: float, call: int) -> list[Action]:
        """Notes that a call ended without a report."""
        was_waiting = self.waiting.pop(call, None) is not None
        if self.is_led_by(call) and self._lead is not None:
            # Its report may be on the way, over another connection.
            self._lead.ends_at = min(self._lead.ends_at, now + GRACE)
            self._silent_since = None
        elif not was_waiting:
            return []
        return self._decide_anew(now)

    def is_led_by(self, call: int) -> bool:
        """Returns whether this call logs in first."""
        return self._lead is not None and self._lead.call == call

    def was_accepted(self, now: float, generation: int) -> list[Action]:
        """Notes a login that the server accepted."""
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
        """Notes a login that the server rejected."""
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
                self.group.pins.pop(source, None)
        self._refused[versions] = now
        self._has_tried_another |= generation in self.candidates
        if locked:
            self._is_locked = True
            if self._forget_at is None or now >= self._forget_at:
                self._begin_back_off(now)
        return self._decide_anew(now)

    def awaits(self, key: tuple[Stage, Source]) -> bool:
        """Returns whether a decision waits for this stage of a source."""
        return key in self._awaited

    def was_answered(self, now: float, key: tuple[Stage, Source]) -> list[Action]:
        """Notes that its group has the answer about a stage of a source."""
        self._awaited.discard(key)
        return self._decide(now)

    def loses(self, changed: set[Source]) -> bool:
        """Returns whether these sources lose a version that was accepted."""
        return any(source in self.group.pins for source in changed.intersection(self.sources))

    def was_published(
        self, now: float, generation: int, versions: Versions, *, is_lost: bool = False
    ) -> list[Action]:
        """Notes a new current generation. If it `is_lost`, an accepted version was published before."""
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
        """Notes a publish that failed, `is_own` if this credential waited for it."""
        self._publish_failed |= is_own
        return self._decide(now)

    def was_made(self, now: float, generation: int) -> list[Action]:
        """Notes the candidate that it asked for."""
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
        """Notes that the candidate could not be made."""
        if self._making is not None:
            self._unmade.add(self._making)
        self._making = self._lost = None
        return self._decide(now)

    def passed(self, now: float) -> list[Action]:
        """Decides again, and answers whoever has waited for long enough."""
        actions = self._decide_anew(now)
        late = [call for call, since in self.waiting.items() if now >= since + HOLD]
        for call in late:
            del self.waiting[call]
        return [*actions, *(Retry(call, 0.0) for call in late)]

    @property
    def wake_at(self) -> float | None:
        """When a call has waited for long enough, or the next one goes first."""
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
        stages = ((CURRENT, self.group.moved(self.sources)), (PENDING, rotated), (PREVIOUS, former))
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
        pending, current = (self.group.answer(stage, source) for stage in (PENDING, CURRENT))
        if pending is None or current is None or pending.failed or current.failed:
            return False
        if pending.version not in (None, published) and not self._is_left_over(source):
            return False
        return current.version in (None, self.group.pins.get(source, published))

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
        """Whether a decision waits for the store or for the writer."""
        return bool(self._awaited) or self.group.publisher is not None or self._making is not None

    def _looks_at(self, now: float, stage: Stage, sources: tuple[Source, ...]) -> bool:
        """Begins to fetch a stage, if this round has not, and returns whether there is something to wait for."""
        if (stage, sources) in self._round:
            return False
        self._round.add((stage, sources))
        if due := self.group.due(now, stage, sources):
            self._actions.append(Fetch(stage, due))
        self._awaited = self.group.fetching(stage, sources)
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
        answer = self.group.answer(stage, source)
        return None if answer is None else answer.created_at

    def _is_young(self, source: Source) -> bool:
        current = self.group.answer(CURRENT, source)
        return current is not None and current.age is not None and current.age < YOUNG

    def _publishes_current(self, now: float) -> bool:
        """Begins to publish what AWSCURRENT is now, if it is something else, and returns whether it did.

        What is published together with it is fetched first.
        """
        group = self.group
        if self._publish_failed or not group.moved(self.sources):
            return False
        if self._looks_at(now, CURRENT, group.sources):
            return True
        if moved := group.moved(group.sources):
            group.publisher = self.sources
            self._actions.append(Publish(moved))
        return bool(moved)

    def _differing(self, stage: Stage, sources: tuple[Source, ...]) -> Versions | None:
        """Returns the published versions with those of a stage, if that was not refused."""
        looked = {source: self.group.answer(stage, source) for source in sources}
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
        group, changed = self.group, self._changed_by(versions)
        group.publisher, group.accepting = self.sources, changed
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
