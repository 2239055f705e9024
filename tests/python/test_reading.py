"""Covers what the shared conformance cases cannot: Python's types, the default client, several reads of one thing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import keystart
import pytest

from .publisher import Publisher

Call = Callable[[Any, Any], object]

CALLS: dict[str, Call] = {
    "get": lambda reader, name: reader.get(name),
    "get_bytes": lambda reader, name: reader.get_bytes(name),
    "get_json": lambda reader, name: reader.get_json(name),
    "path": lambda reader, name: reader.path(name),
    "info": lambda reader, name: reader.info(name),
    "secret": lambda reader, name: reader.secret(name),
    "tls": lambda reader, name: reader.tls(name),
}


TIMEOUTS = [
    *(True, False, "1", b"1", Decimal(1), Fraction(1), 1j, [1], object()),
    *(float("nan"), float("inf"), -1, -0.001, 10**9, 10**400, -(10**400), 999_999.9995),
]


@pytest.mark.parametrize("timeout", TIMEOUTS, ids=lambda timeout: f"{type(timeout).__name__} {timeout!r:.20}")
def test_a_timeout_that_is_not_a_number_in_range_is_refused(timeout: Any) -> None:
    with pytest.raises(
        keystart.InvalidOption, match=r"^The timeout must be a number from 0 to 999999999 milliseconds"
    ):
        keystart.Keystart(timeout=timeout)


@pytest.mark.parametrize(
    ("timeout", "milliseconds"), [(0, 0), (-0.0, 0), (0.0004, 0), (0.0005, 1), (0.002, 2)]
)
def test_a_timeout_is_given_in_seconds(
    timeout: float, milliseconds: int, root: Path, publisher: Publisher
) -> None:
    assert publisher.root == root
    with pytest.raises(keystart.NotReady, match=f"was not ready after {milliseconds} ms"):
        keystart.Keystart(str(root), timeout).get("db")


def test_the_environment_is_read_when_a_client_is_made(
    root: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTART_DIR", str(root))
    monkeypatch.setenv("KEYSTART_TIMEOUT_MS", "0")
    client = keystart.Keystart()
    monkeypatch.setenv("KEYSTART_DIR", "/nowhere")
    monkeypatch.setenv("KEYSTART_TIMEOUT_MS", "wrong")
    publisher.publish({"db": "x"})
    assert client.get("db") == "x"
    with pytest.raises(keystart.InvalidOption, match=r"^KEYSTART_TIMEOUT_MS must be"):
        keystart.Keystart()


@pytest.mark.parametrize("value", [b"/tmp/\xff", b"a\xed\xa0\x80", "/\ufffd".encode()], ids=ascii)
def test_a_root_of_the_environment_that_is_not_utf_8_is_refused(value: bytes) -> None:
    program = "import keystart\ntry:\n    keystart.get('db')\nexcept keystart.InvalidOption as error:\n    print(error)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={b"KEYSTART_DIR": value},
        capture_output=True,
        check=True,
        text=True,
    )
    assert said.stdout == "KEYSTART_DIR must be a path in UTF-8. Correct or unset it.\n"


def test_the_default_client_is_made_at_the_first_call(
    root: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYSTART_TIMEOUT_MS", "wrong")
    with pytest.raises(keystart.InvalidOption):
        keystart.names()
    monkeypatch.setenv("KEYSTART_TIMEOUT_MS", "0")
    monkeypatch.setenv("KEYSTART_DIR", str(root))
    publisher.publish({"db": '{"a": 1}'})
    assert keystart.names() == ["db"]
    monkeypatch.setenv("KEYSTART_DIR", "/nowhere")
    assert keystart.get("db") == '{"a": 1}'
    assert keystart.get_bytes("db") == b'{"a": 1}'
    assert keystart.get_json("db") == {"a": 1}
    assert keystart.path("db") == f"{root}/current/secrets/db"
    assert keystart.info("db")["size"] == 8
    assert keystart.secret("db").reveal() == '{"a": 1}'
    assert keystart.snapshot().names() == ["db"]
    with pytest.raises(keystart.SecretNotFound):
        keystart.tls("db")


def test_a_relative_root_stays_where_it_was_when_the_client_was_made(
    root: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish({"db": "x"})
    monkeypatch.chdir(root.parent)
    client = keystart.Keystart("store//", timeout=0)
    monkeypatch.chdir("/")
    assert client.get("db") == "x"
    assert client.path("db") == f"{root}/current/secrets/db"


def test_what_was_given_is_the_callers_own(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"json": '{"a": []}'})
    client.get_json("json")["a"].append(1)
    client.info("json")["source"].clear()
    assert client.get_json("json") == {"a": []}
    assert client.info("json")["source"]["provider"] == "test"


def test_a_snapshot_returns_what_belongs_together(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"cert": "1", "key": "1"})
    snapshot = client.snapshot()
    publisher.publish({"cert": "2", "key": "2"})
    assert (snapshot.get("cert"), snapshot.get("key"), client.get("key")) == ("1", "1", "2")
    assert snapshot.path("key").endswith("/generations/1/secrets/key")
    assert snapshot.snapshot() is snapshot


def test_a_snapshot_expires_but_for_what_was_read(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"read": "1", "unread": "1"})
    snapshot = client.snapshot()
    assert snapshot.get("read") == "1"
    publisher.collect({"read": "2", "unread": "2"})
    assert snapshot.get("read") == "1"
    assert snapshot.secret("read").reveal() == "1"
    for ask in (snapshot.get, snapshot.secret):
        with pytest.raises(keystart.SnapshotExpired) as expired:
            ask("unread")
        assert expired.value.secret == "unread"
    assert client.snapshot().get("unread") == "2"


def test_the_facts_of_a_secret_are_those_of_its_value(
    publisher: Publisher, client: keystart.Keystart
) -> None:
    publisher.publish({"db": "x"})
    secret = client.secret("db")
    publisher.collect({"db": "longer"})
    assert (secret.reveal(), secret.info["size"], secret.info["source"]["id"]) == (
        "x",
        1,
        "the 1 bytes of db",
    )


def test_the_staleness_of_a_secret_is_that_of_the_moment_it_is_asked(
    publisher: Publisher, client: keystart.Keystart
) -> None:
    publisher.publish({"db": "x"}, refresh_after="2020-01-01T00:00:00.000Z")
    assert client.secret("db").info["stale"] is True
    publisher.publish({"db": "x"}, refresh_after="9999-01-01T00:00:00.000Z")
    assert client.secret("db").info["stale"] is False


def test_a_wrong_time_is_reported_by_the_facts_alone(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"db": "x"})
    manifest = publisher.generation() / "manifest.json"
    content = json.loads(manifest.read_text())
    content["secrets"]["db"]["fetched_at"] = "yesterday"
    manifest.write_text(json.dumps(content))
    secret = client.secret("db")
    assert secret.reveal() == "x"
    with pytest.raises(keystart.ManifestInvalid, match=r'secrets\["db"\]\.fetched_at is missing or wrong'):
        _ = secret.info


@pytest.fixture
def collected(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects a generation between making a snapshot and its first read; returns how often that is to happen."""
    left = [1]
    read = keystart.Snapshot.get_bytes
    value = count(2)

    def get_bytes(snapshot: keystart.Snapshot, name: str) -> bytes:
        if left[0] > 0:
            left[0] -= 1
            publisher.collect({name: str(next(value))})
        return read(snapshot, name)

    publisher.publish({"db": "1"})
    monkeypatch.setattr(keystart.Snapshot, "get_bytes", get_bytes)
    return left


def test_a_secret_whose_generation_is_collected_meanwhile_is_read_from_the_next(
    collected: list[int], client: keystart.Keystart
) -> None:
    secret = client.secret("db")
    assert collected == [0]
    assert (secret.reveal(), secret.info["size"]) == ("2", 1)


def test_a_store_that_changes_all_the_time_ends_the_read(
    collected: list[int], client: keystart.Keystart
) -> None:
    collected[0] = 1000
    with pytest.raises(keystart.NotReady, match="changes faster than it can be read"):
        client.secret("db")
    assert collected == [899]
