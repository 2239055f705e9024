"""Logins of `attempt`: runs what `logins` decides, and reports to it what became of that.

The process loads this module with the first request about a login. Values of secrets stay in the core: Python sees
fingerprints, which are equal for equal values.
"""

from __future__ import annotations

import time

from .core import CoreError, lib
from .fetch import Failure
from .logins import Logins
from .logins.actions import Fetch as FetchStage
from .logins.actions import LogExhausted, MakeCandidate, Publish, PublishCandidate, Retry, Use
from .logins.sources import CURRENT, LOOK
from .refresh import is_same_reason, list_names
from .store import Draft

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .extension import Extension, Request
    from .fetch import Fetch
    from .log import Log
    from .logins.actions import Action
    from .logins.sources import Stage
    from .refresh import Refresher
    from .store import Writer

_NO_SUCH_STAGE = "ResourceNotFoundException"  # also if the secret does not exist


class _Run:
    """A fetch of a stage that has not ended."""

    def __init__(self, stage: Stage, entries: Collection[int], fetch: Fetch) -> None:
        self.stage = stage
        self.entries = entries
        self.fetch = fetch


class Clock:
    """Seconds that also pass while the environment is frozen.

    A freeze may stop the monotonic clock, and the wall clock may be set back. The one that went further since the last
    look counts, so a wall clock that is set forward costs at most one more login.
    """

    def __init__(self) -> None:
        self._monotonic, self._wall = time.monotonic(), time.time()
        self._now = 0.0

    def now(self) -> float:
        """Returns the time, which never runs backwards."""
        monotonic, wall = time.monotonic(), time.time()
        self._now += max(monotonic - self._monotonic, wall - self._wall)
        self._monotonic, self._wall = monotonic, wall
        return self._now


class Attempts:
    """All logins of an environment."""

    def __init__(self, extension: Extension, writer: Writer, refreshes: Refresher, log: Log) -> None:
        self._extension = extension
        self._writer = writer
        self._refreshes = refreshes
        self._log = log
        self._clock = Clock()
        self._plan = refreshes.plan.handle
        self._generation = refreshes.generation
        self._versions = self._published_versions()
        self._logins = Logins(
            self._generation,
            self._versions,
            extension.places(),
            refreshes.groups,
            is_later=refreshes.has_published,
        )
        self._runs: dict[int, _Run] = {}
        # What was fetched last, and when, for as long as a decision may need the values.
        self._fetches: dict[tuple[Stage, int], tuple[float, Fetch]] = {}
        self._reasons: dict[tuple[Stage, int], Failure] = {}
        # Why something could not be written, by what it is. A full disk makes it fail again each second.
        self._refusals: dict[str, str] = {}
        refreshes.listener = self.refreshed

    @property
    def seconds_to_wait(self) -> float | None:
        """How long the process waits for other events: until a call needs an answer, or values are to be forgotten."""
        times = [] if self._logins.wake_at is None else [self._logins.wake_at]
        if not self._logins.is_busy:
            times += [at + LOOK for at, _ in self._fetches.values()]
        return max(0.0, min(times) - self._clock.now()) if times else None

    def asked(self, number: int, request: Request) -> None:
        """Takes a request about a login. A report is answered when what follows from it is done."""
        name = request.name
        credential = self._refreshes.credential_of(name)
        if not credential:
            self._extension.answer(number, self._generation, [self._refreshes.unknown(name)])
            return
        self._refreshes.publish_if_gone()
        now = self._clock.now()
        if (wake_at := self._logins.wake_at) is not None and now >= wake_at:
            # Many requests must not hold up the answers to those that wait.
            self._run(self._logins.passed(now))
        if request.op == lib.KEYSTART_TRY:
            for candidate in self._logins.candidates(now):
                if not self._writer.has(candidate):
                    self._logins.lost(candidate)  # the function has removed its folder
            self._run(self._logins.asked(now, number, credential))
            return
        if request.op == lib.KEYSTART_ACCEPTED:
            actions = self._logins.accepted(now, credential, request.generation)
        else:
            actions = self._logins.rejected(now, credential, request.generation, locked=request.is_locked)
        self._run(actions)
        self._extension.answer(number, self._generation)

    def left(self, number: int) -> None:
        """Notes that a client that asked is gone."""
        self._run(self._logins.left(self._clock.now(), number))

    def passed(self) -> None:
        """Answers whoever has waited for long enough, and removes what nobody needs any more."""
        now = self._clock.now()
        self._run(self._logins.passed(now))
        if not self._logins.is_busy:
            kept = {key: value for key, value in self._fetches.items() if now < value[0] + LOOK}
            self._fetches = kept

    def give_up(self) -> None:
        """Lets the calls that wait ask again, because a decision broke off."""
        for call in self._logins.waiting():
            self._extension.answer(call, self._generation, retry_after=0.0)

    def fetched(self, number: int) -> bool:
        """Takes the result of a fetch of a stage. Returns False if it is another fetch."""
        run = self._runs.pop(number, None)
        if run is None:
            return False
        failures = {failure.name: failure for failure in run.fetch.failures()}
        for line in run.fetch.retries():
            self._log.debug(line)
        missing, failed = set(), set()
        for entry in run.entries:
            failure = failures.get(self._refreshes.entries[entry].name)
            if failure is None:
                self._reasons.pop((run.stage, entry), None)
            elif failure.code == _NO_SUCH_STAGE or self._refreshes.is_missing(entry):
                # (11.1) An optional entry without a value holds up nobody.
                missing.add(entry)
            else:
                failed.add(entry)
                self._note(run.stage, entry, failure)
        self._look(run.stage, run.fetch, set(run.entries) - missing - failed, failed, missing)
        return True

    def refreshed(
        self, fetch: Fetch | None, fetched: Collection[int], failed: Iterable[int], missing: Iterable[int]
    ) -> None:
        """Notes the end of a refresh. Without a fetch, everything was published again."""
        if self._generation != self._refreshes.generation:
            self._run(self._published(is_anew=fetch is None))
        self._look(CURRENT, fetch, fetched, failed, missing)

    def _look(
        self,
        stage: Stage,
        fetch: Fetch | None,
        fetched: Collection[int],
        failed: Iterable[int],
        missing: Iterable[int],
    ) -> None:
        """Reports what the store said about a stage."""
        now = self._clock.now()
        actions: list[Action] = []
        for entry in fetched:
            version, created_at = self._versions[entry], None
            if fetch is not None:
                self._fetches[stage, entry] = (now, fetch)
                fingerprint, created_at = fetch.fingerprint(self._plan, entry)
                version = str(fingerprint)
            age = None if created_at is None else time.time() - created_at
            actions += self._logins.fetched(now, stage, entry, version, age)
        for entry in missing:
            actions += self._logins.fetched(now, stage, entry, None)
        for entry in failed:
            actions += self._logins.not_fetched(now, stage, entry)
        self._run(actions)

    def _published(self, *sources: int, is_anew: bool = False) -> list[Action]:
        """Reports a new generation, with what has changed and with these sources."""
        now, before = self._clock.now(), self._versions
        self._generation, self._versions = self._refreshes.generation, self._published_versions()
        versions = {
            entry: version
            for entry, version in self._versions.items()
            if version != before[entry] or entry in sources
        }
        return self._logins.published(now, self._generation, versions, is_anew=is_anew)

    def _published_versions(self) -> dict[int, str]:
        fingerprints = (
            self._writer.fingerprint(self._plan, entry) for entry in range(len(self._refreshes.entries))
        )
        return {entry: str(fingerprint) for entry, fingerprint in enumerate(fingerprints)}

    def _run(self, actions: list[Action]) -> None:
        """Does what was decided, in its order, and what follows from it."""
        while actions:
            first, *others = actions
            actions = [*others, *self._do(first)]

    def _do(self, action: Action) -> list[Action]:
        """Does one thing, and returns what follows from it."""
        if isinstance(action, Use):
            is_watched = self._logins.leads(action.call)
            self._extension.answer(
                action.call, self._generation, candidate=action.candidate, is_watched=is_watched
            )
        elif isinstance(action, Retry):
            self._extension.answer(action.call, self._generation, retry_after=action.after)
        elif isinstance(action, FetchStage):
            return self._fetch(action)
        elif isinstance(action, Publish):
            return self._publish(action)
        elif isinstance(action, MakeCandidate):
            return self._make_candidate(action)
        elif isinstance(action, PublishCandidate):
            return self._publish_candidate(action)
        elif isinstance(action, LogExhausted):
            names = self._names(action.credential)
            *others, last = [stage or "the published version" for stage in action.stages]
            tried = f"{', '.join(others)} and {last}" if others else last
            what = (
                f"has locked the account of {names}" if action.is_locked else f"refused {names} with {tried}"
            )
            cure = "Unlock the account." if action.is_locked else "Make the secret and the server agree."
            self._log.warn(f"The server {what}. One login tries again in {action.after:.0f} s. {cure}")
        return []

    def _fetch(self, action: FetchStage) -> list[Action]:
        now, stage = self._clock.now(), action.stage
        if stage == CURRENT:
            refused = self._refreshes.fetch(action.sources, is_urgent=True)
            return [follows for entry in refused for follows in self._logins.not_fetched(now, CURRENT, entry)]
        entries = self._refreshes.entries
        with_stages = [entry for entry in action.sources if entries[entry].has_stages]
        actions = []
        for entry in set(action.sources).difference(with_stages):
            actions += self._logins.fetched(now, stage, entry, None)
        if with_stages:
            try:
                number, fetch = self._extension.refresh(with_stages, self._refreshes.plan.deadline, stage)
            except CoreError as error:
                for entry in with_stages:
                    name = entries[entry].name
                    self._note(stage, entry, Failure(name, name, error.code, error.message, optional=False))
                    actions += self._logins.not_fetched(now, stage, entry)
            else:
                self._runs[number] = _Run(stage, with_stages, fetch)
        return actions

    def _publish(self, action: Publish) -> list[Action]:
        fetches = {
            entry: self._fetches[CURRENT, entry][1]
            for entry in action.sources
            if (CURRENT, entry) in self._fetches
        }
        try:
            if len(fetches) == len(action.sources) and self._refreshes.publish(fetches):
                self._refusals.clear()
                return self._published(*action.sources)
        except CoreError as error:
            self._refuse(f"{self._names(action.sources)} could not be published", error)
        return self._logins.not_published(self._clock.now(), action.sources)

    def _make_candidate(self, action: MakeCandidate) -> list[Action]:
        draft = Draft()
        candidate = None
        try:
            for entry in action.sources:
                draft.copy(self._fetches[action.stage, entry][1], self._plan, entry)
            candidate = self._writer.candidate(draft)
        except CoreError as error:
            self._refuse(f"{action.stage} of {self._names(action.sources)} cannot be tried", error)
        now = self._clock.now()
        if candidate is None:
            return self._logins.not_made(now, action.credential)
        self._log.debug(f"candidate {candidate} has {action.stage} of {self._names(action.sources)}")
        return self._logins.made(now, action.credential, candidate)

    def _publish_candidate(self, action: PublishCandidate) -> list[Action]:
        names = self._names(action.sources)
        try:
            if self._refreshes.accept(action.candidate):
                self._log.info(
                    f"published generation {self._refreshes.generation} with the version of {names} that the server "
                    "accepted"
                )
                self._refusals.clear()
                return self._published(*action.sources)
        except CoreError as error:
            self._refuse(f"The accepted version of {names} could not be published", error)
        return self._logins.not_published(self._clock.now(), action.sources)

    def _refuse(self, what: str, error: CoreError) -> None:
        """Logs what could not be written, unless the reason is known. The message names a new folder each time."""
        if self._refusals.get(what) != error.code:
            self._log.warn(f"{what}: {error.message}")
        self._refusals[what] = error.code

    def _note(self, stage: Stage, entry: int, failure: Failure) -> None:
        """Logs why a stage cannot be fetched, unless its reason is known."""
        known = self._reasons.get((stage, entry))
        self._reasons[stage, entry] = failure
        if known is None or not is_same_reason(known, failure):
            self._log.warn(
                f"{stage} of {failure.label} could not be fetched: {failure.code}: {failure.message}"
            )

    def _names(self, entries: Collection[int]) -> str:
        return list_names([self._refreshes.entries[entry].name for entry in entries])
