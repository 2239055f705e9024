"""Reads secrets from Vault's KV version 2: on a stand-in, and on a real server if the program is on PATH."""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.sync import SyncError
from keystart_extension.sync.keys import Place
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sources import vault as source

from tests.fakes.certificates import Authority
from tests.fakes.http import Answer
from tests.fakes.vault import Vault
from tests.servers import vault as server


@pytest.fixture(params=["stand-in", "real"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "stand-in":
        with Vault() as vault:
            yield vault
        return
    with real_server(tmp_path) as real:
        yield real


def real_server(folder: Path, *, tls: bool = False) -> server.Vault:
    if server.program() is None:
        pytest.skip("neither bao nor vault is on PATH: ./dev extension installs one")
    return server.Vault(folder, tls=tls)


@pytest.fixture
def stand_in() -> Iterator[Vault]:
    with Vault() as vault:
        yield vault


def configured(vault: Any, folder: Path, **keys: Any) -> source.Vault:
    """Reads a `source.vault` that logs in with the token in a file, unless the test says how."""
    (folder / "token").write_text(f"{vault.token}\n")
    document = {"url": vault.url, "auth": {"token": {"token_file": "token"}}, **keys}
    return source.source(document, Place(folder, None))


def value() -> str:
    return randomness.token_hex(16)


def read(secrets: source.Vault) -> dict[str, Any]:
    return {entry.name: json.loads(secrets.read(entry).content) for entry in secrets.entries()}


def test_secrets_of_all_folders_are_read_as_json(vault: Any, tmp_path: Path) -> None:
    data = {
        "db": {"user": "app", "password": value()},
        "orders/db": {"password": value(), "ports": [1, 2], "on": True, "none": None, "rate": 1.5},
        "orders/deep/er/é ü%?#&": {"é": value()},
        "orders": {"a": value()},  # a secret and a folder of one name
        "with space": {"a": value()},
    }
    for path, secret in data.items():
        vault.put(path, secret)
    assert read(configured(vault, tmp_path)) == data


def test_the_same_data_is_the_same_text(vault: Any, tmp_path: Path) -> None:
    vault.put("db", {"b": "ü", "a": {"d": 1, "c": 1234567890}})
    secrets = configured(vault, tmp_path)
    assert secrets.read(Entry("db")).content.decode() == '{"a": {"c": 1234567890, "d": 1}, "b": "ü"}'


def test_names_are_relative_to_the_path(vault: Any, tmp_path: Path) -> None:
    vault.put("team/orders/db", {"a": value()})
    vault.put("other", {"a": value()})
    assert list(read(configured(vault, tmp_path, path="team"))) == ["orders/db"]


def test_the_current_version_is_read(vault: Any, tmp_path: Path) -> None:
    new = value()
    vault.put("db", {"a": value()})
    vault.put("db", {"a": new})
    assert read(configured(vault, tmp_path)) == {"db": {"a": new}}


def test_metadata_of_people_and_the_version_are_listed_on_demand(vault: Any, tmp_path: Path) -> None:
    vault.put("db", {"a": value()}, {"owner": "payments"})
    vault.put("other", {"a": value()})
    assert sorted(configured(vault, tmp_path, metadata=True).entries(), key=lambda one: one.name) == [
        Entry("db", {"owner": "payments", "version": "1"}),
        Entry("other", {"version": "1"}),
    ]
    assert {entry.name: entry.metadata for entry in configured(vault, tmp_path).entries()} == {
        "db": {},
        "other": {},
    }


@pytest.mark.parametrize("destroy", [False, True], ids=["deleted", "destroyed"])
def test_a_secret_whose_current_version_is_gone_is_listed_and_refused(
    vault: Any, tmp_path: Path, *, destroy: bool
) -> None:
    for _ in range(2):
        vault.put("db", {"a": value()})
    vault.delete("db", destroy=destroy)
    secrets = configured(vault, tmp_path)
    (entry,) = secrets.entries()
    with pytest.raises(SyncError, match="current version is destroyed" if destroy else "version is deleted"):
        secrets.read(entry)


@pytest.mark.parametrize("keys", [{"mount": "other"}, {"path": "other"}, {}], ids=str)
def test_a_path_without_secrets_is_an_error(vault: Any, tmp_path: Path, keys: dict[str, str]) -> None:
    if keys:
        vault.put("db", {"a": value()})
    with pytest.raises(SyncError, match="Vault has nothing at "):
        list(configured(vault, tmp_path, **keys).entries())


def test_an_application_logs_in_with_its_role(vault: Any, tmp_path: Path) -> None:
    vault.put("db", {"a": value()})
    role, secret = vault.approle()
    (tmp_path / "secret-id").write_text(secret)
    auth = {"approle": {"role_id": role, "secret_id_file": "secret-id"}}
    assert list(read(configured(vault, tmp_path, auth=auth))) == ["db"]
    (tmp_path / "secret-id").write_text(value())
    with pytest.raises(SyncError, match="refuses the login with approle") as failure:
        list(configured(vault, tmp_path, auth=auth).entries())
    assert secret not in str(failure.value)


def test_a_wrong_token_is_denied(vault: Any, tmp_path: Path) -> None:
    vault.put("db", {"a": value()})
    secrets = configured(vault, tmp_path)
    (tmp_path / "token").write_text("hvs.wrong")
    with pytest.raises(SyncError, match="Vault denies it") as failure:
        list(secrets.entries())
    assert failure.value.__cause__ is None
    assert "wrong" not in str(failure.value)


@pytest.mark.parametrize("method", ["kubernetes", "jwt"])
@pytest.mark.parametrize("mount", [None, "elsewhere"])
def test_a_token_of_kubernetes_or_of_a_pipeline_logs_in(
    vault: Any, tmp_path: Path, method: str, mount: str | None
) -> None:
    vault.put("db", {"a": value()})
    role, token = getattr(vault, method)(mount or method)
    (tmp_path / "jwt").write_text(token)
    login = {"role": role, "token_file": "jwt", **({"mount": mount} if mount else {})}
    assert list(read(configured(vault, tmp_path, auth={method: login}))) == ["db"]
    (tmp_path / "jwt").write_text(f"{token[:-9]}AAAAAAAAA")
    with pytest.raises(SyncError, match=f"refuses the login with {method}") as failure:
        list(configured(vault, tmp_path, auth={method: login}).entries())
    assert token[:-9] not in str(failure.value)


def test_a_login_is_renewed_before_its_token_expires(stand_in: Vault, tmp_path: Path) -> None:
    stand_in.put("db", {"a": value()})
    role, secret = stand_in.approle()
    stand_in.lease = -1
    (tmp_path / "secret-id").write_text(secret)
    auth = {"approle": {"role_id": role, "secret_id_file": "secret-id"}}
    secrets = configured(stand_in, tmp_path, auth=auth)
    list(secrets.entries())
    secrets.read(Entry("db"))
    assert stand_in.paths().count("/v1/auth/approle/login") == 1, "without a lease it never expires"
    stand_in.lease = 3600
    secrets = configured(stand_in, tmp_path, auth=auth)
    list(secrets.entries())
    secrets._expires = 0
    secrets.read(Entry("db"))
    assert stand_in.paths().count("/v1/auth/approle/login") == 3


def test_secrets_of_a_namespace_are_read(vault: Any, tmp_path: Path) -> None:
    vault.put("db", {"a": value()}, namespace="team")
    vault.put("other", {"a": value()})
    assert list(read(configured(vault, tmp_path, namespace="team"))) == ["db"]


def test_a_folder_that_may_not_be_listed_ends_the_list_with_an_error(vault: Any, tmp_path: Path) -> None:
    vault.put("a", {"a": value()})
    vault.put("closed/b", {"a": value()})
    vault.deny("secret/metadata/closed")
    with pytest.raises(SyncError, match="Vault denies it"):
        list(configured(vault, tmp_path).entries())


def test_a_secret_that_may_not_be_read_fails_alone(vault: Any, tmp_path: Path) -> None:
    vault.put("a", {"a": value()})
    vault.put("b", {"a": value()})
    vault.deny("secret/data/b")
    secrets = configured(vault, tmp_path)
    assert [entry.name for entry in secrets.entries()] == ["a", "b"]
    with pytest.raises(SyncError, match="Vault denies it"):
        secrets.read(Entry("b"))
    assert secrets.read(Entry("a")).content


ANSWERS = {
    "page": Answer(body=b"<html>"),
    "deep": Answer(body=b"[" * 100_000),
    "twice": Answer(body=b'{"data": {"keys": []}, "data": {"keys": ["a"]}}'),
    "no keys": Answer(body=b'{"data": {}}'),
    "no names": Answer(body=b'{"data": {"keys": [1]}}'),
    "redirect": Answer(307, headers={"Location": "http://127.0.0.1:9/"}),
    "nothing": Answer(204, b""),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_vault_would_not_return_is_refused(
    stand_in: Vault, tmp_path: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "_list", lambda *_: answer)
    with pytest.raises(SyncError, match="an answer that Vault would not"):
        list(configured(stand_in, tmp_path).entries())


@pytest.mark.parametrize("name", ["..", ".", "", "a//b", "../b/", "/", "a\n", "x" * 2_000], ids=repr)
def test_a_name_that_leads_elsewhere_ends_the_list_with_an_error(
    stand_in: Vault, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"data": {"keys": [name]}}).encode()
    monkeypatch.setattr(stand_in, "_list", lambda *_: Answer(body=body))
    with pytest.raises(SyncError, match="holds what no path may hold"):
        list(configured(stand_in, tmp_path).entries())


@pytest.mark.parametrize("token", ["hvs.\u2019", "hvs.a\nb", " hvs"], ids=["not latin", "lines", "space"])
def test_a_token_that_no_header_can_hold_is_refused_without_repeating_it(
    stand_in: Vault, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", token)
    with pytest.raises(SyncError, match="holds characters that no header can hold") as raised:
        list(configured(stand_in, tmp_path, auth={"token": {}}).entries())
    assert "hvs" not in str(raised.value)


def test_half_of_a_surrogate_pair_is_refused_alone(stand_in: Vault, tmp_path: Path) -> None:
    stand_in.put("a", {"a": "\ud800"})
    with pytest.raises(SyncError, match="half of a surrogate pair"):
        configured(stand_in, tmp_path).read(Entry("a"))


def test_a_number_that_would_change_is_refused() -> None:
    assert source._document(b'{"a": 1.5}') == {"a": 1.5}
    for number in (b"1.10", b"1e400", b"0.1000000000000000055"):
        with pytest.raises(SyncError, match="a number that would change"):
            source._document(b'{"a": ' + number + b"}")


def test_busy_servers_are_asked_again(
    stand_in: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.put("db", {"a": value()})
    answers = iter([Answer(503), Answer(412), Answer(429)])
    real = stand_in._list
    monkeypatch.setattr(stand_in, "_list", lambda *asked: next(answers, None) or real(*asked))
    assert [entry.name for entry in configured(stand_in, tmp_path).entries()] == ["db"]


def test_a_server_that_does_not_answer_is_named_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("made-up")
    document = {"url": "https://127.0.0.1:9", "auth": {"token": {"token_file": "token"}}}
    with pytest.raises(SyncError, match="Vault cannot be reached"):
        list(source.source(document, Place(tmp_path, None)).entries())


@pytest.fixture(params=["stand-in", "real"])
def encrypted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """A server with TLS, and its authority."""
    if request.param == "stand-in":
        authority = Authority()
        with Vault(authority.context(tmp_path, "127.0.0.1")) as vault:
            yield vault, authority.write(tmp_path)
        return
    with real_server(tmp_path, tls=True) as real:
        yield real, real.authority


@pytest.mark.parametrize("way", ["ca", "VAULT_CACERT"])
def test_a_server_is_trusted_if_its_authority_is_named(
    encrypted: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    vault, authority = encrypted
    vault.put("db", {"a": value()})
    if way == "ca":
        secrets = configured(vault, tmp_path, ca=authority.name)
    else:
        monkeypatch.setenv("VAULT_CACERT", str(authority))
        secrets = configured(vault, tmp_path)
    assert list(read(secrets)) == ["db"]


def test_a_server_that_is_not_trusted_is_refused(encrypted: tuple[Any, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority("other").write(tmp_path / "other")
    with pytest.raises(SyncError, match="The TLS handshake with Vault failed"):
        list(configured(encrypted[0], tmp_path, ca=str(other)).entries())


def test_a_server_that_is_not_trusted_gets_no_token(tmp_path: Path) -> None:
    with Vault(Authority().context(tmp_path, "127.0.0.1")) as vault:
        other = Authority("other").write(tmp_path)
        with pytest.raises(SyncError, match="The TLS handshake with Vault failed"):
            list(configured(vault, tmp_path, ca=other.name).entries())
        assert vault.requests == []


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "lacks `url`"),
        ({"url": "http://vault.example:8200"}, "must begin with https://"),
        ({"url": "ftp://127.0.0.1"}, "must begin with https://"),
        ({"url": "https://[::1"}, "`source.vault.url` is not a URL"),
        ({"url": "https://v", "path": "a/../b"}, "`source.vault.path` is not a path"),
        ({"url": "https://v", "auth": {}}, "must have exactly one of these keys"),
        ({"url": "https://v", "auth": {"token": {}, "jwt": {}}}, "must have exactly one of these keys"),
        ({"url": "https://v", "auth": {"approle": {"role_id": "a"}}}, "lacks `secret_id_file`"),
        ({"url": "https://v", "metadata": "yes"}, "must be true or false"),
        ({"url": "https://v", "token": "x"}, "unknown key"),
    ],
    ids=str,
)
def test_wrong_keys_are_refused_with_the_cure(tmp_path: Path, document: dict[str, Any], problem: str) -> None:
    with pytest.raises(SyncError, match=problem):
        source.source(document, Place(tmp_path, None))
