"""A login that survives a rotation, where Python differs. The cases of the contract hold what all languages share."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keystart
import keystart.testing
import pytest

from tests.conformance.scripted import ScriptedWriter

from .test_refresh import open_descriptors


class RefusedError(Exception):
    """What a server answers to a wrong password. Its message holds what it should not."""

    sqlstate = "28P01"


def answer(generation: int | None = 3, candidate: int | None = None, retry: int | None = None) -> Any:
    document = {"format": "keystart.control/1", "ok": True, "generation": generation}
    return {"json": {**document, "candidate": candidate, "retry_after_ms": retry, "failures": {}}}


PENDING = {
    "change": {
        "generation": 4,
        "secrets": {"db": "pending"},
        "current": "generations/3",
        "manifest": {
            "set": {
                "/secrets/db/source/version_stages": ["AWSPENDING"],
                "/secrets/db/source/version_id": "v-4",
            }
        },
    },
    "line": answer(3, 4),
}
DONE = {"line": answer()}
ROTATION = [DONE, DONE, PENDING, DONE]
LATER = {"line": answer(retry=60_000)}


def writer(root: Path, answers: list[Any], **script: Any) -> ScriptedWriter:
    return ScriptedWriter(root, {"answers": answers, **script})


def operations(asked: ScriptedWriter) -> list[str]:
    return [request["op"] for request in asked.requests]


def login(secrets: Any) -> str:
    password: str = secrets.get("db")
    if password != "pending":
        raise RefusedError(f"wrong password {password}")
    return password


def rejected_login(secrets: Any) -> None:
    raise RefusedError(f"wrong password {secrets.get('db')}")


async def login_awaited(secrets: Any) -> str:
    await asyncio.sleep(0)
    return login(secrets)


is_refused = functools.partial(keystart.attempt, rejected=RefusedError)


def test_the_function_of_the_module_uses_the_default_client(store: Path) -> None:
    with writer(store, ROTATION) as asked:
        assert is_refused("db", login) == "pending"
    assert operations(asked) == ["try", "rejected", "try", "accepted"]


def test_a_coroutine_function_is_awaited(store: Path) -> None:
    with writer(store, ROTATION) as asked:
        assert asyncio.run(is_refused("db", login_awaited)) == "pending"
    assert operations(asked) == ["try", "rejected", "try", "accepted"]


class Callable:
    async def __call__(self, secrets: Any) -> str:
        return login(secrets)

    async def method(self, secrets: Any) -> str:
        return login(secrets)


@pytest.mark.parametrize(
    "fn", [Callable(), Callable().method, functools.partial(Callable.method, Callable())]
)
def test_each_kind_of_coroutine_function_is_awaited(store: Path, fn: Any) -> None:
    with writer(store, ROTATION):
        assert asyncio.run(is_refused("db", fn)) == "pending"


def test_the_event_loop_continues_while_an_attempt_waits(store: Path) -> None:
    async def count() -> int:
        turns = 0
        task = asyncio.ensure_future(is_refused("db", login_awaited))
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert task.result() == "pending"
        return turns

    slow = [{**one, "delay_ms": 30} for one in ROTATION]
    with writer(store, [{"line": answer(retry=30)}, *slow]):
        assert asyncio.run(count()) > 10


@pytest.mark.parametrize(
    ("answers", "fn"),
    [
        ([{"closes": False}], login_awaited),
        ([{"line": answer(), "closes": False}], lambda _: asyncio.sleep(60)),
        ([{"line": answer(), "closes": False}, {"closes": False}], login_awaited),
        ([LATER], login_awaited),
    ],
    ids=["while it asks", "during the login", "while it reports", "while it pauses"],
)
def test_a_cancelled_attempt_leaves_no_connection_open(store: Path, answers: list[Any], fn: Any) -> None:
    async def fn_awaited(secrets: Any) -> Any:
        return await fn(secrets)

    async def cancel() -> None:
        task = asyncio.ensure_future(is_refused("db", fn_awaited, budget=100))
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with writer(store, answers, counts=True) as asked:
        asyncio.run(cancel())
    assert asked.requests[-1] == {"open": 0}


def test_an_awaitable_that_nobody_would_await_is_refused(store: Path) -> None:
    without_types: Any = keystart.attempt
    with writer(store, [DONE]) as asked, pytest.raises(TypeError, match="async def"):
        without_types("db", lambda secrets: login_awaited(secrets))
    assert operations(asked) == ["try"]


def test_the_other_rejections_are_notes_without_their_messages(store: Path) -> None:
    with writer(store, [DONE, DONE, PENDING, DONE, LATER]), pytest.raises(RefusedError) as raised:
        is_refused("db", rejected_login)
    assert type(raised.value) is RefusedError
    assert str(raised.value) == "wrong password value of db\n"
    assert notes(raised.value) == [
        "Keystart: the server also rejected a login with AWSPENDING of test/db, version v-4: RefusedError 28P01"
    ]
    if sys.version_info >= (3, 11):
        assert "AWSPENDING" in "".join(traceback.format_exception(raised.value))


def test_the_code_in_a_note_is_the_server_s_and_not_that_of_a_wrapper(store: Path) -> None:
    wrapper = type("OperationalError", (Exception,), {"__module__": "sqlalchemy.exc", "code": "e3q8"})
    pooled = type("PoolError", (Exception,), {"code": "pool"})

    def fn(secrets: Any) -> None:
        secrets.get("db")
        error = pooled()
        error.__cause__ = RefusedError(1045, "Access denied")
        raise wrapper() from error

    with writer(store, [DONE, DONE, PENDING, DONE, LATER]), pytest.raises(wrapper) as raised:
        keystart.attempt("db", fn, rejected=wrapper)
    (note,) = notes(raised.value)
    assert note.endswith(": OperationalError 28P01")


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def test_the_error_keeps_its_cause_its_context_and_its_traceback(store: Path) -> None:
    cause = ValueError("cause")

    def fn(secrets: Any) -> None:
        raise RefusedError(secrets.get("db")) from cause

    with writer(store, [DONE, DONE, PENDING, DONE, LATER]), pytest.raises(RefusedError) as raised:
        is_refused("db", fn)
    assert raised.value.__cause__ is cause
    assert raised.value.__context__ is None
    assert "fn" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


def test_an_error_that_the_caller_handles_is_not_a_cause_of_the_login(store: Path) -> None:
    def fn(secrets: Any) -> None:
        secrets.get("db")
        raise ValueError("another")

    def call_while_handling() -> None:
        try:
            raise RefusedError
        except RefusedError:
            is_refused("db", fn)

    with writer(store, [DONE]) as asked, pytest.raises(ValueError, match="another"):
        call_while_handling()
    assert operations(asked) == ["try"]


@pytest.mark.parametrize(
    ("rejected", "counts"),
    [
        (RefusedError, True),
        ((KeyError, RefusedError), True),
        ([RefusedError], True),
        (Exception, True),
        (KeyError, False),
        (lambda error: "password" in str(error), True),
        (lambda error: "nothing" in str(error), False),
    ],
)
def test_rejections_are_what_the_caller_says(store: Path, rejected: Any, counts: bool) -> None:
    with writer(store, ROTATION) as asked:
        if counts:
            assert keystart.attempt("db", login, rejected=rejected) == "pending"
        else:
            with pytest.raises(RefusedError):
                keystart.attempt("db", login, rejected=rejected)
    assert ("rejected" in operations(asked)) is counts


def test_a_cause_of_one_of_the_classes_counts(store: Path) -> None:
    def fn(secrets: Any) -> str:
        try:
            return login(secrets)
        except RefusedError as error:
            raise RuntimeError("the pool failed") from error

    with writer(store, ROTATION):
        assert is_refused("db", fn) == "pending"


def test_an_error_of_the_predicate_comes_out(store: Path) -> None:
    with writer(store, [DONE]) as asked, pytest.raises(ZeroDivisionError):
        keystart.attempt("db", login, rejected=lambda _: 1 / 0)
    assert operations(asked) == ["try"]


@pytest.mark.parametrize("rejected", ["28P01", 7, (), [], (RefusedError, 7), int, login_awaited])
def test_a_rejected_of_another_type_is_refused(store: Path, rejected: Any) -> None:
    with writer(store, [DONE]) as asked, pytest.raises(TypeError, match="rejected must be"):
        keystart.attempt("db", login, rejected=rejected)
    assert asked.requests == []


def test_other_arguments_of_a_wrong_type_are_refused(store: Path) -> None:
    anything: Any = keystart.attempt
    with pytest.raises(TypeError, match="fn must be callable"):
        anything("db", "login")
    with pytest.raises(TypeError, match="budget_ms"):
        anything("db", login, budget_ms=2000)
    for budget in (float("nan"), float("inf"), -1, "2", True, 10**400):
        with pytest.raises(keystart.InvalidOption, match="The budget must be"):
            anything("db", login, budget=budget)


def test_a_function_that_swallows_the_rejection_has_succeeded(store: Path) -> None:
    def fn(secrets: Any) -> str:
        try:
            return login(secrets)
        except RefusedError:
            return "swallowed"

    with writer(store, [DONE]) as asked:
        assert is_refused("db", fn) == "swallowed"
    assert operations(asked) == ["try", "accepted"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_passes_through(store: Path, error: type[BaseException]) -> None:
    def fn(secrets: Any) -> None:
        secrets.get("db")
        raise error

    with writer(store, [DONE]) as asked, pytest.raises(error):
        is_refused("db", fn)
    assert operations(asked) == ["try"]


def read_by(call: str) -> Any:
    """Returns a login that reads nothing, or reads in this way."""
    return {
        "path": lambda secrets: secrets.path("db"),
        "secret": lambda secrets: secrets.secret("db").reveal(),
        "get_bytes": lambda secrets: secrets.get_bytes("db"),
        "snapshot": lambda secrets: secrets.snapshot().get("db"),
        "names": lambda secrets: secrets.names(),
        "info": lambda secrets: secrets.info("db"),
        "client": lambda _: keystart.get("db"),
    }[call]


@pytest.mark.parametrize("call", ["path", "secret", "get_bytes", "snapshot", "names", "info", "client"])
def test_a_login_counts_if_it_read_a_value_or_a_path(store: Path, call: str) -> None:
    with writer(store, [DONE]) as asked:
        keystart.attempt("db", read_by(call))
    counts = call not in ("names", "info", "client")
    assert operations(asked) == ["try", "accepted"] if counts else ["try"]


def test_a_snapshot_that_the_store_outran_is_replaced(store: Path) -> None:
    newer = {"change": {"generation": 4, "secrets": {"db": "pending"}}, "line": answer(4)}

    def fn(secrets: Any) -> str:
        if not outrun:
            outrun.append(secrets)
            shutil.rmtree(store / "generations/3")
        return login(secrets)

    outrun: list[Any] = []
    with writer(store, [DONE, newer, DONE]) as asked:
        assert is_refused("db", fn) == "pending"
    assert operations(asked) == ["try", "try", "accepted"]


def test_threads_attempt_at_once(store: Path) -> None:
    def fn(secrets: Any) -> str:
        value: str = secrets.get("db")
        return value

    client = keystart.Keystart()
    before = open_descriptors()
    with writer(store, [DONE]) as asked, ThreadPoolExecutor(16) as threads:
        assert set(threads.map(lambda _: client.attempt("db", fn), range(64))) == {"value of db\n"}
    assert sorted(operations(asked)) == ["accepted"] * 64 + ["try"] * 64
    assert open_descriptors() == before


def test_the_writer_sees_the_end_of_a_call_although_a_child_lives_on(store: Path) -> None:
    children: list[int] = []

    def fn(secrets: Any) -> None:
        secrets.get("db")
        if (child := os.fork()) == 0:
            os.read(waits, 1)
            os._exit(0)
        children.append(child)
        raise KeyError

    waits, ends = os.pipe()
    try:
        with (
            writer(store, [{"line": answer(), "closes": False}], counts=True) as asked,
            pytest.raises(KeyError),
        ):
            keystart.attempt("db", fn)
        assert asked.requests[1:] == [{"open": 0}]
    finally:
        os.write(ends, b"x")
        os.close(ends)
        os.close(waits)
        os.waitpid(children[0], 0)


def test_a_clock_that_is_set_back_changes_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    with writer(store, [{"line": answer(retry=20)}, *ROTATION]):
        assert is_refused("db", login) == "pending"


def test_a_test_store_logs_in_once() -> None:
    with keystart.testing.store({"db": {"user": "u", "password": "p"}}) as store:
        assert keystart.attempt("db", lambda secrets: secrets.get_json("db")["password"]) == "p"
        with pytest.raises(RefusedError):
            is_refused("db", rejected_login)
        store.publish({"db": "pending"})
        assert is_refused("db", login) == "pending"
        assert asyncio.run(is_refused("db", login_awaited)) == "pending"


def test_a_snapshot_has_no_attempt(store: Path) -> None:
    assert not hasattr(keystart.snapshot(), "attempt")


def test_no_rejection_keeps_its_call_alive(store: Path) -> None:
    import gc
    import weakref

    class Held:
        pass

    held = Held()
    watched = weakref.ref(held)

    def fn(secrets: Any, held: Any = held) -> None:
        rejected_login(secrets)

    with writer(store, [DONE, DONE, LATER]):
        gc.disable()
        try:
            with pytest.raises(RefusedError):
                is_refused("db", fn)
            del held, fn
            assert watched() is None
        finally:
            gc.enable()
