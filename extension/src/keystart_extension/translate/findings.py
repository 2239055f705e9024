"""What a file of another tool asks for, and what cannot be translated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """Where something is in a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Secret:
    """An entry of the configuration. `source` has the keys of its long form, without `env`.

    `region` is that of an id without one; None is the function's.
    """

    name: str
    source: Mapping[str, str | bool]
    place: Place
    env: str | None = None
    region: str | None = None
    is_guess: bool = False


class Problem(NamedTuple):
    """What cannot be translated, and why. The reason never repeats a value, which may be a secret."""

    place: Place
    reason: str


@dataclass
class Findings:
    """What was found in files."""

    secrets: list[Secret] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    """What --function can name in the files: functions, and tasks or their containers."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, place: Place, reason: str) -> None:
        """Adds what cannot be translated."""
        self.problems.append(Problem(place, reason))

    def note(self, note: str) -> None:
        """Adds what the person has to do, once."""
        if note not in self.notes:
            self.notes.append(note)


def name_of(text: str) -> str:
    """Returns the name of a secret for a variable or an id: `db-password` for DB_PASSWORD, `orders/db` for a path."""
    if re.fullmatch("[A-Z][A-Z0-9_]*", text):
        text = text.lower().replace("_", "-")
    segments = [re.sub("[^A-Za-z0-9_.-]", "-", part).strip(".-") for part in text.split("/")]
    return "/".join(part for part in segments if part)
