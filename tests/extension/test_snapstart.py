"""Starts the extension under SnapStart with `snapstart: first-invoke`: no secret before an invocation."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keystart
import pytest
from keystart_extension.schedule import Schedule

from tests.fakes.aws import refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Gate, Request

from .conftest import Canaries, Extension, Launcher, Serve, Store
from .control import Control, done

SNAPSTART = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


def configuration(**settings: Any) -> str:
    document = {"version": 1, "snapstart": "first-invoke", **settings, "secrets": {"db": "prod/db"}}
    return json.dumps(document)


def generations(store: Store) -> list[str]:
    return [path.name for path in (store.root / "generations").iterdir()]


class Function:
    """A function that Lambda has restored from a snapshot."""

    def __init__(self, api: Lambda, extension: Extension) -> None:
        self._api = api
        self._extension = extension
        self._nexts = 1
        api.wait_for("/event/next")

    def begin(self, seconds: float = 30.0) -> None:
        """Begins an invocation with that timeout."""
        event = {"eventType": "INVOKE", "deadlineMs": int((time.time() + seconds) * 1000)}
        self._api.events.put(Answer(body=json.dumps(event).encode()))

    def end(self) -> None:
        """Waits until the extension has ended its part of the invocation."""
        self._nexts += 1
        self._api.wait_for("/event/next", times=self._nexts)

    def shut_down(self) -> tuple[int, list[str]]:
        self._api.send("SHUTDOWN")
        return self._extension.ended()


def test_nothing_is_fetched_before_the_first_invocation(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, canary: Canaries
) -> None:
    value = canary()
    aws = serve(lambda _request: secret(value))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    assert lambda_api.requests[0].json == {"events": ["INVOKE", "SHUTDOWN"]}
    assert aws.requests == []
    assert store.state["state"] == "deferred"
    assert generations(store) == []
    # As code that reads while the function loads.
    with pytest.raises(keystart.NotReady, match="until the first invocation"):
        keystart.Keystart(str(store.root)).get("db")

    # The handler may read before the extension has heard of the invocation.
    read: list[str] = []
    handler = threading.Thread(target=lambda: read.append(keystart.Keystart(str(store.root)).get("db")))
    handler.start()
    function.begin()
    function.end()
    handler.join()
    assert read == [value]
    assert len(aws.requests) == 1
    assert store.state["state"] == "ready"
    function.begin()
    function.end()
    assert len(aws.requests) == 1, "it has no ttl"
    code, lines = function.shut_down()
    assert code == 0
    assert [line for line in lines if "SnapStart" in line] == []
    assert generations(store) == []


def test_a_fetch_that_fails_after_the_restore_is_tried_again_by_the_next_invocation(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    answers = [refusal(400, "AccessDeniedException", "Not yet."), secret("x")]

    def answer(_request: Request) -> Answer:
        return answers.pop(0)

    serve(answer)
    function = Function(lambda_api, launch(lambda_api, configuration(ttl="60s"), **SNAPSTART))
    function.begin()
    function.end()
    assert store.state["state"] == "failed"
    with pytest.raises(keystart.PrefetchFailed, match="AccessDeniedException"):
        keystart.Keystart(str(store.root), timeout=0).get("db")
    function.begin()
    function.end()
    assert store.values == {"db": b"x"}
    code, lines = function.shut_down()
    assert code == 0
    assert any("Required secrets could not be fetched." in line for line in lines)


def test_a_state_that_cannot_be_written_at_the_restore_ends_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    gate = Gate(secret("x"))
    serve(gate)
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    # A folder of the function stands where the writer makes the next state.
    (store.root / ".state.json").mkdir()
    function.begin()
    gate.wait_until_asked()
    assert store.state["state"] == "deferred"
    (store.root / ".state.json").rmdir()
    gate.open()
    function.end()
    assert store.values == {"db": b"x"}
    assert store.state["state"] == "ready"
    code, lines = function.shut_down()
    assert code == 0
    assert [line for line in lines if ".state.json" in line] == [lines[0]]
    assert lines[0].startswith(
        "[keystart] WARN  Readers cannot see that the first fetch has begun: The store at "
    )


def test_a_state_that_can_never_be_written_fails_each_invocation_and_ends_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    (store.root / ".state.json").mkdir()
    for _ in range(3):
        function.begin()
        function.end()
    assert store.state["state"] == "deferred"
    assert generations(store) == []
    (store.root / ".state.json").rmdir()
    function.begin()
    function.end()
    assert store.values == {"db": b"x"}
    code, lines = function.shut_down()
    assert code == 0
    assert len([line for line in lines if line.startswith("[keystart] WARN ")]) == 1, "the same reason, once"


def test_a_store_that_was_removed_before_the_first_invocation_is_made_anew(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    shutil.rmtree(store.root)  # as a function that clears /tmp while it loads
    function.begin()
    function.end()
    assert keystart.Keystart(str(store.root)).get("db") == "x"
    assert keystart.Keystart(str(store.root)).refresh() == [], "control.sock is made again too"
    code, lines = function.shut_down()
    assert code == 0
    assert lines[0] == f"[keystart] WARN  The store at {store.root} was removed. It is made again."
    assert generations(store) == []


def test_a_report_of_a_restore_begins_the_fetch_and_is_answered_after_the_publish(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    aws = serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    assert control.ask(None, op="restored") == done(1)
    assert store.values == {"db": b"x"}
    function.begin()
    function.end()
    assert control.ask(None, op="restored") == done(1), "a report that comes late"
    assert len(aws.requests) == 1
    assert function.shut_down()[0] == 0


def test_a_late_report_of_a_restore_shares_the_fetch_of_the_invocation(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    aws = serve(gate := Gate(secret("x")))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    function.begin()
    gate.wait_until_asked()
    with ThreadPoolExecutor() as pool:
        late = pool.submit(control.ask, None, op="restored")
        time.sleep(0.2)
        gate.open()
        assert late.result() == done(1)
    function.end()
    assert store.values == {"db": b"x"}
    assert len(aws.requests) == 1


def test_an_invocation_waits_for_the_fetch_of_a_restore(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    aws = serve(gate := Gate(secret("x")))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    with ThreadPoolExecutor() as pool:
        report = pool.submit(control.ask, None, op="restored")
        gate.wait_until_asked()
        function.begin()
        time.sleep(0.2)
        assert lambda_api.paths().count("/event/next") == 1
        gate.open()
        assert report.result() == done(1)
    function.end()
    assert store.values == {"db": b"x"}
    assert len(aws.requests) == 1


def test_a_restore_whose_fetch_fails_is_answered_with_the_reason_and_the_invocation_tries_again(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    answers = [refusal(400, "AccessDeniedException", "Not yet."), secret("x")]
    serve(lambda _request: answers.pop(0))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    answer = control.ask(None, op="restored")
    assert (answer["ok"], answer["generation"]) == (True, None)
    assert answer["failures"]["db"]["code"] == "AccessDeniedException"
    assert store.state["state"] == "failed"
    function.begin()
    function.end()
    assert store.values == {"db": b"x"}
    assert function.shut_down()[0] == 0


def test_a_refresh_before_the_first_invocation_fails_soon_and_fetches_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    aws = serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    for names, code in ((None, "Deferred"), (["db"], "Deferred"), (["api"], "NotConfigured")):
        answer = control.ask(names)
        assert (answer["ok"], answer["generation"]) == (True, None)
        assert [failure["code"] for failure in answer["failures"].values()] == [code]
    with pytest.raises(
        keystart.RefreshFailed, match='because the configuration says "snapstart: first-invoke"'
    ):
        keystart.Keystart(str(store.root)).refresh("db")
    assert aws.requests == []
    # A handler may ask before the extension has heard of the invocation.
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(control.ask, ["db"])
        function.begin()
        assert asking.result() == done(1)
    function.end()
    assert len(aws.requests) == 1


def test_with_init_a_restore_fetches_again_only_with_a_ttl(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, control: Control
) -> None:
    values = ["old", "new"]
    aws = serve(lambda _request: secret(values[0], VersionId=f"v-{values[0]}"))
    for nexts, ttl, generation in ((1, {"ttl": "24h"}, 2), (2, {}, 3)):
        values[:] = ["old", "new"]
        extension = launch(lambda_api, configuration(snapstart="init", **ttl), **SNAPSTART)
        lambda_api.wait_for("/event/next", times=nexts)
        del values[0]
        time.sleep(1)  # before, the outcome of the last fetch counts
        asked = len(aws.requests)
        assert control.ask(None, op="restored")["generation"] == generation
        assert len(aws.requests) - asked == len(ttl)
        assert store.values == {"db": b"new" if ttl else b"old"}
        lambda_api.send("SHUTDOWN")
        assert extension.ended()[0] == 0


@pytest.mark.alone
def test_a_first_fetch_from_a_store_that_hangs_ends_before_each_invocation(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    serve(gate := Gate(secret("x")))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    for _ in range(3):
        began = time.monotonic()
        function.begin(seconds=1.5)
        function.end()
        assert time.monotonic() - began < 1.5, "the function has timed out"
        assert store.state["failures"]["db"]["code"] == "DeadlineExceeded"
    gate.open()
    function.begin()
    function.end()
    assert store.values == {"db": b"x"}
    assert function.shut_down()[0] == 0


def test_an_invocation_that_is_about_to_end_begins_no_first_fetch(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    aws = serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration(), **SNAPSTART))
    function.begin(seconds=0.6)
    function.end()
    assert (aws.requests, store.state["state"]) == ([], "deferred")
    function.begin()
    function.end()
    assert store.values == {"db": b"x"}


def test_copies_of_a_process_draw_different_pauses() -> None:
    # As copies of one snapshot: what was drawn before the fork would be the same in all of them.
    schedule = Schedule([0], ttl=1000.0, checked_at=0.0)
    factors = set()
    for _ in range(20):
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            schedule.spread()
            os.write(write, str(schedule.due_at(0)).encode())
            os._exit(0)
        os.close(write)
        factors.add(float(os.read(read, 100)))
        os.close(read)
        assert os.waitpid(child, 0)[1] == 0
    assert len(factors) == 20
    assert all(900 <= factor <= 1000 for factor in factors)


def test_without_snapstart_the_setting_changes_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration()))
    assert lambda_api.requests[0].json == {"events": ["SHUTDOWN"]}
    assert store.values == {"db": b"x"}
    assert function.shut_down()[0] == 0
