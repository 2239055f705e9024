"""The extensions that are measured beside each other: each fetches the same secrets, and then asks for an event."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALLED = Path(sys.executable).with_name("keystart")
LAYER = next(
    (ROOT / "target/standalone").glob("*/keystart"), ROOT / "target/standalone/keystart"
)  # the one-file executable, where it was built

GO = "go"
PIP = "keystart, pip"
YAML = "keystart, pip, YAML"
ORACLE = "keystart, pip, boto3"
ONE_FILE = "keystart, layer"
BOTO3 = "boto3"


class CannotMeasure(Exception):
    """Something that the measurement needs is not there; the text says what."""


@dataclass(frozen=True)
class Extension:
    """How an extension is started."""

    command: Sequence[str | Path]
    variables: Mapping[str, str]


def extensions(folder: Path, secrets: int) -> dict[str, Extension]:
    """Every extension there is here, by its name, told to fetch this many secrets into `folder`/store."""
    names = [f"s{number}" for number in range(secrets)]
    pairs = ",".join(f"{name}=bench/{name}" for name in names)
    yaml = folder / f"{secrets}.yaml"
    yaml.write_text("version: 1\nsecrets:\n" + "".join(f"  {name}: bench/{name}\n" for name in names))
    store = str(folder / "store")
    peer = {"PEER_SECRETS": pairs, "PEER_DIR": store}
    ours = {"KEYSTART_SECRETS": pairs, "KEYSTART_DIR": store}
    all = {
        GO: Extension([_go(folder)], peer),
        ONE_FILE: Extension([LAYER], ours),
        PIP: Extension([INSTALLED], ours),
        YAML: Extension([INSTALLED], {"KEYSTART_CONFIG": str(yaml), "KEYSTART_DIR": store}),
        ORACLE: Extension([INSTALLED], {**ours, "KEYSTART_SOURCE": "boto3"}),
        BOTO3: Extension([sys.executable, HERE / "peers/boto3/extension.py"], peer),
    }
    if not LAYER.exists():
        del all[ONE_FILE]
    return all


def _go(folder: Path) -> Path:
    program = folder / "peer"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise CannotMeasure("the Go extension cannot be built: install Go 1.24 or newer (golang-go)")
    built = subprocess.run(
        [go, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "."],
        cwd=HERE / "peers/go",
        capture_output=True,
        text=True,
    )
    if built.returncode != 0:
        raise CannotMeasure(f"the Go extension cannot be built:\n{built.stderr}")
    return program
