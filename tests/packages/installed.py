"""Runs what a user would run, away from the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONSUMERS = Path(__file__).parent / "consumers"
# What this checkout's environment sets, and what would let an installed package be found in the checkout.
OURS = (
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "NODE_PATH",
    "RUBYLIB",
    "RUBYOPT",
    "GEM_HOME",
    "GEM_PATH",
    "PYENV_VERSION",
)


def run(*command: str | Path, cwd: Path, stdin: str | None = None, **variables: str) -> str:
    """What a program prints; one that fails fails the test, with what it said."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """A store, and what every consumer must say of it."""

    root: Path
    answer: dict[str, Any]

    @property
    def variables(self) -> dict[str, str]:
        """What lets a reader find the store."""
        return {"KEYSTART_DIR": str(self.root), "KEYSTART_TIMEOUT_MS": "0"}

    def check(self, *command: str | Path, cwd: Path, **variables: str) -> None:
        """Runs a consumer and checks its answer."""
        self.check_answer(self.read(*command, cwd=cwd, **variables))

    def check_answer(self, said: str) -> None:
        """A consumer prints what it read as one JSON object."""
        assert json.loads(said) == self.answer

    def read(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Runs a program that reads the store, and gives what it prints."""
        return run(*command, cwd=cwd, **self.variables, **variables)


def example(readme: str, language: str) -> str:
    """The first block of code in a language: the function that the README shows."""
    found = re.search(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no example in {language}"
    return found[1]
