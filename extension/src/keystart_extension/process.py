"""The extension process: one loop over events. The core waits for them. This module makes every decision.

The core has begun the start before Python runs. It has taken over the store, whose state is `starting`, read the
configuration, registered, and begun to fetch. With `start: before` it has not registered yet.

    fetched      publish; register, unless that has begun; ask for the next event if registered
    registered   ask for the next event if published
    unexpected   log it, and ask for the next event
    shutdown     remove the secrets, and end
    signal       the same
    failed       give up: readers, Lambda and the log get the reason
"""

from __future__ import annotations

from .core import CoreError, lib
from .extension import Extension
from .log import Log
from .publish import StartError, links_of, publish, remove_links, wipe

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .extension import Event
    from .links import Links

EXIT_FAILED = 1
_SNAPSTART = (
    "SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as it is kept."
)


def run(environ: Mapping[str, str], began: float) -> int:
    """Takes over from the core's beginning, runs to the end, and returns the exit code."""
    log = Log()
    log.hold()
    if environ.get("KEYSTART_SOURCE", "") not in ("", "native"):
        log.warn("KEYSTART_SOURCE has no effect any more: AWS's SDK in the core fetches. Remove it.")
    try:
        return Process(environ, Extension(), log, began).run()
    finally:
        log.release()


class Process:
    """One life of the extension. It `began` at that time of the monotonic clock.

    Work comes before log lines: while it handles an event, it holds the log.
    """

    def __init__(self, environ: Mapping[str, str], extension: Extension, log: Log, began: float) -> None:
        self._environ = environ
        self._extension = extension
        self._log = log
        self._began = began
        self._writer = extension.writer()
        self._links: Links | None = None
        self._is_registered = False
        self._is_published = False

    def run(self) -> int:
        """Handles events until one ends the process, and returns the exit code."""
        try:
            if self._writer is not None:
                # Here, while the fetch waits for its answers.
                self._links = links_of(self._extension.plan(), self._writer)
            while (code := self._handle(self._extension.wait())) is None:
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
        if event.kind == lib.KEYSTART_FETCHED:
            self._publish()
        elif event.kind == lib.KEYSTART_REGISTERED:
            self._is_registered = True
        else:
            self._log.warn(f"An event that was not asked for is ignored: {event.text[:64]!r}.")
        if self._is_published:
            self._extension.register()  # does nothing if that has begun
        self._log.release()  # before the environment may freeze
        if self._is_published and self._is_registered:
            self._extension.next()
        return None

    def _publish(self) -> None:
        fetch = self._extension.fetch()
        if fetch is None or self._writer is None:
            raise AssertionError("a fetch has ended that was not begun")
        if self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            self._log.warn(_SNAPSTART)
        publish(self._links, self._writer, self._log, fetch, self._began)
        self._is_published = True

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
