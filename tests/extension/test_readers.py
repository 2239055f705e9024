"""The readers of all languages ask a running extension to fetch now (contract 7.3)."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest

from tests.conformance.runner import Runner, chosen_languages
from tests.fakes.aws import Cloud
from tests.fakes.script import DENIED, Script

from .conftest import Canaries, Serve, Store
from .control import Started


@pytest.fixture(params=chosen_languages())
def reader(request: pytest.FixtureRequest) -> Any:
    with Runner(request.param) as runner:
        runner.start()
        yield runner


def ask(reader: Runner, store: Store, call: str, **members: Any) -> dict[str, Any]:
    message = {"id": call, "root": str(store.root), "timeout_ms": 20_000, "call": call, **members}
    reader.send(json.dumps(message).encode() + b"\n")
    return reader.receive(call)


def test_a_reader_gets_what_the_store_has_now(
    reader: Runner,
    start: Started,
    cloud: Cloud,
    store: Store,
    canary: Canaries,
) -> None:
    old, new = canary(), canary()
    arn = cloud.secret(old)
    start({"db": arn, "other": cloud.secret("same")})
    assert ask(reader, store, "text", name="db")["value"] == old
    assert ask(reader, store, "refresh")["value"] == []
    cloud.secrets.put_secret_value(SecretId=arn, SecretString=new)
    start.clock.pass_by(1)
    assert ask(reader, store, "refresh", names=["other"])["value"] == []
    assert ask(reader, store, "text", name="db")["value"] == old
    assert ask(reader, store, "refresh", names=["db", "other"])["value"] == ["db"]
    assert ask(reader, store, "text", name="db")["value"] == new


def test_a_reader_reports_why_a_secret_cannot_be_fetched(
    reader: Runner,
    start: Started,
    cloud: Cloud,
    store: Store,
) -> None:
    start({"db": cloud.secret("value")})
    error = ask(reader, store, "refresh", names=["db", "nothing"])["error"]
    assert (error["code"], error["class"]) == ("refresh_failed", "RefreshFailed")
    assert error["message"] == (
        "Not every secret could be refreshed; the last good values stay:\n"
        '  - "nothing": NotConfigured: No entry of the configuration publishes it.'
    )


def test_nobody_answers_after_the_end(
    reader: Runner,
    start: Started,
    cloud: Cloud,
    store: Store,
) -> None:
    start({"db": cloud.secret("value")})
    start.end()
    error = ask(reader, store, "refresh")["error"]
    assert error["code"] == "refresh_unavailable"


def test_max_stale_refuses_what_cannot_be_fetched_any_more_and_nothing_else(
    start: Started,
    serve: Serve,
    store: Store,
) -> None:
    script = serve.start(Script(db="value", pinned="pinned"))
    pinned = {"secret": "pinned", "ttl": "none"}
    with ExitStack() as running:
        readers = [running.enter_context(Runner(language)) for language in chosen_languages()]
        for reader in readers:
            reader.start()  # cargo may wait longer for another build than a value stays fresh
        start({"db": "db", "pinned": pinned}, max_stale="20s")  # the shortest
        manifest = json.loads((store.root / "current/manifest.json").read_text())
        fetched = datetime.fromisoformat(manifest["secrets"]["db"]["fetched_at"].replace("Z", "+00:00"))
        for reader in readers:
            assert ask(reader, store, "text", name="db")["value"] == "value"
        time.sleep(max(0.0, fetched.timestamp() + 20 - time.time()))
        script.values["db"] = DENIED
        start.clock.pass_by(20)
        for reader in readers:
            answer = ask(reader, store, "text", name="db")
            assert "error" in answer, (reader.language, (store.root / "freshness.json").read_text())
            error = answer["error"]
            assert error["code"] == "secret_stale"
            assert "longer ago than max_stale allows" in error["message"]
            assert ask(reader, store, "text", name="pinned")["value"] == "pinned"
        script.values["db"] = "value"
        start.clock.pass_by(1)
        for reader in readers:
            assert ask(reader, store, "text", name="db")["value"] == "value"
    assert script.asked.count("pinned") == 1
