"""Takes the layer's zip as Lambda does: unpacked to one place, for functions that bring no Keystart of their own."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cloud import Cloud
from interpreters import VERSIONS, interpreter

ROOT = Path(__file__).parents[2]
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
ZIP = next((ROOT / "dist").glob(f"keystart-layer-*-{ARCHITECTURE}.zip"))


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Lambda has under /opt."""
    folder = tmp_path_factory.mktemp("layer") / "opt"
    with zipfile.ZipFile(ZIP) as archive:
        for info in archive.infolist():
            path = Path(archive.extract(info, folder))
            path.chmod(info.external_attr >> 16)
    return folder


@pytest.fixture
def store(opt: Path, tmp_path: Path) -> Iterator[Path]:
    """The root of a store that the layer's extension has published."""
    cloud = Cloud(tmp_path, latency=0.0)
    root = tmp_path / "store"
    variables = {**cloud.variables(), "KEYSTART_SECRETS": "db=prod/db", "KEYSTART_DIR": str(root)}
    process = subprocess.Popen(
        [opt / "extensions/keystart"], env=variables, stderr=subprocess.PIPE, text=True
    )
    assert cloud.waits(20)
    yield root
    cloud.shut_down()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said


def read(command: Sequence[str], variables: dict[str, str], store: Path) -> str:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "KEYSTART_DIR": str(store), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_a_python_function_reads_with_the_layers_reader(opt: Path, store: Path, version: str) -> None:
    program = interpreter(version)
    if program is None:
        pytest.skip(f"this machine has no CPython {version}")
    code = (
        "import keystart, _cffi_backend; print(keystart.get('db'), keystart.__file__, _cffi_backend.__file__)"
    )
    # As Lambda's runtime for Python has it on its path; -S, so that what this machine has installed is not seen.
    value, *files = read([program, "-S", "-c", code], {"PYTHONPATH": str(opt / "python")}, store).split()
    assert value == "x" * 100
    assert all(file.startswith(f"{opt}/python/") for file in files)


def test_a_node_function_requires_the_layers_reader(opt: Path, store: Path, tmp_path: Path) -> None:
    program = tmp_path / "app.cjs"
    program.write_text("console.log(require('keystart').get('db'), require.resolve('keystart'))")
    value, file = read(["node", str(program)], {"NODE_PATH": str(opt / "nodejs/node_modules")}, store).split()
    assert (value, file.startswith(f"{opt}/nodejs/")) == ("x" * 100, True)


def test_a_ruby_function_requires_the_layers_reader(opt: Path, store: Path) -> None:
    code = "require 'keystart'; puts Keystart.get('db'), $LOADED_FEATURES.grep(/keystart.rb/)"
    value, file = read(["ruby", "-e", code], {"RUBYLIB": str(opt / "ruby/lib")}, store).split()
    assert (value, file) == ("x" * 100, f"{opt}/ruby/lib/keystart.rb")


def test_lambda_finds_one_extension_that_it_can_execute() -> None:
    with zipfile.ZipFile(ZIP) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    extensions = {name: mode for name, mode in modes.items() if name.startswith("extensions/")}
    assert extensions == {"extensions/keystart": 0o100755}
    assert {mode for name, mode in modes.items() if name not in extensions} == {0o100644}
    folders = {name.split("/")[0] for name in modes}
    assert folders == {"extensions", "python", "nodejs", "ruby", "share"}


def test_what_lies_beside_the_zip_is_about_it() -> None:
    digest = hashlib.sha256(ZIP.read_bytes()).hexdigest()
    assert ZIP.with_suffix(".zip.sha256").read_text() == f"{digest}  {ZIP.name}\n"
    sbom = json.loads(ZIP.with_suffix(".cdx.json").read_text())
    assert sbom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    names = {component["name"] for component in sbom["components"]}
    assert {
        "aws-sdk-secretsmanager",
        "rustls",
        "ring",
        "cffi",
        "pyyaml",
        "libpython3.11-dev",
        "libc6-dev",
    } <= names


def test_the_same_sources_give_the_same_bytes() -> None:
    before = ZIP.read_bytes()
    subprocess.run([sys.executable, ROOT / "extension/standalone/layer.py"], check=True, capture_output=True)
    assert hashlib.sha256(ZIP.read_bytes()).hexdigest() == hashlib.sha256(before).hexdigest()
