"""Starts the extension under SnapStart with `snapstart: first-invoke`: no secret before an invocation."""

from __future__ import annotations

import json
import threading
from typing import Any

import keystart
import pytest

from tests.fakes.aws import refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Request

from .conftest import Canaries, Extension, Launcher, Serve, Store

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

    def begin(self) -> None:
        """Begins an invocation."""
        self._api.send("INVOKE")

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


def test_without_snapstart_the_setting_changes_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    serve(lambda _request: secret("x"))
    function = Function(lambda_api, launch(lambda_api, configuration()))
    assert lambda_api.requests[0].json == {"events": ["SHUTDOWN"]}
    assert store.values == {"db": b"x"}
    assert function.shut_down()[0] == 0
