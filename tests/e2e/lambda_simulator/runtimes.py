"""The runtimes' command lines: AWS's own interface clients, and small loops of ours. Starts nothing."""

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
    """How a runtime is started.

    The command, to which the handler is appended; what AWS_EXECUTION_ENV says; and the host's folders it needs, which
    stay visible where they lie in /tmp.
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
    """aws-lambda-ric (npm) in the Node that is found on PATH."""
    program = _program("node")
    if not (NODE_CLIENT / "dist" / "rapid-client.node").exists():
        raise RuntimeMissingError(f"aws-lambda-ric is not installed: npm ci --prefix {FOLDER / 'node'}")
    return Runtime((program, str(NODE_CLIENT / "bin" / "index.mjs")), "AWS_Lambda_nodejs20.x", (FOLDER,))


def node_loop() -> Runtime:
    """bootstrap.mjs, a small loop of ours, in the Node that is found on PATH: nothing compiles for it."""
    return Runtime(
        (_program("node"), str(FOLDER / "node" / "bootstrap.mjs")), "AWS_Lambda_nodejs20.x", (FOLDER,)
    )


def ruby() -> Runtime:
    """bootstrap.rb, a small loop of ours, in the Ruby that is found on PATH."""
    return Runtime((_program("ruby"), str(FOLDER / "ruby" / "bootstrap.rb")), "AWS_Lambda_ruby3.1", (FOLDER,))


def echo() -> Runtime:
    """A loop that answers with its event and needs no handler: the quickest to start."""
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
