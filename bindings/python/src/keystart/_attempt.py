"""Logs in with a secret while it is rotated (contract §12).

The core asks the extension and says what comes next. This module runs the logins, waits, and chooses the error. Its
name begins with "_" because an import of keystart.attempt would replace the function of that name.
"""

from __future__ import annotations

import functools
import re
import select
import sys
import time
from collections.abc import Coroutine

from . import core, errors
from .core import ffi, lib

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ._types import Rejected, T
    from .rejections import Verdict

    Classify = Callable[[Exception, BaseException | None], Verdict | None]

# What keystart_attempt_report takes.
_ACCEPTED, _REJECTED, _LOCKED, _EXPIRED = range(4)
_READABLE = 1
_CO_COROUTINE = 0x80  # of a code object: inspect, which says so too, takes long to load
_SOURCES = 3  # that one note names


def attempt(
    store: Any,
    snapshot_of: Callable[[Any], Any],
    name: str,
    fn: Callable[[Any], Any],
    rejected: Rejected | None,
    budget: float,
) -> Any:
    """Runs `Keystart.attempt` with the store of a client; `snapshot_of` makes a `Snapshot` of a store."""
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {type(fn).__name__}")
    call = _Call(store, snapshot_of, name, _classifier(rejected), budget)
    return _awaited(call, fn) if _is_coroutine_function(fn) else _run(call, fn)


def _run(call: _Call, fn: Callable[[Any], T]) -> T:
    try:
        while (snapshot := _next_login(call)) is not None:
            try:
                result = fn(snapshot)
            except Exception as error:
                if not call.continues_after(error):
                    raise
            else:
                _refuse_awaitable(result)
                call.report_accepted()
                _next_login(call)
                return result
        raise call.error()
    finally:
        call.close()


async def _awaited(call: _Call, fn: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    try:
        while (snapshot := await _next_login_awaited(call)) is not None:
            try:
                result = await fn(snapshot)
            except Exception as error:
                if not call.continues_after(error):
                    raise
            else:
                call.report_accepted()
                await _next_login_awaited(call)
                return result
        raise call.error()
    finally:
        call.close()


def _next_login(call: _Call) -> Any:
    """Waits for the next login. None: the call has ended."""
    while (step := call.step()).wait_ms:
        if step.descriptor < 0:
            time.sleep(step.wait_ms / 1000)
        else:
            ready = select.poll()
            ready.register(step.descriptor, select.POLLIN if step.readiness == _READABLE else select.POLLOUT)
            ready.poll(step.wait_ms)
    return call.snapshot


async def _next_login_awaited(call: _Call) -> Any:
    """Does the same without blocking the event loop."""
    import asyncio  # only callers with an event loop pay for it

    while (step := call.step()).wait_ms:
        if step.descriptor < 0:
            await asyncio.sleep(step.wait_ms / 1000)
            continue
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        is_readable = step.readiness == _READABLE
        watch, forget = (
            (loop.add_reader, loop.remove_reader) if is_readable else (loop.add_writer, loop.remove_writer)
        )
        watch(step.descriptor, ready.set)
        try:
            await asyncio.wait_for(ready.wait(), step.wait_ms / 1000)
        except asyncio.TimeoutError:
            pass  # the core finds that the time is over
        finally:
            forget(step.descriptor)
    return call.snapshot


class _Call:
    """One call: its place in the core, and the logins that the server rejected."""

    __slots__ = (
        "_attempt",
        "_classify",
        "_expired",
        "_handled",
        "_login",
        "_name",
        "_rejected",
        "_snapshot_of",
        "_store",
    )

    def __init__(
        self, store: Any, snapshot_of: Callable[[Any], Any], name: str, classify: Classify, budget: float
    ) -> None:
        self._name = core.check_name(name)
        out = ffi.new("keystart_attempt **")
        core.call(lib.keystart_attempt_open, store, *core.text(name), core.milliseconds(budget), out)
        self._attempt = ffi.gc(out[0], lib.keystart_attempt_free)
        self._store = store
        self._snapshot_of = snapshot_of
        self._classify = classify
        # Python makes it the context of every error that fn raises, but it says nothing about the logins.
        self._handled = sys.exc_info()[1]
        self._login: Any = None
        self._rejected: list[_Rejection] = []
        self._expired: errors.SnapshotExpired | None = None

    def step(self) -> Any:
        """Does what can be done without waiting."""
        step = ffi.new("keystart_attempt_step *")
        core.call(lib.keystart_attempt_next, self._attempt, self._store, step)
        self._login = None if step.snapshot == core.NULL else _Login(step, self._snapshot_of)
        return step

    @property
    def snapshot(self) -> Any:
        """The snapshot of the login that comes next. None: the call has ended."""
        return None if self._login is None else self._login.snapshot

    def report_accepted(self) -> None:
        """Reports that the login succeeded."""
        self._report(_ACCEPTED)

    def continues_after(self, error: Exception) -> bool:
        """Reports a login that failed. Returns false if its error is that of the call."""
        if isinstance(error, errors.SnapshotExpired):
            self._expired = error
            return self._report(_EXPIRED)
        verdict = self._classify(error, self._handled)
        if verdict is None or not self._report(_LOCKED if verdict == "locked" else _REJECTED):
            return False
        self._rejected.append(_Rejection(error, self._login))
        return True

    def error(self) -> Exception:
        """Returns the error of the call, with a note about each other login that was rejected (contract 12.9)."""
        if self._expired is not None and not self._rejected:
            return self._expired
        of_published = (each for each in self._rejected if not each.login.is_candidate)
        raised = next(of_published, self._rejected[-1])
        for each in self._rejected:
            if each is not raised:
                _add_note(raised.error, each.note(self._name))
        return raised.error

    def _report(self, outcome: int) -> bool:
        is_counted = ffi.new("uint32_t *")
        core.call(lib.keystart_attempt_report, self._attempt, self._store, outcome, is_counted)
        return bool(is_counted[0])

    def close(self) -> None:
        """Closes the connections to the extension, and forgets the errors, whose tracebacks lead back here."""
        ffi.release(self._attempt)
        self._rejected.clear()
        self._login = self._expired = self._handled = None


class _Login:
    """A login that may take place."""

    __slots__ = ("generation", "is_candidate", "snapshot")

    def __init__(self, step: Any, snapshot_of: Callable[[Any], Any]) -> None:
        self.snapshot = snapshot_of(ffi.gc(step.snapshot, lib.keystart_store_free))
        self.generation: int = step.generation
        self.is_candidate = bool(step.is_candidate)


class _Rejection:
    """A login that the server rejected."""

    __slots__ = ("error", "login")

    def __init__(self, error: Exception, login: _Login) -> None:
        self.error = error
        self.login = login

    def note(self, name: str) -> str:
        """Returns a line about the login. A driver's message may hold a value, so it is not in there."""
        versions = list(dict.fromkeys(self._versions(name)))
        more = f" and {len(versions) - _SOURCES} more" if len(versions) > _SOURCES else ""
        used = ", ".join(versions[:_SOURCES]) or f"generation {self.login.generation}"
        code = _code_of(self.error)
        kind = type(self.error).__name__ + (f" {code}" if code else "")
        return f"Keystart: the server also rejected a login with {used}{more}: {kind}"

    def _versions(self, name: str) -> Iterator[str]:
        snapshot = self.login.snapshot
        for each in snapshot.names():
            if each == name or each.startswith(f"{name}/"):
                source = snapshot.info(each)["source"]
                stages, version = source.get("version_stages"), source.get("version_id")
                stage = f"{' and '.join(stages)} of " if stages else ""
                yield f"{stage}{source['id']}" + (f", version {version}" if version else "")


def _code_of(error: BaseException) -> str | None:
    """Returns the code that a driver's error carries, if it is short enough not to be a value."""
    from .rejections import with_causes

    # A wrapper's code may be no code of the server: SQLAlchemy's is a page of its documentation.
    causes = [each for each in with_causes(error) if not _is_of_sqlalchemy(each)]
    servers = [code for each in causes for code in _codes_of_server(each)]
    for code in [*servers, *(getattr(each, "code", None) for each in causes)]:
        if isinstance(code, (int, str)) and re.fullmatch("[A-Za-z0-9_-]{1,16}", str(code)):
            return str(code)
    return None


def _codes_of_server(error: BaseException) -> Iterator[object]:
    """Yields what drivers keep a server's code in."""
    for member in ("sqlstate", "pgcode", "errno"):
        yield getattr(error, member, None)
    if error.args and type(error.args[0]) is int:  # PyMySQL and mysqlclient
        yield error.args[0]


def _is_of_sqlalchemy(error: BaseException) -> bool:
    return any(each.__module__.startswith("sqlalchemy.") for each in type(error).__mro__)


def _add_note(error: Exception, note: str) -> None:
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:  # nothing prints it, but loggers that know __notes__ do
        vars(error)["__notes__"] = [*getattr(error, "__notes__", ()), note]


def _classifier(rejected: Rejected | None) -> Classify:
    """Returns what says of an error whether it is a rejection (contract 12.7)."""
    if rejected is None:
        return _of_table
    classes = (rejected,) if isinstance(rejected, type) else rejected
    if isinstance(classes, (tuple, list)):
        if not classes or not all(
            isinstance(each, type) and issubclass(each, BaseException) for each in classes
        ):
            raise TypeError("rejected must be classes of exceptions, or a function")
        return functools.partial(_of_classes, tuple(classes))
    if not callable(rejected) or _is_coroutine_function(rejected):
        raise TypeError("rejected must be a class of exceptions, several, or a function without await")
    return lambda error, _: _of_predicate(rejected(error))


def _of_table(error: Exception, handled: BaseException | None) -> Verdict | None:
    from .rejections import classify  # its tables are loaded when a login fails

    return classify(error, handled)


def _of_classes(
    classes: tuple[type[BaseException], ...], error: Exception, handled: BaseException | None
) -> Verdict | None:
    from .rejections import with_causes

    if not any(isinstance(each, classes) for each in with_causes(error, handled)):
        return None
    return "locked" if _of_table(error, handled) == "locked" else "rejected"


def _of_predicate(answer: object) -> Verdict | None:
    if isinstance(answer, str) and answer == "locked":
        return "locked"
    return "rejected" if answer else None


def _is_coroutine_function(fn: Any) -> bool:
    while isinstance(fn, functools.partial):
        fn = fn.func
    functions = (fn, getattr(type(fn), "__call__", None))  # noqa: B004 (not to find out whether it is callable)
    return any(getattr(getattr(each, "__code__", None), "co_flags", 0) & _CO_COROUTINE for each in functions)


def _refuse_awaitable(result: object) -> None:
    """Raises TypeError for a coroutine that nobody awaits: it has not logged in yet."""
    if hasattr(type(result), "__await__"):
        if isinstance(result, Coroutine):
            result.close()  # or Python warns that nobody awaited it
        raise TypeError(
            "fn returned an awaitable: pass a coroutine function (async def), and await the result"
        )
