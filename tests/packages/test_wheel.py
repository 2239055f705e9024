"""A wheel that gets the executable."""

from __future__ import annotations

import base64
import csv
import hashlib
import zipfile
from pathlib import Path

import pytest

from extension.standalone import wheel
from extension.standalone.interpreters import interpreter
from extension.standalone.toolchain import TARGETS

from .installed import run

EXECUTABLE = b"#!/bin/sh\necho the executable\n"
FILES = {
    "keystart_extension-0.1.0.data/scripts/keystart": b"#!python\nprint('the script')\n",
    "keystart_extension/__init__.py": b"",
    "keystart_extension/__main__.py": b"def main():\n    print('the script')\n",
    "keystart_extension-0.1.0.dist-info/METADATA": (
        b"Metadata-Version: 2.4\nName: keystart-extension\nVersion: 0.1.0\nLicense-File: LICENSE\n"
    ),
    "keystart_extension-0.1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "keystart_extension-0.1.0.dist-info/licenses/LICENSE": b"Apache\n",
    "keystart_extension-0.1.0.dist-info/RECORD": b"",
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel with a script in place of the executable."""
    path = tmp_path / "keystart_extension-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    executable = tmp_path / "keystart"
    executable.write_bytes(EXECUTABLE)

    def write_licences(folder: Path, _: object) -> None:
        folder.mkdir()
        (folder / "libc6-dev.txt").write_text("LGPL\n")

    monkeypatch.setattr(wheel, "build", lambda _: executable)
    monkeypatch.setattr(wheel, "write_licences", write_licences)
    wheel.add_executable(path, TARGETS["x86_64"])
    return path


@pytest.mark.parametrize("folder", ["venv", "with spaces", "long" * 60], ids=["plain", "spaces", "long"])
def test_pip_installs_the_executable_and_the_script_beside_it(
    folder: str, made: Path, tmp_path: Path
) -> None:
    python = interpreter("3.11")
    assert python is not None
    programs = tmp_path / folder / "bin"
    run(python, "-m", "venv", programs.parent, cwd=tmp_path)
    run(programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", made, cwd=tmp_path)
    assert run(programs / "keystart", cwd=tmp_path) == "the executable\n"
    assert run(programs / "keystart-python", cwd=tmp_path) == "the script\n"
    run(programs / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "keystart-extension", cwd=tmp_path)
    assert not list(programs.glob("keystart*"))


def test_its_record_has_the_hash_and_size_of_every_file(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    record = "keystart_extension-0.1.0.dist-info/RECORD"
    listed = {path: (digest, size) for path, digest, size in csv.reader(files[record].decode().splitlines())}
    assert listed.pop(record) == ("", "")
    del files[record]
    hashes = {
        path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        for path, data in files.items()
    }
    assert listed == {path: (f"sha256={hashes[path]}", str(len(data))) for path, data in files.items()}


def test_it_has_the_licences_of_what_is_inside_the_executable(made: Path) -> None:
    facts = "keystart_extension-0.1.0.dist-info"
    with zipfile.ZipFile(made) as archive:
        assert archive.read(f"{facts}/licenses/executable/libc6-dev.txt") == b"LGPL\n"
        assert b"License-File: executable/libc6-dev.txt\n" in archive.read(f"{facts}/METADATA")
