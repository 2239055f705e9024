"""A request to refresh blocks nobody else and leaves nothing open. The cases of the contract hold its answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keystart
import pytest

from tests.conformance.scripted import ScriptedWriter

DONE = {"format": "keystart.control/1", "ok": True, "failures": {}}
NEWER = {"change": {"generation": 4, "secrets": {"db": "newer"}}, "line": {"json": DONE}}


def writer(root: Path, *answers: dict[str, Any], **script: Any) -> ScriptedWriter:
    return ScriptedWriter(root, {"answers": [*answers], **script})


def names_asked(asked: ScriptedWriter) -> list[Any]:
    return [request["names"] for request in asked.requests]


def test_the_function_of_the_module_asks_for_the_default_client(store: Path) -> None:
    with writer(store, NEWER) as asked:
        assert keystart.refresh("db") == ["db"]
        assert keystart.refresh() == []
    assert names_asked(asked) == [["db"], None]
    assert keystart.get("db") == "newer"


def test_the_event_loop_continues_while_a_refresh_waits(store: Path) -> None:
    async def count(until: asyncio.Task[list[str]]) -> int:
        turns = 0
        while not until.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    async def ask() -> int:
        return await count(asyncio.create_task(keystart.refresh_async("db")))

    with writer(store, {**NEWER, "pieces": 10}) as asked:
        assert asyncio.run(ask()) > 10
        assert asyncio.run(keystart.refresh_async()) == []
    assert names_asked(asked) == [["db"], None]


def test_threads_refresh_at_once(store: Path) -> None:
    client = keystart.Keystart()
    with writer(store, {"line": {"json": DONE}}) as asked, ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda _: client.refresh(), range(64))) == [[]] * 64
    assert len(asked.requests) == 64


@pytest.mark.parametrize(
    ("answer", "script"),
    [
        (NEWER, {}),
        ({}, {}),
        ({"line": "no"}, {}),
        ({"closes": False}, {}),
        ({}, {"full": "for ever"}),
    ],
)
def test_no_descriptor_stays_open(store: Path, answer: dict[str, Any], script: dict[str, Any]) -> None:
    client = keystart.Keystart(str(store), timeout=0.05)
    before = open_descriptors()
    with writer(store, answer, **script):
        for _ in range(5):
            with contextlib.suppress(keystart.RefreshUnavailable):
                client.refresh()
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 Path.iterdir says less


def test_a_name_of_a_derived_class_counts_as_the_text_it_holds(store: Path) -> None:
    class Name(str):
        def encode(self, *_: object) -> bytes:
            raise AssertionError

    with writer(store, NEWER) as asked:
        assert keystart.refresh(Name("db")) == ["db"]
    assert names_asked(asked) == [["db"]]


def test_a_snapshot_has_no_refresh(store: Path) -> None:
    assert not hasattr(keystart.snapshot(), "refresh")
