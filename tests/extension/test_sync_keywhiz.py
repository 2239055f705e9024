"""Reads secrets from a server that answers as Keywhiz does, as a client and through the automation API."""

from __future__ import annotations

import io
import secrets as randomness
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from keystart_extension.sync import SyncError
from keystart_extension.sync.keys import Place
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


@pytest.fixture
def phrase() -> str:
    return randomness.token_hex(16)


@pytest.fixture
def document(server: Keywhiz, phrase: str) -> dict[str, Any]:
    """`source.keywhiz` of a sync.yaml, whose key has a pass phrase."""
    server.secrets["db"] = Secret(value())
    certificate, key = server.client("keystart")
    opened = load_pem_private_key(key.read_bytes(), None)
    encryption = BestAvailableEncryption(phrase.encode())
    key.write_bytes(opened.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    files = {"certificate": str(certificate), "key": str(key), "ca": str(server.authority)}
    return {"url": server.url, **files}


def names(document: dict[str, Any], folder: Path) -> list[str]:
    return [entry.name for entry in source.source(document, Place(folder, None)).entries()]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=repr)
def test_a_pass_phrase_is_read_from_a_file(
    document: dict[str, Any], tmp_path: Path, phrase: str, end: str
) -> None:
    (tmp_path / "phrase").write_bytes(f"{phrase}{end}".encode())
    assert names({**document, "passphrase_file": "phrase"}, tmp_path) == ["db"]


def test_a_pass_phrase_is_read_from_a_variable(
    document: dict[str, Any], tmp_path: Path, phrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_PHRASE", phrase)
    assert names({**document, "passphrase_variable": "KEY_PHRASE"}, tmp_path) == ["db"]


def test_the_sync_asks_once_for_a_pass_phrase_at_a_terminal(
    document: dict[str, Any], tmp_path: Path, phrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([phrase])
    monkeypatch.setattr(source, "is_terminal", lambda _: True)
    monkeypatch.setattr(source, "getpass", lambda _: next(answers))
    keywhiz = source.source(document, Place(tmp_path, None))
    assert [keywhiz.read(entry).is_binary for entry in keywhiz.entries()] == [True]
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, "no terminal to ask at. Name a file"),
        ({"passphrase_file": "missing"}, "`source.keywhiz.passphrase_file` cannot be read: No such file"),
        ({"passphrase_variable": "MISSING"}, "`source.keywhiz.passphrase_variable` is not set"),
        ({"passphrase_file": "wrong"}, "does not open `source.keywhiz.key`"),
        ({"passphrase_file": "long"}, "more than 1,023 bytes"),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_opened_is_refused_with_the_cure(
    document: dict[str, Any],
    server: Keywhiz,
    tmp_path: Path,
    keys: dict[str, str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "wrong").write_text("made-up")
    (tmp_path / "long").write_text("made-up" * 200)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SyncError, match=problem) as failure:
        names({**document, **keys}, tmp_path)
    assert "made-up" not in str(failure.value)
    assert server.requests == []


def test_a_key_without_a_pass_phrase_needs_no_file(server: Keywhiz, tmp_path: Path) -> None:
    certificate, key = server.client("keystart")
    files = {"certificate": str(certificate), "key": str(key), "ca": str(server.authority)}
    assert names({"url": server.url, **files, "passphrase_file": "missing"}, tmp_path) == []


def test_a_key_of_another_certificate_is_refused(server: Keywhiz, tmp_path: Path) -> None:
    certificate, _ = server.client("keystart")
    _, other = server.client("other")
    files = {"certificate": str(certificate), "key": str(other), "ca": str(server.authority)}
    with pytest.raises(SyncError, match="must be files of PEM that belong together"):
        names({"url": server.url, **files}, tmp_path)


def test_a_pass_phrase_has_one_place(document: dict[str, Any], tmp_path: Path) -> None:
    keys = {"passphrase_file": "phrase", "passphrase_variable": "PHRASE"}
    with pytest.raises(SyncError, match="must not have both"):
        names({**document, **keys}, tmp_path)
    with pytest.raises(SyncError, match="unknown key"):
        names({**document, "passphrase": "made-up"}, tmp_path)
