"""Prepares functions in three languages with the layer's zip for AWS's emulator. It checks nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT
from tests.e2e import stage
from tests.e2e.lambda_simulator import runtimes
from tests.e2e.lambda_simulator.variables import Credentials
from tests.fakes.aws import REGION

from .emulator import Emulator

FUNCTIONS = Path(__file__).parent / "functions"
NODE_PATH = ROOT / "tests/examples/node_path.mjs"


@dataclass(frozen=True)
class Language:
    """A function's file, its runtime, and the variables with which Lambda's own runtimes find readers in /opt."""

    file: str
    runtime: Callable[[], runtimes.Runtime]
    variables: dict[str, str]


LANGUAGES = {
    "python": Language("app.py", runtimes.python, {"PYTHONPATH": "/opt/python"}),
    "node": Language(
        "app.mjs",
        runtimes.node,
        {"NODE_PATH": "/opt/nodejs/node_modules", "NODE_OPTIONS": f"--import={NODE_PATH.as_uri()}"},
    ),
    "ruby": Language("app.rb", runtimes.ruby, {"RUBYLIB": "/opt/ruby/lib"}),
}


def environment(
    scratch: Path, opt: Path, language: str, endpoint: str, configuration: str = stage.CONFIGURATION
) -> Emulator:
    """Returns AWS's emulator with the layer, and a function that reads all its secrets at import."""
    chosen = LANGUAGES[language]
    task = scratch / f"task-{language}"
    task.mkdir()
    shutil.copy(FUNCTIONS / chosen.file, task)
    (task / "keystart.yaml").write_text(configuration)
    return Emulator(
        opt=opt,
        task=task,
        runtime=chosen.runtime(),
        handler="app.handler",
        variables={
            **chosen.variables,
            **Credentials().variables(),
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint,
        },
        visible=[scratch],
    )
