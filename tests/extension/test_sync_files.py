"""Reads secrets from files of variables, and from files that SOPS encrypted: with a stand-in for sops, and with it."""

from __future__ import annotations

import json
import os
import re
import secrets as randomness
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.sync import SyncError
from keystart_extension.sync.keys import Place
from keystart_extension.sync.sources import Entry, Source
from keystart_extension.sync.sources import dotenv as dotenv_source
from keystart_extension.sync.sources import sops as sops_source

Encrypt = Callable[[str, dict[str, Any]], None]

# Prints the file without its first line, which says what it is to do.
STAND_IN = f"""#!{sys.executable}
import sys
assert sys.argv[1:4] == ["--decrypt", "--output-type", "json"], sys.argv
first, _, rest = open(sys.argv[4]).read().partition("\\n")
open(sys.argv[4] + ".asked", "a").write(".")
if first != "encrypted":
    sys.exit("a line of the file: " + rest)
print(rest)
"""


def value() -> str:
    return randomness.token_hex(16)


def read(source: Source) -> dict[str, bytes]:
    return {entry.name: source.read(entry).content for entry in source.entries()}


def variables(folder: Path, text: str | bytes, name: str = ".env") -> dotenv_source.Dotenv:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return dotenv_source.source(name, Place(folder, None))


def test_variables_are_read_as_they_stand(tmp_path: Path) -> None:
    text = "# c\nexport A=x\nB='y $A ${A}' # c\nC=\"two\\nlines\"\nD=ü\n\nE = spaced\n"
    assert read(variables(tmp_path, text)) == {
        "A": b"x",
        "B": b"y $A ${A}",
        "C": b"two\nlines",
        "D": "ü".encode(),
        "E": b"spaced",
    }


def test_variables_of_several_files_know_their_file(tmp_path: Path) -> None:
    first, second = value(), value()
    (tmp_path / "a.env").write_text(f"KEY={first}\n")
    (tmp_path / "b.env").write_text(f"KEY={second}\n")
    source = dotenv_source.source(["a.env", "b.env"], Place(tmp_path, None))
    assert list(source.entries()) == [Entry("KEY", {"file": "a.env"}), Entry("KEY", {"file": "b.env"})]
    assert source.read(Entry("KEY", {"file": "b.env"})).content == second.encode()


def test_a_line_that_is_not_a_variable_refuses_the_whole_file_without_repeating_it(tmp_path: Path) -> None:
    secret = value()
    source = variables(tmp_path, f"A=x\n\nB='{secret}\nC=y\n")
    with pytest.raises(SyncError, match=r"\.env, line 3: this is not a line such as NAME=value") as failure:
        list(source.entries())
    assert secret not in str(failure.value)


@pytest.mark.parametrize("text", ["A=x\nA=y\n", "A\n"], ids=["twice", "without value"])
def test_a_variable_without_one_value_is_refused_alone(tmp_path: Path, text: str) -> None:
    source = variables(tmp_path, text + "B=z\n")
    names = [entry.name for entry in source.entries()]
    assert set(names) == {"A", "B"}
    with pytest.raises(SyncError, match="no value for it, or more than one"):
        source.read(Entry("A", {"file": ".env"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [(b"A=\xff\n", "is not UTF-8"), (b"A=" + bytes(17 << 20), "more than 16,777,216 bytes")],
    ids=["bytes", "large"],
)
def test_a_file_that_cannot_be_one_of_variables_is_refused(tmp_path: Path, text: bytes, problem: str) -> None:
    with pytest.raises(SyncError, match=problem):
        list(variables(tmp_path, text).entries())


def test_a_file_of_variables_that_is_gone_ends_the_list_with_an_error(tmp_path: Path) -> None:
    source = variables(tmp_path, "A=x\n")
    (tmp_path / ".env").unlink()
    with pytest.raises(SyncError, match="cannot be read: No such file"):
        list(source.entries())


@pytest.fixture(params=["stand-in", "sops"])
def encrypt(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encrypt:
    """Encrypts a document into a file of the test's folder."""
    if request.param == "stand-in":
        return stand_in(tmp_path, monkeypatch)
    if not (shutil.which("sops") and shutil.which("age-keygen")):
        pytest.skip("sops and age-keygen are not on PATH")
    key = subprocess.run(["age-keygen"], capture_output=True, check=True, text=True).stdout
    (recipient,) = re.findall("public key: (.*)", key)
    (tmp_path / "keys.txt").write_text(key)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "keys.txt"))

    def with_sops(name: str, document: dict[str, Any]) -> None:
        ended = subprocess.run(
            ["sops", "--encrypt", "--age", recipient, "--input-type", "json", "/dev/stdin"],
            input=json.dumps(document).encode(),
            capture_output=True,
            check=True,
        )
        (tmp_path / name).write_bytes(ended.stdout)

    return with_sops


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Encrypt:
    (folder / "bin").mkdir()
    program = folder / "bin/sops"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda name, document: plain(folder / name, json.dumps(document))


def plain(file: Path, text: str) -> None:
    file.write_text(f"encrypted\n{text}")


def encrypted(folder: Path, *names: str) -> sops_source.Sops:
    return sops_source.source(list(names), Place(folder, None))


def test_keys_of_an_encrypted_file_are_read(encrypt: Encrypt, tmp_path: Path) -> None:
    document = {"key": f"{value()}\nü", "port": 5432, "on": True, "db": {"user": "app", "password": value()}}
    encrypt("secrets.json", document)
    secrets = read(encrypted(tmp_path, "secrets.json"))
    assert secrets.pop("key").decode() == document["key"]
    assert {name: json.loads(content) for name, content in secrets.items()} == {
        "port": 5432,
        "on": True,
        "db": document["db"],
    }


def test_keys_of_several_encrypted_files_know_their_file(encrypt: Encrypt, tmp_path: Path) -> None:
    encrypt("a.json", {"key": value()})
    encrypt("b.json", {"key": value()})
    entries = list(encrypted(tmp_path, "a.json", "b.json").entries())
    assert entries == [Entry("key", {"file": "a.json"}), Entry("key", {"file": "b.json"})]


def test_a_file_that_changed_is_decrypted_again(encrypt: Encrypt, tmp_path: Path) -> None:
    encrypt("s.json", {"key": "old"})
    source = encrypted(tmp_path, "s.json")
    assert read(source) == {"key": b"old"}
    encrypt("s.json", {"key": "new"})
    assert read(source) == {"key": b"new"}


def test_a_file_that_sops_did_not_encrypt_is_refused_without_repeating_it(
    encrypt: Encrypt, tmp_path: Path
) -> None:
    encrypt("other.json", {})
    secret = value()
    (tmp_path / "s.json").write_text(f'{{\n"key": "{secret}"}}')
    with pytest.raises(SyncError, match="sops cannot decrypt") as failure:
        list(encrypted(tmp_path, "s.json").entries())
    assert secret not in str(failure.value)


def test_a_file_is_decrypted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch)("s.json", {"a": value(), "b": value()})
    read(encrypted(tmp_path, "s.json"))
    assert (tmp_path / "s.json.asked").read_text() == "."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "is not a mapping"),
        ('{"a": 1, "a": 2}', "is not a mapping"),
        ("[" * 100_000, "is not a mapping"),
        ('{"a": 1.10}', "a number that would change"),
    ],
    ids=["list", "twice", "deep", "number"],
)
def test_what_sops_would_not_print_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    stand_in(tmp_path, monkeypatch)
    plain(tmp_path / "s.json", text)
    with pytest.raises(SyncError, match=problem):
        list(encrypted(tmp_path, "s.json").entries())


def test_a_key_without_a_value_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch)("s.json", {"a": None, "b": "x"})
    source = encrypted(tmp_path, "s.json")
    assert [entry.name for entry in source.entries()] == ["a", "b"]
    with pytest.raises(SyncError, match="no value for it"):
        source.read(Entry("a", {"file": "s.json"}))


@pytest.mark.parametrize("value", ['"\\ud800"', '{"b": "\\ud800"}'], ids=["text", "mapping"])
def test_half_of_a_surrogate_pair_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    stand_in(tmp_path, monkeypatch)
    plain(tmp_path / "s.json", f'{{"a": {value}}}')
    with pytest.raises(SyncError, match="half of a surrogate pair"):
        encrypted(tmp_path, "s.json").read(Entry("a", {"file": "s.json"}))


def test_sops_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(tmp_path / "s.json", "{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SyncError, match="sops, which decrypts the source, is not on PATH"):
        list(encrypted(tmp_path, "s.json").entries())
