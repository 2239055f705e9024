"""Builds stores and asks all readers the same questions about each. It judges nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.conformance import store
from tests.conformance.case import Case, Place, request
from tests.conformance.runner import Runner, RunnerError
from tests.conformance.scripted import ScriptedWriter

from .questions import Question

Answers = dict[str, dict[str, Any]]

# Half of the capacity of a pipe: with more unanswered, a runner and this program could wait for each other.
WINDOW = 32_768
MEMORY = Path("/dev/shm")


# The errors of store.py if a description contradicts itself.
IMPOSSIBLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)


class Readers:
    """One runner for each language, in one working folder, and the stores for their questions."""

    def __init__(self, commands: dict[str, list[str]], patience: float) -> None:
        self.languages = list(commands)
        self._open = ExitStack()
        parent = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(
            self._open.enter_context(tempfile.TemporaryDirectory(prefix="keystart-fuzz-", dir=parent))
        ).resolve()
        cwd = self.folder / "cwd"
        cwd.mkdir()
        self._runners: dict[str, Runner] = {}
        for language, command in commands.items():
            runner = self._open.enter_context(Runner(language, command))
            runner.patience = patience
            shutil.rmtree(runner.cwd)
            runner.cwd = cwd
            self._runners[language] = runner
        self._cwd = cwd

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self) -> None:
        """Starts every runner. Raises RunnerError if one does not answer."""
        for runner in self._runners.values():
            runner.start()

    def place(self, number: int) -> Place:
        """Returns the place of the store of this number, and removes anything in its way."""
        folder = self.folder / str(number)
        if folder.exists():
            _removed(folder)
        folder.mkdir()
        return Place(folder / "store", self._cwd)

    def answers(self, asked: Sequence[tuple[Place, Question]]) -> list[Answers]:
        """Returns each reader's answer to each question about a store that does not change."""
        requests = [_request(place, question, f"{number}") for number, (place, question) in enumerate(asked)]
        found: list[Answers] = []
        for window in _windows(requests):
            try:
                found += self._exchange(window)
            except RunnerError:
                found += [self._alone(one) for one in window]
        return found

    def answers_around(self, place: Place, question: Question) -> Answers | None:
        """Returns each reader's answer after the changes of the store; None if it cannot change so."""
        found = {
            language: _asked(runner, _request(place, question, "0"))
            for language, runner in self._runners.items()
        }
        steps = _case(question, "0").steps()
        possible = True
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            waiting = [language for language, answer in found.items() if answer.get("paused") is True]
            if not waiting:
                break
            try:
                store.change(place.root, step["change"])
            except IMPOSSIBLE:
                possible = False
            pause = {"pause": following["after"]} if following else {}
            for language in waiting:
                found[language] = _asked(self._runners[language], {"id": "0", "continue": True, **pause})
        return found if possible else None

    def answers_beside(self, number: int, made: store.Description, question: Question) -> Answers | None:
        """Returns each reader's answer beside its own scripted writer, with what it asked; None if there is none.

        Each reader gets a new store, at the same place, because the writer changes it.
        """
        found: Answers = {}
        for language, runner in self._runners.items():
            place = self.place(number)
            try:
                store.build(place.root, made)
                for answer in question["writer"]["answers"]:  # a writer that cannot do this would end
                    store.change(place.root, answer.get("change", {}))
                place = self.place(number)
                store.build(place.root, made)
                with ScriptedWriter(place.root, question["writer"]) as writer:
                    answer = _asked(runner, _request(place, question, "0"))
            except IMPOSSIBLE:
                return None
            found[language] = {**answer, "requests": writer.requests}
        return found

    def _exchange(self, window: list[dict[str, Any]]) -> list[Answers]:
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in window)
        for runner in self._runners.values():
            runner.send(lines)
        columns = {
            language: [runner.receive(one["id"]) for one in window]
            for language, runner in self._runners.items()
        }
        return [{language: column[row] for language, column in columns.items()} for row in range(len(window))]

    def _alone(self, asked: dict[str, Any]) -> Answers:
        # Restart all: a late answer of another runner would be taken for the answer to this question.
        for runner in self._runners.values():
            runner.stop()
        return {language: _asked(runner, asked) for language, runner in self._runners.items()}


def _removed(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except PermissionError:
        # Only without root: a folder whose mode lets nobody in.
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def _case(question: Question, number: str) -> Case:
    return Case(number, "", {}, question, {}, {}, {}, None, "")


def _request(place: Place, question: Question, number: str) -> dict[str, Any]:
    return request(_case(question, number), place)


def _asked(runner: Runner, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        runner.send(json.dumps(asked).encode() + b"\n")
        return runner.receive(asked["id"])
    except RunnerError as failure:
        return {"failed": str(failure)}


def _windows(requests: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    window: list[dict[str, Any]] = []
    size = 0
    for one in requests:
        length = len(str(one)) * 2
        if window and size + length > WINDOW:
            yield window
            window, size = [], 0
        window.append(one)
        size += length
    if window:
        yield window
