"""Collects what is wrong with a configuration, so that all of it is told together; it decides nothing."""

from __future__ import annotations

from typing import NamedTuple

from ..plan import Origin


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    message: str
    origin: Origin

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


class ConfigurationError(Exception):
    """Says everything that is wrong with a configuration, a line each, in the order of position."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(problems, key=_position))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """The problems found so far. Reading goes on after one, and `raise_if_any` ends it."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, message: str, origin: Origin) -> None:
        self._found.append(Problem(message, origin))

    @property
    def count(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        if self._found:
            raise ConfigurationError(tuple(self._found))


def _position(problem: Problem) -> tuple[str, int, int]:
    return (problem.origin.file, problem.origin.line or 0, problem.origin.column or 0)
