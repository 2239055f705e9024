"""Is the extension process: registers, prefetches beside the runtime's start, publishes, waits, wipes.

root prepared, state starting  ->  configuration  ->  register  ->  fetch, publish  ->  next … SHUTDOWN  ->  wipe
with `start: before`                                  fetch, publish  ->  register

The core has begun with it: as far as the fetch where it reads the configuration by itself, else as far as the root.
"""

from __future__ import annotations

from .core import ApiError, CoreError
from .extensions_api import ExtensionsApi
from .fetch import end
from .log import Log
from .publish import Failed, give_up, links_of, publish, wipe
from .start import Begun

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from .core import Task
    from .links import Links
    from .publish import Fetch
    from .store import Writer
else:
    import _signal as signal  # what `signal` is made of; it takes 4 ms more, for enumerations

EXIT_FAILED = 1


class Terminated(BaseException):
    """A signal came. Not an Exception, so that nothing on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(environ: Mapping[str, str], name: str, began: float, signals: int) -> int:
    """Runs as the extension of that name until SHUTDOWN and gives the exit code; the core has begun the start.

    `signals` are the bits of those that end it; the core holds them back wherever nobody waits.
    """
    log = Log()
    log.hold()
    answer = Answer()
    answered = [number for number in range(1, 64) if signals >> number & 1]
    for number in answered:
        signal.signal(number, answer)
    process = Process(environ, log, name, began, answered)
    try:
        return process.run()
    except Terminated as terminated:
        log.hold()
        process.wipe()
        log.warn(f"{_name(terminated.number)}: the secrets are removed and the process ends.")
        return 128 + terminated.number
    finally:
        log.release()


class Answer:
    """The handler of signals. Only the first raises: a second must not come between it and the end of the wipe."""

    def __init__(self) -> None:
        self._came = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if not self._came:
            self._came = True
            raise Terminated(number)


def _name(number: int) -> str:
    names = (
        name
        for name in dir(signal)
        if name.startswith("SIG") and "_" not in name and getattr(signal, name) == number
    )
    return next(names, f"signal {number}")


class Process:
    """One life of the extension; it `began` at that time of the monotonic clock.

    Deeds come before words: while secrets are removed, or readers and Lambda wait for a reason, the log is held.
    """

    def __init__(
        self, environ: Mapping[str, str], log: Log, name: str, began: float, signals: Sequence[int] = ()
    ) -> None:
        self._environ = environ
        self._log = log
        self._began = began
        self._signals = signals
        self._api = ExtensionsApi(environ["AWS_LAMBDA_RUNTIME_API"], name)
        self._writer: Writer | None = None
        self._links: Links | None = None
        self._published = False

    def run(self) -> int:
        self._log.hold()
        if self._environ.get("KEYSTART_SOURCE", "") not in ("", "native"):
            self._log.warn(
                "KEYSTART_SOURCE has no effect any more: AWS's SDK in the core fetches. Remove it."
            )
        try:
            self._start()
            self._log.release()
            self._wait()
            self._log.hold()
            return self.wipe()
        except ApiError as error:
            # Lambda cannot be reached, or has refused: it is not asked again.
            self._end(Failed("Extension.ApiFailed", str(error)), to_lambda=False)
        except Failed as failed:
            self._end(failed)
        except CoreError as error:
            self._end(Failed("Extension.Internal", error.message))
        except Exception as bug:
            # Without its text, which may hold what was fetched.
            self._end(Failed("Extension.Internal", _told(bug)))
        finally:
            self._log.release()
        return EXIT_FAILED

    def wipe(self) -> int:
        """Removes the secrets and the links to them, and gives the exit code."""
        done = self._writer is None or wipe(self._writer, self._links, self._log)
        return 0 if done else EXIT_FAILED

    def _start(self) -> None:
        try:
            begun = Begun()
        except CoreError as error:
            raise Failed("Extension.StoreUnusable", error.message) from None
        self._writer = begun.writer
        if begun.registered is not None:
            self._api.register(begun.registered)
        if begun.fetch is None:  # a registration that failed was raised before
            raise Failed("Extension.ConfigurationInvalid", begun.problems)
        self._links = links_of(begun.links, begun.writer)
        if self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            self._log.warn(
                "SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as it is kept."
            )
        publish(self._links, begun.writer, self._log, _going_on(begun.fetch, self._log), self._began)
        self._published = True
        if not self._api.registered:
            self._api.register()

    def _wait(self) -> None:
        """Waits for SHUTDOWN; freezes and thaws with the environment."""
        while (kind := self._api.next()) != "SHUTDOWN":
            self._log.warn(f"An event that was not asked for is ignored: {kind[:64]!r}.")

    def _end(self, failed: Failed, *, to_lambda: bool = True) -> None:
        """Removes what was published, else reports to the readers and Lambda why nothing was; then to the log.

        What fails on the way keeps nobody else from the reason.
        """
        self._log.hold()
        try:
            if self._published:
                self.wipe()
            elif self._writer is not None:
                give_up(failed, self._writer, self._links, self._log)
        finally:
            for line in failed.lines():
                self._log.error(line)
            if to_lambda:
                self._report(failed)

    def _report(self, failed: Failed) -> None:
        try:
            # init/error is legal only for who is registered, which under `start: before` nobody is yet.
            if not self._api.registered:
                self._api.register()
            self._api.report(failed.error_type, failed.message)
        except (ApiError, CoreError) as error:
            self._log.error(str(error))


def _going_on(task: Task, log: Log) -> Fetch:
    return lambda: end(task, log)


def _told(bug: Exception) -> str:
    where = bug.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = (
        ""
        if where is None
        else f" in {where.tb_frame.f_code.co_filename.rpartition('/')[2]}:{where.tb_lineno}"
    )
    return f"Keystart failed in a way it should not: {type(bug).__name__}{place}. Please report it."
