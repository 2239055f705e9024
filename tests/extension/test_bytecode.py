"""Compiles the Python reader as the layer's build does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from extension.standalone.bytecode import write_bytecode
from extension.standalone.interpreters import VERSIONS, interpreter
from tests import ROOT


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "keystart"
    shutil.copytree(
        ROOT / "bindings/python/src/keystart", folder, ignore=shutil.ignore_patterns("__pycache__", "_native")
    )
    write_bytecode(folder)
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_python_loads_the_bytecode_and_does_not_look_into_the_source(package: Path, version: str) -> None:
    program = interpreter(version)
    if program is None:
        pytest.skip(f"this machine has no CPython {version}")
    (package / "errors.py").write_text("raise SystemExit('the source was compiled')")
    code = f"import sys; sys.path[:0] = [{str(package)!r}]; import errors; print(errors.NotReady.code)"
    done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("not_ready\n", "")


def test_the_same_sources_become_the_same_bytes(package: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere/keystart"
    shutil.copytree(package, again, ignore=shutil.ignore_patterns("__pycache__"))
    missing = write_bytecode(again)
    compiled = {file.name: file.read_bytes() for file in (package / "__pycache__").iterdir()}
    assert compiled == {file.name: file.read_bytes() for file in (again / "__pycache__").iterdir()}
    found = [version for version in VERSIONS if version not in missing]
    names = {f"errors.cpython-{version.replace('.', '')}.pyc" for version in found}
    assert {name for name in compiled if name.startswith("errors.")} == names
    assert not any(name.startswith("testing.") for name in compiled)
