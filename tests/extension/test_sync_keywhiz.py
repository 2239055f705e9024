"""Reads secrets from a server that answers as Keywhiz does, as a client and through the automation API."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystart_extension.sync import SyncError
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sources import keywhiz as source

from tests.fakes.keywhiz import AUTOMATION, Keywhiz, Secret


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Keywhiz]:
    with Keywhiz(tmp_path) as server:
        yield server


def client(server: Keywhiz, name: str = "keystart") -> source.Keywhiz:
    certificate, key = server.client(name)
    settings = source.Settings(
        server.url, certificate, key, server.authority, is_automation=name == AUTOMATION
    )
    return source.Keywhiz(settings)


def value() -> bytes:
    return randomness.token_bytes(40)


def test_a_client_reads_what_is_granted_to_it_with_metadata(server: Keywhiz) -> None:
    granted, other = value(), value()
    server.secrets = {
        "db pass/word": Secret(granted, {"owner": "payments", "mode": "0400"}),
        "other": Secret(other, clients=frozenset({"someone"})),
    }
    keywhiz = client(server)
    (entry,) = keywhiz.entries()
    assert entry == Entry("db pass/word", {"owner": "payments", "mode": "0400"})
    assert keywhiz.read(entry).content == granted


def test_the_automation_api_reads_all(server: Keywhiz) -> None:
    contents = {"a": value(), "b c": value()}
    server.secrets = {name: Secret(content, clients=frozenset()) for name, content in contents.items()}
    keywhiz = client(server, AUTOMATION)
    assert {entry.name: keywhiz.read(entry).content for entry in keywhiz.entries()} == contents


@pytest.mark.parametrize(
    ("name", "entry", "reason"),
    [
        ("keystart", "missing", "Keywhiz has no such secret."),
        ("keystart", "others", "It exists, and the client of the certificate may not read it."),
        (AUTOMATION, "missing", "Keywhiz has no such secret."),
    ],
)
def test_a_refusal_says_what_to_do_and_repeats_no_answer(
    server: Keywhiz, name: str, entry: str, reason: str
) -> None:
    server.secrets["others"] = Secret(value(), clients=frozenset())
    with pytest.raises(SyncError, match=reason) as failure:
        client(server, name).read(Entry(entry))
    assert "Client{" not in str(failure.value)


def test_an_unknown_client_is_named_by_its_certificate(server: Keywhiz) -> None:
    certificate, key = server.client("keystart")
    settings = source.Settings(server.url, certificate, key, server.authority, is_automation=True)
    with pytest.raises(SyncError, match="Keywhiz does not know the certificate"):
        list(source.Keywhiz(settings).entries())


@pytest.mark.parametrize(
    "metadata", [{"secret": "Zm9yZ2Vk"}, {"name": "other"}, {"secretLength": "1"}], ids=str
)
def test_metadata_that_forges_a_field_is_refused(server: Keywhiz, metadata: dict[str, str]) -> None:
    server.secrets["db"] = Secret(value(), metadata)
    with pytest.raises(SyncError, match="another secret, or one whose length is wrong"):
        client(server).read(Entry("db"))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "db", "secret": "YQ==", "secretLength": 1, "secret": "Yg=="}',
        b'{"name": "db", "secret": "?", "secretLength": 1}',
        b"[" * 100_000,
        b"<html>",
    ],
    ids=["twice", "base64", "deep", "page"],
)
def test_an_answer_that_keywhiz_would_not_return_is_refused(server: Keywhiz, raw: bytes) -> None:
    server.secrets["db"] = Secret(b"a", raw=raw)
    with pytest.raises(SyncError, match="an answer that Keywhiz would not"):
        client(server).read(Entry("db"))


def test_an_endless_answer_is_refused(server: Keywhiz) -> None:
    server.secrets["db"] = Secret(b"a", raw=b" " * (2 << 20))
    with pytest.raises(SyncError, match="more than 1,048,576 bytes"):
        client(server).read(Entry("db"))


def test_a_server_that_is_not_trusted_gets_no_request(server: Keywhiz, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Keywhiz(tmp_path / "other") as other:
        certificate, key = server.client("keystart")
        wrong = source.Settings(server.url, certificate, key, other.authority)
        with pytest.raises(SyncError, match="The TLS handshake with Keywhiz failed"):
            list(source.Keywhiz(wrong).entries())
    assert server.requests == []


def test_a_server_that_does_not_answer_is_named_by_its_key(server: Keywhiz, tmp_path: Path) -> None:
    certificate, key = server.client("keystart")
    nowhere = source.Settings("https://127.0.0.1:9", certificate, key, server.authority)
    with pytest.raises(SyncError, match="Keywhiz cannot be reached"):
        list(source.Keywhiz(nowhere).entries())
