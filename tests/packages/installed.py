"""Runs programs as users run them, away from the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONSUMERS = Path(__file__).parent / "consumers"
# The variables of this checkout's environment, and those that would find an installed package in the checkout.
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
    """Returns the output of a program. If the program fails, the test fails with its output."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installation:
    """A store, and what every consumer must print about it."""

    root: Path
    answer: dict[str, Any]

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which a reader finds the store."""
        return {"KEYSTART_DIR": str(self.root), "KEYSTART_TIMEOUT_MS": "0"}

    def check(self, *command: str | Path, cwd: Path, **variables: str) -> None:
        """Runs a consumer and checks its answer."""
        self.check_answer(self.read(*command, cwd=cwd, **variables))

    def check_answer(self, said: str) -> None:
        """Runs a consumer that prints what it read as one JSON object, and returns that."""
        assert json.loads(said) == self.answer

    def read(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Runs a program that reads the store, and returns its output."""
        return run(*command, cwd=cwd, **self.variables, **variables)


def example(readme: str, language: str) -> str:
    """Returns the first block of code in a language: the function that the README shows."""
    found = re.search(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no example in {language}"
    return found[1]
