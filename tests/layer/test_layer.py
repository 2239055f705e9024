"""Uses the layer's zip as Lambda does: unpacked to one place, for functions without their own Keystart."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from keystart_extension import __version__

from extension.standalone import layer as builder
from extension.standalone.interpreters import VERSIONS, interpreter
from extension.standalone.toolchain import PYTHON, ROOT, TARGETS, MissingError, Target
from tests.docs.pages import fenced
from tests.fakes.timed import TimedCloud
from tests.packages.build import least_glibc, numbers

from .sandbox import Layer, Sandbox

# Amazon Linux 2, the oldest system of Lambda.
OLDEST_GLIBC = "2.26"
SECRETS = json.dumps({"db": {"secret": "prod/db", "env": "DB_PASSWORD"}})


@pytest.fixture(scope="module")
def opt(native: Layer) -> Path:
    """Returns what Lambda has under /opt, for this machine."""
    return native.opt


@pytest.fixture
def store(opt: Path, tmp_path: Path) -> Iterator[Path]:
    """Returns the root of a store that the layer's extension has published."""
    cloud = TimedCloud(tmp_path, latency=0.0)
    root = tmp_path / "store"
    variables = {**cloud.variables(), "KEYSTART_SECRETS": SECRETS, "KEYSTART_DIR": str(root)}
    process = subprocess.Popen(
        [opt / "extensions/keystart"], env=variables, stderr=subprocess.PIPE, text=True
    )
    assert cloud.waits(20)
    yield root
    cloud.shut_down()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said


def read(command: Sequence[str | Path], variables: dict[str, str], store: Path) -> str:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "KEYSTART_DIR": str(store), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CODE = "import keystart, _cffi_backend; print(keystart.get('db'), keystart.__file__, _cffi_backend.__file__)"


def test_the_page_states_the_sizes_of_the_layer(native: Layer) -> None:
    if native.target.machine != "x86_64":
        pytest.skip(f"docs/layer.md has the sizes for x86_64, and this machine is {native.target.machine}")
    page = (ROOT / "docs/layer.md").read_text()
    stated = dict(re.findall(r"^\| `([^`]+)` \| .* \| ([\d.]+) \|$", page, re.MULTILINE))
    assert {path.split("/")[0] for path in stated} == {path.name for path in native.opt.iterdir()}
    (whole,) = re.findall(r"\| ([\d.]+) MB as a zip \| ([\d.]+) \|", page)
    files = [path for path in native.opt.rglob("*") if path.is_file()]
    sizes = {
        path: sum(file.stat().st_size for file in files if file.is_relative_to(native.opt / path))
        for path in (*stated, ".")
    }
    figures = {**stated, ".": whole[1], "zip": whole[0]}
    for path, size in {**sizes, "zip": native.zip.stat().st_size}.items():
        assert abs(size / 1e6 - float(figures[path])) < 0.06 + 0.02 * float(figures[path]), path


@pytest.mark.parametrize("version", VERSIONS)
def test_a_python_function_reads_with_the_layers_reader(opt: Path, store: Path, version: str) -> None:
    program = interpreter(version)
    if program is None:
        pytest.skip(f"this machine has no CPython {version}")
    # The path of Lambda's Python runtime has it. -S hides what this machine has installed.
    value, *files = read([program, "-S", "-c", CODE], {"PYTHONPATH": str(opt / "python")}, store).split()
    assert value == "x" * 100
    assert all(file.startswith(f"{opt}/python/") for file in files)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cold_start_compiles_nothing_of_the_python_reader(
    opt: Path, store: Path, tmp_path: Path, version: str
) -> None:
    program = interpreter(version)
    if program is None:
        pytest.skip(f"this machine has no CPython {version}")
    shutil.copytree(opt / "python", tmp_path / "python")
    for source in (tmp_path / "python/keystart").rglob("*.py"):
        source.write_text("raise SystemExit('a source was compiled')")
    variables = {"PYTHONPATH": str(tmp_path / "python")}
    assert read([program, "-S", "-c", CODE], variables, store).split()[0] == "x" * 100


def test_a_python_function_of_another_machine_reads_with_the_layers_reader(layer: Layer, store: Path) -> None:
    if layer.emulator is None:
        pytest.skip("this machine's own interpreters have a test of their own")
    debian = layer.target.debian
    command: list[str | Path] = [layer.emulator, "-L", debian, debian / "usr/bin" / PYTHON, "-S", "-c", CODE]
    variables = {"PYTHONHOME": str(debian / "usr"), "PYTHONPATH": str(layer.opt / "python")}
    value, *files = read(command, variables, store).split()
    assert value == "x" * 100
    assert all(file.startswith(f"{layer.opt}/python/") for file in files)
    assert f"-{layer.target.machine}-" in files[1]


def test_a_node_function_requires_the_layers_reader(opt: Path, store: Path, tmp_path: Path) -> None:
    program = tmp_path / "app.cjs"
    program.write_text("console.log(require('keystart').get('db'), require.resolve('keystart'))")
    value, file = read(["node", str(program)], {"NODE_PATH": str(opt / "nodejs/node_modules")}, store).split()
    assert (value, file.startswith(f"{opt}/nodejs/")) == ("x" * 100, True)


@dataclass(frozen=True)
class Function:
    """A function whose package holds its own reader, and how Lambda starts it with the layer."""

    command: tuple[str, ...]
    variables: dict[str, str]


def python_function(opt: Path, task: Path) -> Function:
    shutil.copytree(opt / "python", task, dirs_exist_ok=True)
    (task / "app.py").write_text(
        "import keystart, re\n"
        "maps = open('/proc/self/maps').read()\n"
        "print(keystart.__file__, *set(re.findall('/.*lib_native.so', maps)), sep='\\n')\n"
        "try: print(keystart.get('db'))\n"
        "except keystart.ManifestUnsupported as error: print(error)\n"
    )
    # -S hides what this machine has installed.
    return Function((sys.executable, "-S", f"{task}/app.py"), {"PYTHONPATH": f"{task}:{opt}/python"})


def node_function(opt: Path, task: Path, file: str, load: str, resolve: str) -> Function:
    shutil.copytree(opt / "nodejs/node_modules", task / "node_modules")
    (task / file).write_text(
        f"{load}\n"
        f"console.log({resolve}('keystart').replace('file://', ''));\n"
        "try { console.log(keystart.get('db')); } catch (error) {\n"
        "  if (!(error instanceof keystart.ManifestUnsupported)) throw error;\n"
        "  console.log(error.message);\n"
        "}\n"
    )
    return Function(("node", f"{task}/{file}"), {"NODE_PATH": f"{opt}/nodejs/node_modules"})


def node_function_that_requires(opt: Path, task: Path) -> Function:
    return node_function(opt, task, "app.cjs", "const keystart = require('keystart');", "require.resolve")


def node_function_that_imports(opt: Path, task: Path) -> Function:
    return node_function(opt, task, "app.mjs", "import keystart from 'keystart';", "import.meta.resolve")


def ruby_function(opt: Path, task: Path) -> Function:
    """Puts the files into the package itself, which is on the load path."""
    shutil.copytree(ROOT / "bindings/ruby/lib", task, dirs_exist_ok=True)
    return ruby_function_beside(opt, task)


def ruby_function_with_a_gem(opt: Path, task: Path) -> Function:
    """Puts the gem where Bundler does."""
    gem = task / "keystart.gem"
    folder = task / "vendor/bundle/ruby"
    commands = (
        ["gem", "build", "--silent", "keystart.gemspec", "-o", str(gem)],
        ["gem", "install", "--local", "--silent", "--no-document", "--install-dir", str(folder), str(gem)],
    )
    for command in commands:
        subprocess.run(command, cwd=ROOT / "bindings/ruby", check=True)
    return ruby_function_beside(opt, task)


def ruby_function_beside(opt: Path, task: Path) -> Function:
    (task / "app.rb").write_text(
        "require 'keystart'\n"
        "puts Keystart.method(:get).source_location.first\n"
        "begin\n"
        "  puts Keystart.get('db')\n"
        "rescue Keystart::ManifestUnsupported => e\n"
        "  puts e.message\n"
        "end\n"
    )
    variables = {"GEM_PATH": f"{task}/vendor/bundle/ruby", "RUBYLIB": f"{task}:{opt}/ruby/lib"}
    return Function(("ruby", "-w", f"{task}/app.rb"), variables)


def test_a_ruby_function_requires_the_layers_reader(opt: Path, store: Path, tmp_path: Path) -> None:
    function = ruby_function_beside(opt, tmp_path)
    file, value = read(function.command, function.variables, store).split()
    assert (value, file) == ("x" * 100, f"{opt}/ruby/keystart/lib/keystart.rb")


@pytest.fixture(
    params=[
        python_function,
        node_function_that_requires,
        node_function_that_imports,
        ruby_function,
        ruby_function_with_a_gem,
    ]
)
def function(request: pytest.FixtureRequest, opt: Path, tmp_path: Path) -> Function:
    task = tmp_path / "task"
    task.mkdir()
    made: Function = request.param(opt, task)
    return made


def test_the_reader_of_the_functions_own_package_wins(
    function: Function, store: Path, tmp_path: Path
) -> None:
    *files, value = read(function.command, function.variables, store).split()
    assert value == "x" * 100
    assert all(file.startswith(f"{tmp_path}/task/") for file in files)


def test_a_contract_that_reader_and_extension_do_not_share_is_said(function: Function, store: Path) -> None:
    manifest = store / "current/manifest.json"
    manifest.write_text(manifest.read_text().replace("keystart.manifest/1", "keystart.manifest/2"))
    said = read(function.command, function.variables, store).splitlines()[-1]
    assert said == (
        'The manifest of generation 1 has the format "keystart.manifest/2", written by Keystart '
        f'"{__version__}", and this reader of Keystart {__version__} knows only '
        '"keystart.manifest/1". Use the same version of Keystart for the reader and the extension.'
    )


def without_library(keystart: Path) -> None:
    shutil.rmtree(keystart / "_native")


def of_another_version(keystart: Path) -> None:
    shutil.rmtree(keystart / "__pycache__")
    (keystart / "version.py").write_text('__version__ = "9.9.9"\n')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_library, "ImportError: cannot import name '_native'"),
        (of_another_version, "ImportError: keystart 9.9.9 found its core library in version "),
    ],
)
def test_a_python_reader_calls_only_its_own_library(
    change: Callable[[Path], None], said: str, opt: Path, store: Path, tmp_path: Path
) -> None:
    function = python_function(opt, tmp_path)
    change(tmp_path / "keystart")
    done = subprocess.run(
        function.command,
        env={**function.variables, "KEYSTART_DIR": str(store)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_the_wrapper_puts_a_secret_into_the_environment(opt: Path, store: Path) -> None:
    said = read([str(opt / "keystart-env"), "/usr/bin/env"], {}, store)
    assert f"DB_PASSWORD={'x' * 100}\n" in said


def test_the_wrapper_needs_nothing_and_listens_to_no_loader(layer: Layer, sandbox: Sandbox) -> None:
    shutil.copy2(layer.opt / "keystart-env", sandbox.root / "opt")
    sandbox.program = "/opt/keystart-env"
    assert sandbox.run("--version") == (0, f"keystart-env {__version__}\n", "")
    hostile = {"LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    code, out, error = sandbox.run("/opt/keystart-env", "--version", **hostile)
    said = [
        line for line in error.splitlines() if not line.startswith("ERROR: ld.so")
    ]  # of the sandbox's own shell
    begin = "[keystart] ERROR The runtime is not started: not_attached: There is no store at /tmp/keystart."
    assert (code, out, len(said), said[0].startswith(begin)) == (1, "", 1, True)


def test_the_wrapper_is_static_and_small(layer: Layer) -> None:
    file = layer.opt / "keystart-env"
    headers = subprocess.run(["readelf", "-lW", file], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers
    # Position-independent, so that its addresses are random, where rustc links static executables so.
    kind = {"x86_64": "DYN", "arm64": "EXEC"}[layer.target.name]
    assert f"Elf file type is {kind}" in headers
    assert file.stat().st_size < 1_500_000
    code = file.read_bytes()
    assert b"/.cargo/registry" not in code
    assert str(ROOT).encode() not in code


def test_lambda_finds_one_extension_that_it_can_execute(layer: Layer) -> None:
    with zipfile.ZipFile(layer.zip) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert [name for name in modes if name.startswith("extensions/")] == ["extensions/keystart"]
    executable = {name for name, mode in modes.items() if mode == 0o100755}
    assert executable == {"extensions/keystart", "keystart-env"}
    assert {mode for name, mode in modes.items() if name not in executable} == {0o100644}
    folders = {name.split("/")[0] for name in modes if "/" in name}
    assert folders == {"extensions", "python", "nodejs", "ruby", "share"}


def test_every_library_for_readers_loads_on_the_oldest_glibc_of_lambda(layer: Layer) -> None:
    libraries = sorted((layer.opt / "python").rglob("*.so"))
    assert len(libraries) == 1 + len(VERSIONS)  # the core, and cffi's backend for each Python
    for library in libraries:
        code = library.read_bytes()
        assert numbers(least_glibc(code)) <= numbers(OLDEST_GLIBC), library.name
        machine = ELFFile(BytesIO(code)).header["e_machine"]
        assert machine == f"EM_{layer.target.machine.upper()}", library.name


def test_what_lies_beside_the_zip_is_about_it(layer: Layer) -> None:
    digest = hashlib.sha256(layer.zip.read_bytes()).hexdigest()
    assert layer.zip.with_suffix(".zip.sha256").read_text() == f"{digest}  {layer.zip.name}\n"
    sbom = json.loads(layer.zip.with_suffix(".cdx.json").read_text())
    assert sbom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    names = {component["name"] for component in sbom["components"]}
    assert {
        "aws-sdk-secretsmanager",
        "rustls",
        "ring",
        "cffi",
        "libpython3.11-dev",
        "libc6-dev",
    } <= names


def test_the_same_sources_give_the_same_bytes(layer: Layer) -> None:
    before = layer.zip.read_bytes()
    first = fenced(ROOT / "README.md", "console")[0].splitlines()[0].removeprefix("$ ")
    assert first == "./dev keystart layer build"
    command = [*first.split(), *([] if layer.target.is_native else ["--arch", layer.target.name])]
    subprocess.run(command, cwd=ROOT, check=True)
    assert hashlib.sha256(layer.zip.read_bytes()).hexdigest() == hashlib.sha256(before).hexdigest()


def test_a_layer_that_cannot_be_built_here_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(target: Target) -> None:
        raise MissingError("a compiler is missing")

    monkeypatch.setattr(builder, "prepare", missing)
    monkeypatch.setattr(builder, "DIST", tmp_path)
    stale = tmp_path / f"keystart-layer-{__version__}-arm64.zip"
    stale.touch()
    builder._layer(TARGETS["arm64"], must=False)
    assert capsys.readouterr().err == "layer: there is no zip for arm64: a compiler is missing\n"
    assert not stale.exists()
    with pytest.raises(MissingError):
        builder._layer(TARGETS["arm64"], must=True)
