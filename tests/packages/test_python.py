"""The wheel and the source distribution, installed by pip into an empty environment of each CPython."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from extension.standalone.interpreters import VERSIONS, interpreter
from tests.fakes.timed import TimedCloud

from .installed import CONSUMERS, Installation, example, run

Package = Callable[[str], Path]
Unhurried = Callable[[str], None]

# 3.10's wheels of cffi begin with this version; pyproject.toml promises it.
OLDEST_CFFI = "1.15.0"
PATIENCE = 30.0  # seconds; only a test that fails waits for so long


def environment(folder: Path, version: str, *packages: str | Path, **variables: str) -> Path:
    """Returns the interpreter of a new environment with these packages and their dependencies."""
    base = interpreter(version)
    if base is None:
        pytest.skip(f"this machine has no CPython {version}")
    run(base, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", *packages, cwd=folder, **variables)
    return python


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder for cargo's build from the source distribution, kept for the next Python."""
    return tmp_path_factory.mktemp("target")


@pytest.mark.parametrize("kind", ["keystart-*.tar.gz", "keystart_extension-*.tar.gz"])
def test_a_source_distribution_holds_what_its_build_begins_with(
    kind: str, package: Package, tmp_path: Path
) -> None:
    shutil.unpack_archive(package(kind), tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    run("maturin", "pep517", "write-dist-info", "--metadata-directory", tmp_path, cwd=folder)
    assert all(os.access(script, os.X_OK) for script in folder.glob("data/scripts/*"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["keystart-*_x86_64.whl", "keystart-*.tar.gz"], ids=["wheel", "sdist"])
def test_it_installs_reads_and_is_typed(
    kind: str,
    version: str,
    package: Package,
    store: Installation,
    target: Path,
    tmp_path: Path,
    unhurried: Unhurried,
) -> None:
    if kind.endswith(".tar.gz"):
        unhurried("it compiles the core")
    if version != "3.11":
        unhurried("one CPython is enough")
    python = environment(tmp_path, version, package(kind), CARGO_TARGET_DIR=str(target))
    consumer = shutil.copy(CONSUMERS / "consumer.py", tmp_path)
    store.check(python, "-I", consumer, cwd=tmp_path)
    # Without the settings of this repository, which would find the sources.
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python)]
    assert run(*mypy, consumer, cwd=tmp_path).startswith("Success")


def test_it_works_with_the_oldest_cffi_that_it_accepts(
    package: Package, store: Installation, tmp_path: Path, unhurried: Unhurried
) -> None:
    unhurried("one CPython is enough")
    python = environment(tmp_path, "3.10", package("keystart-*_x86_64.whl"), f"cffi=={OLDEST_CFFI}")
    store.check(python, "-I", CONSUMERS / "consumer.py", cwd=tmp_path)


def test_the_example_of_the_readme_runs_as_it_stands(
    package: Package, store: Installation, tmp_path: Path
) -> None:
    python = environment(tmp_path, "3.11", package("keystart-*_x86_64.whl"))
    description = "from importlib.metadata import metadata; print(metadata('keystart').get_payload())"
    readme = run(python, "-I", "-c", description, cwd=tmp_path)
    (tmp_path / "function.py").write_text(example(readme, "python"))
    call = "import function; print(function.handler({'amount': 7}, None))"
    said = store.read(python, "-c", call, cwd=tmp_path)
    assert (
        said == "{'user': 'orders', 'charged': '7 with <Secret \"stripe/key\" (redacted)>', 'ready': True}\n"
    )


@pytest.mark.parametrize(
    "kind", ["keystart_extension-*_x86_64.whl", "keystart_extension-*.tar.gz"], ids=["wheel", "sdist"]
)
def test_the_extension_installs_beside_the_reader(
    kind: str, package: Package, store: Installation, tmp_path: Path, unhurried: Unhurried
) -> None:
    unhurried("it compiles AWS's SDK")
    python = environment(tmp_path, "3.11", package("keystart-*_x86_64.whl"), package(kind))
    command = python.with_name("keystart")
    assert store.read(command, "get", "stripe/key", cwd=tmp_path) == store.answer["text"]
    assert "usage: keystart attach" in store.read(command, "attach", "--help", cwd=tmp_path)


def test_a_copy_of_the_command_is_the_extension_and_needs_no_python(
    package: Package, tmp_path: Path, unhurried: Unhurried
) -> None:
    unhurried("it compiles AWS's SDK")
    wheels = [package(f"{name}-*_x86_64.whl") for name in ("keystart", "keystart_extension")]
    command = environment(tmp_path, "3.11", *wheels).with_name("keystart")
    if not command.with_name("keystart-python").exists():
        pytest.skip("this machine builds no executable for the wheel")
    extension = tmp_path / "extensions/keystart"
    extension.parent.mkdir()
    shutil.copy(command, extension)
    shutil.rmtree(tmp_path / "venv")
    cloud = TimedCloud(tmp_path)
    variables = {
        **cloud.variables(),
        "KEYSTART_DIR": str(tmp_path / "root"),
        "KEYSTART_SECRETS": "db=prod/db",
    }
    with subprocess.Popen([extension], env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert cloud.waits(PATIENCE)
        cloud.shut_down()
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert re.fullmatch(r"\[keystart\] INFO  published 1 secret as generation 1 in \d+ ms\n", log)
