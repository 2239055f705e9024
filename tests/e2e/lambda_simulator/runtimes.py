"""The runtimes' command lines: AWS's interface clients, and small loops of ours. It starts nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import RuntimeMissingError

FOLDER = Path(__file__).resolve().parent.parent / "runtimes"
NODE_CLIENT = FOLDER / "node" / "node_modules" / "aws-lambda-ric"


@dataclass(frozen=True)
class Runtime:
    """The command that starts a runtime.

    The handler is appended to it. The other members are the value of AWS_EXECUTION_ENV, and the host's folders that the
    runtime needs, which stay visible if they lie in /tmp.
    """

    command: Sequence[str]
    execution_env: str
    visible: Sequence[Path] = ()


def python() -> Runtime:
    """Returns awslambdaric (PyPI) in the interpreter that runs the simulator."""
    if importlib.util.find_spec("awslambdaric") is None:
        raise RuntimeMissingError(
            f"awslambdaric is not installed: {sys.executable} -m pip install awslambdaric"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = (sys.executable, "-m", "awslambdaric")
    return Runtime(command, f"AWS_Lambda_python{version}", (Path(sys.prefix), Path(sys.base_prefix)))


def node() -> Runtime:
    """Returns aws-lambda-ric (npm) in the Node on PATH."""
    program = _program("node")
    if not (NODE_CLIENT / "dist" / "rapid-client.node").exists():
        raise RuntimeMissingError(f"aws-lambda-ric is not installed: npm ci --prefix {FOLDER / 'node'}")
    return Runtime((program, str(NODE_CLIENT / "bin" / "index.mjs")), "AWS_Lambda_nodejs20.x", (FOLDER,))


def node_loop() -> Runtime:
    """Returns bootstrap.mjs, a small loop of ours, in the Node on PATH. It needs no compiler."""
    return Runtime(
        (_program("node"), str(FOLDER / "node" / "bootstrap.mjs")), "AWS_Lambda_nodejs20.x", (FOLDER,)
    )


def ruby() -> Runtime:
    """Returns bootstrap.rb, a small loop of ours, in the Ruby on PATH."""
    return Runtime((_program("ruby"), str(FOLDER / "ruby" / "bootstrap.rb")), "AWS_Lambda_ruby3.1", (FOLDER,))


def echo() -> Runtime:
    """Returns a loop that answers with its event and needs no handler: the quickest to start."""
    loop = Path(__file__).with_name("echo_runtime.py")
    return Runtime(
        (sys.executable, "-I", "-S", str(loop)), "AWS_Lambda_simulated", (loop.parent, Path(sys.prefix))
    )


BY_NAME = {"python": python, "node": node, "node-loop": node_loop, "ruby": ruby, "echo": echo}


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeMissingError(f"{name} is not on PATH ({os.environ.get('PATH', '')})")
    return found
