"""The extension process: one loop over events. The core waits for them. This module makes every decision.

The core has begun the start before Python runs. It has taken over the store, whose state is `starting`, read the
configuration, registered, and begun to fetch. With `start: before` it has not registered yet.

    fetched      publish; register, unless that has begun; ask for the next event if registered
    registered   ask for the next event if published
    invoke       fetch what is due, and ask for the next event when that has ended; with `snapstart: first-invoke`
                 the first one begins the first fetch
    asked        fetch what a reader asks for, and answer when that has ended; or decide about a login; with
                 `snapstart: first-invoke` the report of a restore begins the first fetch
    left         let the next call log in
    passed       answer calls that have waited; remove former generations and candidates; fetch what is due, where no
                 INVOKE comes
    unexpected   log it, and ask for the next event
    shutdown     remove the secrets, and end
    signal       the same
    failed       give up: readers, Lambda and the log get the reason
"""

from __future__ import annotations

import time

from . import __version__
from .core import CoreError, lib
from .extension import Extension, seconds_for_fetch
from .log import Log
from .publish import StartError, give_up, links_of, publish, remove_links, variables_of, wipe

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable

    from .attempts import Attempts
    from .extension import Event, Request
    from .fetch import Failure
    from .links import Links
    from .refresh import Refresher

EXIT_FAILED = 1
_HOLD = 0.5  # seconds; an invocation reaches a reader and this process at the same time (11.10)
_AFTER_RESTORE = 4.5  # seconds that the first fetch may take there; readers wait 5 s for it (11.10)
_IN_SNAPSHOT = (
    "SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as it is kept."
)
# Empty in the executable, whose modules are frozen.
_SLOWER = (
    ""
    if __spec__.origin == "frozen"
    else ", through an installed interpreter, which is slower than the executable"
)


def run(began: float) -> int:
    """Takes over from the core's beginning, runs to the end, and returns the exit code."""
    log = Log()
    log.hold()
    try:
        return Process(Extension(), log, began).run()
    finally:
        log.release()


class Process:
    """One life of the extension. It `began` at that time of the monotonic clock.

    Work comes before log lines: while it handles an event, it holds the log.
    """

    def __init__(self, extension: Extension, log: Log, began: float) -> None:
        self._environment = extension.environment()
        if self._environment.has_source:
            log.warn("KEYSTART_SOURCE has no effect any more: AWS's SDK in the core fetches. Remove it.")
        self._extension = extension
        self._log = log
        self._began = began
        self._writer = extension.writer()
        self._links: Links | None = None
        self._is_registered = False
        self._is_published = False
        self._published_at = 0.0
        self._generation = 0
        self._missing: list[Failure] = []  # the optional entries that could not be fetched
        self._has_asked_next = False
        # SnapStart: the fetch waits for the next invocation.
        self._can_defer = extension.is_deferred()
        self._is_deferred = self._can_defer
        self._first_fetch = 0  # its number
        self._held_until: float | None = None  # how long requests to refresh wait for an invocation
        self._refreshes: Refresher | None = None
        self._attempts: Attempts | None = None
        self._not_reported = ""  # why readers do not see that the first fetch has begun
        self._not_collected = ""  # why the last generation could not be removed
        self._early: dict[int, Request] = {}  # what readers ask before the first publish, by number

    def run(self) -> int:
        """Handles events until one ends the process, and returns the exit code."""
        try:
            if self._writer is not None:
                # Here, while the fetch waits for its answers.
                self._links = links_of(self._extension.plan(), self._writer)
                if self._extension.has_ttl():
                    self._refresher()
            while (code := self._handle(self._extension.wait(self._seconds_to_wait()))) is None:
                pass
        except StartError as error:
            self._fail(error)
        except CoreError as error:
            self._fail(StartError("Extension.Internal", error.message))
        except Exception as bug:
            # Without the error's text, which may hold fetched values.
            self._fail(StartError("Extension.Internal", place_of(bug)))
        else:
            return code
        return EXIT_FAILED

    def _handle(self, event: Event) -> int | None:
        """Handles an event, and returns the exit code if it is the last one."""
        self._log.hold()
        if event.kind == lib.KEYSTART_FAILED:
            raise StartError(event.name, event.text)
        if event.kind == lib.KEYSTART_SHUTDOWN:
            return self._wipe()
        if event.kind == lib.KEYSTART_SIGNAL:
            self._wipe()
            self._log.warn(f"{event.name}: the secrets are removed and the process ends.")
            return 128 + event.number
        if event.kind == lib.KEYSTART_FETCHED and event.number == self._first_fetch:
            self._publish()
        elif event.kind == lib.KEYSTART_INVOKE and not self._is_published:
            self._has_asked_next = False
            self._fetch_deferred(seconds_for_fetch(event.number))
        elif event.kind == lib.KEYSTART_REGISTERED:
            self._is_registered = True
        elif event.kind == lib.KEYSTART_UNEXPECTED:
            self._has_asked_next = False
            self._log.warn(f"An unexpected event is ignored: {event.text[:64]!r}.")
        else:
            self._refresh(event)
        if self._is_published:
            self._extension.register()  # does nothing if that has begun
        self._log.release()  # before the environment may freeze
        is_holding = self._refreshes is not None and self._refreshes.is_holding
        is_ready = self._is_published or self._is_deferred
        if is_ready and self._is_registered and not self._has_asked_next and not is_holding:
            self._has_asked_next = True
            self._extension.next()
        return None

    def _refresh(self, event: Event) -> None:
        """Handles an event of a refresh. Whatever fails there, readers keep what is published."""
        try:
            self._collect()
            if event.kind == lib.KEYSTART_INVOKE:
                self._has_asked_next = False
                self._refresher().look(event.number)
            elif event.kind == lib.KEYSTART_FETCHED:
                if self._attempts is None or not self._attempts.fetched(event.number):
                    self._refresher().fetched(event.number)
            elif event.kind == lib.KEYSTART_PASSED:
                self._pass()
            elif event.kind == lib.KEYSTART_LEFT:
                self._leave(event.number)
            else:
                self._ask(event.number, self._extension.take_request(event.number))
        except Exception as bug:
            self._recover(bug)

    def _recover(self, bug: Exception) -> None:
        """Logs a bug, and lets the next login begin again: what an aborted decision waits for may never come."""
        attempts, self._attempts = self._attempts, None
        if self._refreshes is not None:
            self._refreshes.listener = None
        self._log.error(bug.message if isinstance(bug, CoreError) else place_of(bug))
        if attempts is not None:
            attempts.give_up()

    def _refresher(self) -> Refresher:
        if self._refreshes is None:
            from .refresh import Refresher

            if self._writer is None:
                raise AssertionError("there is no store that could be refreshed")
            self._refreshes = Refresher(self._extension, self._writer, self._links, self._log)
            if self._is_published:
                self._refreshes.begin(self._generation, self._missing, self._published_at)
        return self._refreshes

    def _collect(self) -> None:
        """Removes generations whose time is over. Logs once what it cannot remove."""
        if self._writer is None or not self._is_published:
            return
        try:
            self._writer.collect()
        except CoreError as error:
            if error.message != self._not_collected:
                self._log.warn(error.message)
            self._not_collected = error.message
        else:
            self._not_collected = ""

    def _leave(self, number: int) -> None:
        """Notes a reader that is gone."""
        self._early.pop(number, None)
        if self._attempts is not None:
            self._attempts.left(number)

    def _ask(self, number: int, request: Request) -> None:
        """Takes the request of a reader."""
        if not self._is_published:
            self._early[number] = request
            if request.op == lib.KEYSTART_RESTORED:
                self._fetch_deferred(_AFTER_RESTORE)
            elif request.op == lib.KEYSTART_REFRESH and self._is_deferred and self._held_until is None:
                self._held_until = time.monotonic() + _HOLD
            return
        if request.op == lib.KEYSTART_REFRESH:
            self._refresher().asked(number, request.names)
            return
        if request.op == lib.KEYSTART_RESTORED:
            # (11.10) What a snapshot holds may be days old. Without a ttl nobody wants it fetched again.
            self._refresher().asked(number, None if self._extension.has_ttl() else [])
            return
        if self._attempts is None:
            from .attempts import Attempts

            if self._writer is None:
                raise AssertionError("there is no store to publish into")
            self._attempts = Attempts(self._extension, self._writer, self._refresher(), self._log)
        self._attempts.asked(number, request)

    def _pass(self) -> None:
        """Does what the time has come for."""
        if self._attempts is not None:
            self._attempts.passed()
        if self._is_timed:
            self._refresher().look()
        if self._held_until is not None and self._held_until <= time.monotonic():
            self._held_until = None
            self._answer_early(self._refresher().deferred)

    @property
    def _is_timed(self) -> bool:
        """Whether a refresh does not wait for an invocation, because nothing freezes."""
        return self._environment.is_managed and self._refreshes is not None and self._has_asked_next

    def _seconds_to_wait(self) -> float | None:
        """Returns how long to wait for an event; None for without end."""
        waits = []
        # What cannot be removed is tried again with the next event.
        if self._is_published and self._writer is not None and not self._not_collected:
            waits.append(self._writer.seconds_to_collect())
        if self._attempts is not None:
            waits.append(self._attempts.seconds_to_wait)
        if self._is_timed:
            waits.append(self._refresher().seconds_to_wait)
        if self._held_until is not None:
            waits.append(max(0.0, self._held_until - time.monotonic()))
        return min((wait for wait in waits if wait is not None), default=None)

    def _fetch_deferred(self, seconds: float | None) -> None:
        """Begins the first fetch, if it was deferred and there is time for it."""
        if not self._is_deferred or seconds == 0:
            return
        self._report_start()
        self._first_fetch = self._extension.start_fetch(seconds)
        self._is_deferred = False
        self._held_until = None
        self._began = time.monotonic()

    def _report_start(self) -> None:
        """Reports to readers that the first fetch begins. Logs once if it cannot, because the fetch may still help."""
        if self._writer is None:
            return
        try:
            if self._writer.is_gone():
                self._extension.reopen()
                self._log.warn(f"The store at {self._writer.root} was removed. It is made again.")
            else:
                self._writer.start()
        except CoreError as error:
            if error.message != self._not_reported:
                self._log.warn(f"Readers cannot see that the first fetch has begun: {error.message}")
            self._not_reported = error.message
        else:
            self._not_reported = ""

    def _publish(self) -> None:
        fetch = self._extension.fetch()
        if fetch is None or self._writer is None:
            raise AssertionError("a fetch has ended that was not begun")
        if self._environment.is_snapshot and not self._can_defer:
            self._log.warn(_IN_SNAPSHOT)
        now = time.time()
        due_at = 0 if self._refreshes is None else self._refreshes.due_at(now)
        try:
            self._generation = publish(
                self._links, self._writer, self._log, fetch, self._began, due_at, remark=_SLOWER
            )
        except StartError as error:
            if not self._can_defer:
                raise
            # Lambda has taken the snapshot, so the environment stays; the next invocation tries again (11.10).
            self._is_deferred = True
            self._log_failed_start(error)
            give_up(error, self._writer, self._links, self._log)
            failures = fetch.failures()
            self._answer_early(lambda _names: failures)
            return
        self._is_published = True
        self._published_at = now
        self._missing = fetch.failures()
        if not self._environment.has_own_wrapper and (names := variables_of(self._extension.plan())):
            self._log_wrapper(names, is_other=self._environment.has_wrapper)
        if self._refreshes is not None:
            self._refreshes.begin(self._generation, self._missing, now)
        early, self._early = self._early, {}
        for number, request in early.items():
            try:
                self._ask(number, request)
            except Exception as bug:
                self._recover(bug)

    def _answer_early(self, failures: Callable[[list[str] | None], list[Failure]]) -> None:
        """Answers whoever waits for a first fetch, with the failures of these names. Logins continue to wait."""
        for number, request in list(self._early.items()):
            if request.op in (lib.KEYSTART_REFRESH, lib.KEYSTART_RESTORED):
                del self._early[number]
                self._extension.answer(number, 0, failures(request.names))

    def _log_wrapper(self, names: str, *, is_other: bool) -> None:
        """Logs that the function may not get its variables."""
        if is_other:
            self._log.info(
                f"The configuration has env: for {names}, and AWS_LAMBDA_EXEC_WRAPPER names another program. Unless "
                "that starts /opt/keystart-env, the function does not get these variables.",
                event="other_wrapper",
            )
        else:
            self._log.warn(
                f"The configuration has env: for {names}, and AWS_LAMBDA_EXEC_WRAPPER is not set, so the function does "
                "not get these variables. Set it to /opt/keystart-env, unless an image starts keystart-env itself.",
                event="no_wrapper",
            )

    def _log_failed_start(self, error: StartError) -> None:
        """Logs why a start failed, as the core does where the process ends."""
        required = error.failures()
        self._log.error(
            error.message,
            event="start_failed",
            code=error.error_type,
            failed=len(required),
            duration_ms=round((time.monotonic() - self._began) * 1000),
            version=__version__,
        )
        for failure in required:
            self._log.error(str(failure), event="secret_failed", **failure.members)

    def _wipe(self, reason: str | None = None) -> int:
        """Removes the secrets and the links to them, and returns the exit code."""
        done = self._writer is None or wipe(self._writer, self._links, self._log, reason)
        return 0 if done else EXIT_FAILED

    def _fail(self, error: StartError) -> None:
        """Removes what was published, and gives up. A failure on the way does not hide the reason."""
        self._log.hold()
        try:
            if self._is_published:
                self._wipe(error.message)
            else:
                remove_links(self._links, self._log)
        finally:
            self._extension.fail(error.error_type, error.message, error.fetch)


def place_of(bug: Exception) -> str:
    """Returns a sentence about a bug that names its place. The text of the error may hold anything."""
    where = bug.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = (
        ""
        if where is None
        else f" in {where.tb_frame.f_code.co_filename.rpartition('/')[2]}:{where.tb_lineno}"
    )
    return f"Keystart failed in a way it should not: {type(bug).__name__}{place}. Please report it."
