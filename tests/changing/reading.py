"""Starts reader programs, one for each language, and gathers what they saw. The programs judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests import ROOT

HERE = Path(__file__).parent
WRITER = (sys.executable, "-m", "tests.changing.writer")  # started in ROOT
LANGUAGES = ("core", "python", "node", "ruby")
LONG = 120.0  # a limit for a program that hangs, not a time that anything takes
# The core offers its callers no way to fork.
CHILDREN = {"core": 0}


class BrokenError(Exception):
    """A reader program did not end as it should: it crashed, hung, or showed a value."""


@dataclass
class Report:
    """What the threads and processes of one language saw, added up."""

    language: str
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    wrongs: int = 0

    def add(self, other: Report) -> None:
        """Adds the counts of another phase."""
        self.counts += other.counts
        self.errors += other.errors
        self.wrong = [*self.wrong, *other.wrong][:5]
        self.wrongs += other.wrongs


class Readers:
    """One running program for each language, until `end`."""

    def __init__(self, languages: Sequence[str]) -> None:
        self._running: dict[str, tuple[subprocess.Popen[str], IO[str]]] = {}
        self._languages = languages
        self.reports: list[Report] = []

    def start(self, arguments: dict[str, object], closing: ExitStack) -> None:
        """Starts all and waits until each reads."""
        for language in self._languages:
            given = {**arguments, "children": CHILDREN.get(language, arguments["children"])}
            log = closing.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 it is, with the others
            command = [*command_of(language), json.dumps(given)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
            closing.callback(end, process)
            self._running[language] = (process, log)

    def wait_until_reading(self) -> None:
        """Waits until each has started."""
        for language, (process, log) in self._running.items():
            assert process.stdout is not None
            if process.stdout.readline() != "reading\n":
                raise BrokenError(f"the {language} program does not read:\n{_said(process, log)}")

    def gather(self, run: str) -> None:
        """Takes the reports of programs that were asked to stop."""
        for language, (process, log) in self._running.items():
            try:
                process.wait(timeout=LONG)  # its output fits into the pipe
            except subprocess.TimeoutExpired:
                raise BrokenError(f"the {language} program hangs") from None
            assert process.stdout is not None
            printed = process.stdout.read()  # communicate() would lose what came with the first line
            said = _said(process, log)
            if run in printed or run in said:
                raise BrokenError(f"the {language} program shows a value")
            if process.returncode or said:
                raise BrokenError(f"the {language} program ended with {process.returncode}:\n{said}")
            read = json.loads(printed.splitlines()[-1])
            seen = Report(
                language, Counter(read["counts"]), Counter(read["errors"]), read["wrong"], read["wrongs"]
            )
            self.reports.append(seen)


@contextmanager
def reading(
    root: Path,
    run: str,
    *,
    languages: Sequence[str] = LANGUAGES,
    threads: int = 2,
    children: int = 2,
    allowed: Sequence[str] = (),
    fresh: bool = False,
    until_stopped: bool = False,
    asks: bool = False,
) -> Iterator[Readers]:
    """Runs readers in all languages during the block. Their reports exist after it.

    `allowed` are the codes that no client may get otherwise. `fresh` makes a client for each question. `until_stopped`
    lets them end by themselves once the store says so. With `asks` they also refresh and log in: the writer answers.
    """
    with tempfile.TemporaryDirectory(prefix="keystart-readers-") as folder, ExitStack() as closing:
        stop = Path(folder, "stop")
        readers = Readers(languages)
        arguments: dict[str, object] = {
            "root": str(root), "run": run, "stop": str(stop), "allowed": list(allowed), "fresh": fresh,
            "until_stopped": until_stopped, "asks": asks, "threads": threads, "children": children,
        }  # fmt: skip
        readers.start(arguments, closing)
        yield readers
        if not until_stopped:
            stop.touch()
        readers.gather(run)


def command_of(language: str) -> list[str]:
    """Returns the command for a language's program. The core's must be built (`cargo build --example soak`)."""
    programs = HERE / "programs"
    if language == "core":
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        return [str(target / "debug/examples/soak")]
    if language == "python":
        return [sys.executable, "-m", "tests.changing.programs.python"]
    return ["node", str(programs / "node.mjs")] if language == "node" else ["ruby", str(programs / "ruby.rb")]


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process that may have ended."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _said(process: subprocess.Popen[str], log: IO[str]) -> str:
    log.seek(0)
    return log.read().strip()[-2000:]
