"""The extensions to compare. Each fetches the same secrets, and then asks for an event."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Debian's interpreter is built for speed, as those of images are. A developer's own may not be.
PYTHON = Path("/usr/bin/python3.11") if Path("/usr/bin/python3.11").exists() else Path(sys.executable)
# The one-file executable, if it was built.
LAYER = ROOT / "target/standalone" / ("x86_64" if platform.machine() == "x86_64" else "arm64") / "keystart"

GO = "go"
PIP = "keystart, interpreter"
ONE_FILE = "keystart, layer"
BOTO3 = "boto3"
# The extensions of every comparison, and those that show what a configuration in a file costs.
COMPARED = (GO, ONE_FILE, PIP, BOTO3)
GO_YAML = "go, YAML"
YAML = "keystart, interpreter, YAML"
GO_SQUARE = "go, Square's file"
SQUARE = "keystart, layer, Square's file"
PIP_SQUARE = "keystart, interpreter, Square's file"
WITH_FILES = (GO_YAML, YAML, GO_SQUARE, SQUARE, PIP_SQUARE)


class CannotMeasureError(Exception):
    """The measurement lacks something. The text says what."""


@dataclass(frozen=True)
class Extension:
    """The command that starts an extension."""

    command: Sequence[str | Path]
    variables: Mapping[str, str]


def extensions(folder: Path, secrets: int, only: Collection[str] = COMPARED) -> dict[str, Extension]:
    """Returns those of the named extensions that exist here, configured to fetch this many secrets into `store`."""
    names = [f"s{number}" for number in range(secrets)]
    pairs = ",".join(f"{name}=bench/{name}" for name in names)
    where = str(store(folder))
    yaml, square = folder / f"{secrets}.yaml", folder / f"{secrets}-square.yaml"
    yaml.write_text("version: 1\nsecrets:\n" + "".join(f"  {name}: bench/{name}\n" for name in names))
    items = "".join(f"    - secretname: bench/{name}\n      filename: {name}\n" for name in names)
    square.write_text(f'SecretManagers:\n- prefix: ""\n  secrets:\n{items}SecretsHome: {where}-links\n')
    squares = {"KEYSTART_CONFIG": str(square), "KEYSTART_DIR": where}
    peer = {"PEER_SECRETS": pairs, "PEER_DIR": where}
    ours = {"KEYSTART_SECRETS": pairs, "KEYSTART_DIR": where}
    command = installed(folder)
    known = {
        GO: Extension([go_extension(folder)], peer),
        ONE_FILE: Extension([LAYER], ours),
        PIP: Extension([command], ours),
        BOTO3: Extension([command.with_name("python"), HERE / "peers/boto3/extension.py"], peer),
        GO_YAML: Extension([go_extension(folder, "yaml")], {"PEER_CONFIG": str(yaml), "PEER_DIR": where}),
        YAML: Extension([command], {"KEYSTART_CONFIG": str(yaml), "KEYSTART_DIR": where}),
        GO_SQUARE: Extension(
            [go_extension(folder, "square")], {"PEER_CONFIG": str(square), "PEER_DIR": where}
        ),
        SQUARE: Extension([LAYER], squares),
        PIP_SQUARE: Extension([command], squares),
    }
    return {
        name: each
        for name, each in known.items()
        if name in only and (each.command != [LAYER] or LAYER.exists())
    }


def store(folder: Path) -> Path:
    """Returns the folder for secrets, in memory if possible: after many deletions ext4 takes long to make files."""
    memory = Path("/dev/shm")  # noqa: S108 the run's own folder lies below it
    return (memory if os.access(memory, os.W_OK) else folder.parent) / folder.name / "store"


def installed(folder: Path) -> Path:
    """Returns the command in an environment with only our two packages and their needs, as `pip install` makes it.

    The checkout's environment would not do: each start reads what its other packages add to the interpreter (`.pth`
    files).
    """
    environment = folder / "installed"
    command = environment / "bin/keystart"
    if command.exists():
        return command
    python = environment / "bin/python"
    _run([PYTHON, "-m", "venv", "--without-pip", environment], ROOT)
    uv: list[str | Path] = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--constraint",
        ROOT / "requirements.lock",
    ]
    _run([*uv, "--python", python, "cffi", "boto3", "PyYAML"], ROOT)
    # The packages as `./dev build` made them: compiling wheels would take a minute for the same files.
    (packages,) = environment.glob("lib/python3.*/site-packages")
    for package in ("bindings/python/src/keystart", "extension/src/keystart_extension"):
        shutil.copytree(ROOT / package, packages / Path(package).name)
    _run([python, "-m", "compileall", "-q", packages], ROOT)
    script = (ROOT / "extension/data/scripts/keystart").read_text()
    command.write_text(script.replace("#!python", f"#!{python}", 1))
    command.chmod(0o755)
    return command


def go_extension(folder: Path, configuration: str = "pairs") -> Path:
    """Builds the Go extension, with only the code that reads that form of a configuration."""
    program = folder / f"peer-{configuration}"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise CannotMeasureError("the Go extension cannot be built: install Go 1.24 or newer (golang-go)")
    _run(
        [go, "build", "-tags", configuration, "-trimpath", "-ldflags=-s -w", "-o", program, "."],
        HERE / "peers/go",
    )
    return program


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise CannotMeasureError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
