"""Refreshes: decides what is fetched again and when, publishes what changed, and answers readers that ask.

The process loads this module with the first event that may need it, so that no cold start waits for it. The numbers
in comments are clauses of the contract.
"""

from __future__ import annotations

import time

from . import __version__
from .core import CoreError
from .extension import seconds_for_fetch
from .fetch import Failure, Fetch
from .publish import StartError, publish
from .refresh_plan import RefreshPlan
from .schedule import Schedule
from .store import Draft

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from .extension import Extension
    from .links import Links
    from .log import Log
    from .store import Writer

# In seconds: whoever asks for a source so soon after its fetch began gets the outcome of that fetch.
_SHARED = 1.0
_SHOWN = 10  # names in a log line
_DEFERRED = 'Nothing is fetched before the first invocation, because the configuration says "snapstart: first-invoke".'


class _Run:
    """A fetch that has not ended."""

    def __init__(
        self,
        fetch: Fetch,
        entries: frozenset[int],
        *,
        is_own: bool,
        is_whole: bool,
        began: float,
        until: float,
    ) -> None:
        self.fetch = fetch
        self.entries = entries
        self.is_own = is_own  # the process began it, and not a reader
        self.is_whole = is_whole  # it publishes everything again
        self.until = until  # by the monotonic clock
        self.began = began
        self.is_repeated = False
        self.is_continued = False  # another fetch of the same entries has begun in its place
        self.changed = 0  # the secrets that it changed in what is published


class _Request:
    """A reader that waits for its answer."""

    def __init__(self, entries: frozenset[int], unknown: list[str], runs: set[int], *, is_all: bool) -> None:
        self.entries = entries
        self.unknown = unknown
        self.runs = runs
        self.is_all = is_all


class Refresher:
    """All refreshes of a process. A refresh takes nothing away, whatever fails (11.4)."""

    def __init__(self, extension: Extension, writer: Writer, links: Links | None, log: Log) -> None:
        self._extension = extension
        self._writer = writer
        self._links = links
        self._log = log
        self.plan = RefreshPlan(extension.plan())
        self.entries = self.plan.entries
        writer.watch(self.plan.handle)
        self.generation = self._first_generation = 0
        # Notes the end of each fetch: the fetch, unless everything was published again, and which of its entries
        # have values, have failed, and are still missing.
        self.listener: Callable[[Fetch | None, set[int], set[int], set[int]], None] | None = None
        self._failures: dict[int, Failure] = {}  # of the entries whose last fetch failed
        self._missing: set[int] = set()  # the optional entries without values
        self._runs: dict[int, _Run] = {}
        self._requests: dict[int, _Request] = {}
        self._began: dict[int, float] = {}  # when the last fetch of an entry began
        self._is_gone = False  # from the moment at which that was noticed until everything is published again
        self._whole_began = 0.0  # when everything was fetched again the last time
        self._schedule: Schedule | None = None

    def begin(self, generation: int, missing: Iterable[Failure], published_at: float) -> None:
        """Notes the first publish, and of the optional entries that are not in it."""
        self.generation = self._first_generation = generation
        names = {entry.name: index for index, entry in enumerate(self.entries)}
        self._failures = {names[failure.name]: failure for failure in missing}
        self._missing = set(self._failures)
        # The fetch of the start has just ended, as far as readers know.
        self._began = dict.fromkeys(range(len(self.entries)), published_at)
        if self.plan.ttl is not None:
            due = [index for index, entry in enumerate(self.entries) if entry.can_become_due]
            self._schedule = Schedule(due, self.plan.ttl, published_at)

    def due_at(self, checked_at: float) -> float:
        """Returns when what was fetched then is fetched again; 0 for never."""
        return 0 if self.plan.ttl is None else checked_at + self.plan.ttl

    @property
    def has_published(self) -> bool:
        """Whether something was published after the first publish."""
        return self.generation != self._first_generation

    @property
    def is_holding(self) -> bool:
        """Whether an invocation waits for a fetch that the process began."""
        return any(run.is_own for run in self._runs.values())

    @property
    def seconds_to_wait(self) -> float | None:
        """How long the process waits for other events until something is due."""
        if self._schedule is None or self.plan.ttl is None or self.is_holding:
            return None
        due = self._schedule.next_due()
        # Not sooner, because what is due may have to wait for another fetch; not later, because the
        # clock may be set back.
        return None if due is None else min(max(_SHARED, due - time.time()), self.plan.ttl)

    def look(self, deadline_ms: int = 0) -> None:
        """Begins to fetch what is due, unless the invocation ends too soon. 0 stands for no end."""
        now = time.time()
        left = seconds_for_fetch(deadline_ms)
        if left == 0 or self._schedule is None or self.is_holding:
            return
        left = self.plan.deadline if left is None else min(left, self.plan.deadline)
        self._schedule.spread()
        if self._must_publish_anew():
            if not self._schedule.is_pausing(now) and not self._is_publishing_anew(now):
                self._begin(range(len(self.entries)), left, is_own=True, is_whole=True)
            return
        # (11.1) What moves together is fetched together, even after a failure of a part of it.
        groups = {self.entries[entry].group for entry in self._schedule.due(now)}
        running = self._running()
        due = [
            index
            for index, entry in enumerate(self.entries)
            if entry.group in groups and entry.can_become_due and index not in running
        ]
        if due:
            self._begin(due, left, is_own=True)

    def asked(self, request: int, names: list[str] | None) -> None:
        """Takes a reader's request, and answers it at once or when its fetches have ended (9.5, 9.6)."""
        entries, unknown = self._wanted(names)
        now = time.time()
        self.publish_if_gone()
        self.fetch([entry for entry in entries if not self._is_fresh(entry, now)])
        runs = {number for number, run in self._living().items() if run.entries & entries}
        self._requests[request] = _Request(entries, unknown, runs, is_all=names is None)
        self._answer()

    def publish_if_gone(self) -> None:
        """Begins to publish everything again if readers cannot find it any more (11.6)."""
        if self._must_publish_anew() and not self._is_publishing_anew(time.time()):
            self._begin(range(len(self.entries)), self.plan.deadline, is_own=False, is_whole=True)

    def fetch(self, entries: Iterable[int], *, is_urgent: bool = False) -> list[int]:
        """Begins to fetch entries for a request, unless a fetch of them runs. Returns those that it cannot fetch.

        If it is urgent, a fetch that began more than a second ago does not count: another of its entries may hang.
        """
        running, now = self._running(), time.time()
        if is_urgent:
            running = {entry for entry in running if self._is_fresh(entry, now)}
        new = [entry for entry in entries if entry not in running]
        if new and self._begin(new, self.plan.deadline, is_own=False) is None:
            return new
        return []

    def publish(self, fetches: Mapping[int, Fetch]) -> bool:
        """Publishes entries as they were just fetched, whatever was accepted before. Returns whether it did."""
        draft = Draft()
        draft.schedule(self.due_at(min(self._began[entry] for entry in fetches)), 0)
        for entry, fetch in fetches.items():
            self._writer.refused(self.plan.handle, entry)
            draft.copy(fetch, self.plan.handle, entry)
        generation, _, _ = self._refresh(draft)
        return generation > 0

    def accept(self, candidate: int) -> bool:
        """Publishes what a candidate brought. Returns whether it did."""
        try:
            generation = self._writer.accept(candidate)
        except CoreError as error:
            self._log_after_publish(error)
            return True
        if generation is None:
            return False
        self.generation = generation
        return True

    def credential_of(self, name: str) -> tuple[int, ...]:
        """Returns the entries from the sources of that secret or folder (12.11); none if no entry brings it."""
        sources = {entry.source for entry in self.entries if entry.holds(name)}
        return tuple(index for index, entry in enumerate(self.entries) if entry.source in sources)

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """The entries that move together (11.1)."""
        groups: dict[int, list[int]] = {}
        for index, entry in enumerate(self.entries):
            groups.setdefault(entry.group, []).append(index)
        return [tuple(group) for group in groups.values()]

    def is_missing(self, entry: int) -> bool:
        """Returns whether an entry is optional and has no value."""
        return entry in self._missing

    def unknown(self, name: str) -> Failure:
        """Returns the failure of a name that no entry brings (9.7)."""
        return Failure(
            name, name, "NotConfigured", "No entry of the configuration publishes it.", optional=False
        )

    def deferred(self, names: list[str] | None) -> list[Failure]:
        """Returns the failures of a request while nothing may be fetched (11.10)."""
        entries, unknown = self._wanted(names)
        wanted = [self.entries[entry].name for entry in sorted(entries)]
        failures = [Failure(name, name, "Deferred", _DEFERRED, optional=False) for name in wanted]
        return failures + [self.unknown(name) for name in unknown]

    def fetched(self, number: int) -> None:
        """Takes the result of a fetch: publishes what changed, and answers the readers that waited for it."""
        run = self._runs.pop(number, None)
        if run is None:
            return  # it could not begin, which was noted then
        for line in run.fetch.retries():
            self._log.debug(line)
        failures = {failure.name: failure for failure in run.fetch.failures()}
        failed = {entry for entry in run.entries if self.entries[entry].name in failures}
        for entry in failed:
            self._note(entry, failures[self.entries[entry].name])
        try:
            if run.is_whole:
                self._publish_anew(run, failed)
            else:
                self._publish(run, failed)
        except CoreError as error:
            # The error of a publish of everything may come after it.
            self.generation = self._writer.published() or self.generation
            self._fail(run.entries - failed, error.code, error.message)
        finally:
            for request in self._requests.values():
                request.runs.discard(number)
            self._answer()
        self._report(run, failed)
        if not run.is_continued:
            self._log_end(run)

    def _log_end(self, run: _Run) -> None:
        """Logs the numbers of a refresh, whether it changed anything or not: for programs, so in text only at DEBUG."""
        failed = len(run.entries & self._failures.keys())
        took = max(0, round((time.time() - run.began) * 1000))
        good = len(run.entries) - failed
        write = self._log.info if self._log.is_json else self._log.debug
        write(
            f"refreshed {good} of {len(run.entries)} entries in {took} ms; secrets with a new value: {run.changed}",
            event="refresh",
            secrets=good,
            failed=failed,
            changed=run.changed,
            generation=self.generation,
            duration_ms=took,
            version=__version__,
        )

    def _report(self, run: _Run, failed: set[int]) -> None:
        """Reports to the logins what a fetch brought, except for entries whose outcome a newer fetch decides."""
        if self.listener is None:
            return
        ended = {entry for entry in run.entries if self._began[entry] <= run.began}
        # The values of a publish of everything were moved. They are what is published.
        fetch = None if run.is_whole else run.fetch
        self.listener(fetch, ended - failed, ended & failed - self._missing, ended & failed & self._missing)

    def _must_publish_anew(self) -> bool:
        return self._is_gone or self._writer.is_gone()

    def _is_publishing_anew(self, now: float) -> bool:
        """Returns whether everything is being fetched, or was so recently that the outcome counts (9.6)."""
        is_running = any(run.is_whole for run in self._living().values())
        return is_running or 0 <= now - self._whole_began < _SHARED

    def _living(self) -> dict[int, _Run]:
        """Returns the fetches that can still bring something. One that a freeze interrupted cannot."""
        now = time.time()
        longest = self.plan.deadline + _SHARED
        return {number: run for number, run in self._runs.items() if 0 <= now - run.began <= longest}

    def _running(self) -> set[int]:
        """Returns the entries that are being fetched."""
        return {entry for run in self._living().values() for entry in run.entries}

    def _begin(
        self, entries: Collection[int], seconds: float, *, is_own: bool, is_whole: bool = False
    ) -> _Run | None:
        now = time.time()
        if is_whole:
            self._whole_began = now
        try:
            number, fetch = self._extension.refresh(entries, seconds)
        except CoreError as error:
            self._fail(entries, error.code, error.message)
            return None
        for entry in entries:
            self._began[entry] = now  # now only the outcome of this fetch counts
        until = time.monotonic() + seconds
        run = _Run(fetch, frozenset(entries), is_own=is_own, is_whole=is_whole, began=now, until=until)
        self._runs[number] = run
        return run

    def _publish(self, run: _Run, failed: set[int]) -> None:
        # (11.1) An optional entry that had no value before holds up nobody.
        held = {self.entries[entry].group for entry in failed - self._missing}
        # A newer fetch has begun since. Its outcome counts, and may be published already.
        held |= {self.entries[entry].group for entry in run.entries if self._began[entry] > run.began}
        good = {entry for entry in run.entries - failed if self.entries[entry].group not in held}
        draft = Draft()
        draft.schedule(self.due_at(run.began), self._retry_at(failed))
        for entry in good:
            draft.copy(run.fetch, self.plan.handle, entry)
        for entry in failed:
            draft.mark(self._failures[entry])
        generation, changed, lost = self._refresh(draft)
        if lost:
            self._fetch_lost(run, lost)
            return
        run.changed = len(changed)
        if generation:
            for line in run.fetch.warnings():
                self._log.warn(line)
        self._missing -= good
        for entry in run.entries - failed:
            if self._began[entry] <= run.began:
                self._succeed(entry, run.began)

    def _refresh(self, draft: Draft) -> tuple[int, list[str], list[str]]:
        """Publishes a draft, and returns what `Writer.refresh` does."""
        try:
            generation, changed, lost = self._writer.refresh(draft)
        except CoreError as error:
            self._log_after_publish(error)
            return self.generation, [], []
        if generation:
            self.generation = generation
            self._log.info(f"published generation {generation} with {_listed(changed)}")
        return generation, changed, lost

    def _log_after_publish(self, error: CoreError) -> None:
        """Logs an error that came after a publish (5.12). Raises it if nothing was published."""
        published = self._writer.published()
        if published == self.generation:
            raise error
        self.generation = published
        self._log.warn(error.message)

    def _retry_at(self, failed: Iterable[int]) -> float:
        """Returns when the first of the entries that failed is fetched again; 0 for never."""
        if self._schedule is None:
            return 0
        return min((self._schedule.due_at(entry) for entry in failed if entry in self._schedule), default=0)

    def _publish_anew(self, run: _Run, failed: set[int]) -> None:
        """Publishes everything under a root that is made again (11.6)."""
        if not self._is_gone:
            self._log.warn(f"The store at {self._writer.root} was removed. The secrets are published again.")
        self._is_gone = True
        if not all(self._failures[entry].optional for entry in failed):
            return
        self._extension.reopen()
        self._writer.watch(self.plan.handle)
        due_at = self.due_at(run.began)
        try:
            self.generation = publish(
                self._links, self._writer, self._log, run.fetch, time.monotonic(), due_at
            )
        except StartError as error:
            raise CoreError("store_unwritable", error.message) from None
        self._is_gone = False
        self._missing = failed
        run.changed = run.fetch.count
        for entry in run.entries - failed:
            self._succeed(entry, run.began)

    def _fetch_lost(self, run: _Run, names: list[str]) -> None:
        """Fetches again, with the entries whose files the function has removed or changed."""
        groups = {facts.group for facts in self.entries if facts.name in names}
        lost = {entry for entry, facts in enumerate(self.entries) if facts.group in groups}
        left = run.until - time.monotonic()
        again = None
        if not run.is_repeated and left > 0:
            again = self._begin(run.entries | lost, left, is_own=run.is_own)
        if again is None:
            message = "The files of the secret in the store are gone or were changed. Keep other programs out of it."
            self._fail(run.entries, "FilesMissing", message)
            return
        again.is_repeated = run.is_continued = True
        for number, other in self._runs.items():
            if other is again:
                for request in self._requests.values():
                    if request.entries & again.entries:
                        request.runs.add(number)

    def _fail(self, entries: Collection[int], code: str, message: str) -> None:
        for entry in entries:
            name = self.entries[entry].name
            self._note(entry, Failure(name, name, code, message, optional=False))

    def _note(self, entry: int, failure: Failure) -> None:
        """Notes a failure, and logs it unless its reason is known."""
        known = self._failures.get(entry)
        self._failures[entry] = failure
        if self._schedule is not None and entry in self._missing:
            self._schedule.succeed(entry, time.time())  # it has no value as before, so there is no hurry
        elif self._schedule is not None:
            self._schedule.fail(entry, time.time())
        if known is None or not is_same_reason(known, failure):
            self._log.warn(
                f"{failure.label} could not be refreshed: {failure.code}: {failure.message}",
                event="refresh_failed",
                **failure.members,
            )

    def _succeed(self, entry: int, began: float) -> None:
        if self._schedule is not None:
            self._schedule.succeed(entry, began)
        if self._failures.pop(entry, None) is not None:
            name = self.entries[entry].name
            self._log.info(f"{name} can be refreshed again", event="refresh_recovered", secret=name)

    def _is_fresh(self, entry: int, now: float) -> bool:
        return 0 <= now - self._began[entry] < _SHARED

    def _wanted(self, names: list[str] | None) -> tuple[frozenset[int], list[str]]:
        """Returns the entries of these names with all that move together with them, and the names without any."""
        if names is None:
            return frozenset(range(len(self.entries))), []
        groups: set[int] = set()
        unknown = []
        for name in names:
            found = {entry.group for entry in self.entries if entry.holds(name)}
            groups |= found
            if not found:
                unknown.append(name)
        wanted = (index for index, entry in enumerate(self.entries) if entry.group in groups)
        return frozenset(wanted), unknown

    def _answer(self) -> None:
        """Answers the requests that wait for nothing more."""
        for number, request in list(self._requests.items()):
            if request.runs:
                continue
            del self._requests[number]
            failures = [
                self._failures[entry]
                for entry in sorted(request.entries)
                # Without a value before and after: nobody who asks for everything misses it.
                if entry in self._failures and not (request.is_all and entry in self._missing)
            ]
            failures += map(self.unknown, request.unknown)
            self._extension.answer(number, self.generation, failures)


def is_same_reason(known: Failure, failure: Failure) -> bool:
    """Returns whether a failure need not be logged again."""
    # The message of this code has the time that was left, which differs each time.
    return known.code == failure.code and (
        failure.code == "DeadlineExceeded" or known.message == failure.message
    )


def _listed(names: list[str]) -> str:
    changed = "1 changed secret" if len(names) == 1 else f"{len(names)} changed secrets"
    return f"{changed}: {list_names(names)}"


def list_names(names: list[str]) -> str:
    """Lists names for a log line, the first ten of them."""
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(names[:_SHOWN]) + more
