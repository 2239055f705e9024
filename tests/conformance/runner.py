"""Starts the runner of a language, sends it cases, and reports differences. It judges by the cases alone."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests import ROOT

from . import store
from .case import HERE, LANGUAGES, Case, Place, difference, request
from .scripted import ScriptedWriter

# No case waits longer than this for its answer: a reader that hangs on a FIFO must not hang the suite.
PATIENCE = 30.0


class RunnerError(Exception):
    """A runner did not start, ended, did not answer, or returned an invalid answer."""


class Runner:
    """One runner program, kept for all cases of a language, and started again after it died."""

    def __init__(self, language: str, command: list[str] | None = None) -> None:
        self.language = language
        self.patience = PATIENCE
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = b""
        self._folder = Path(tempfile.mkdtemp(prefix="keystart-conformance-")).resolve()
        self.cwd = self._folder / "cwd"
        self.cwd.mkdir()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Starts the program and checks that it answers. Raises RunnerError if it does not."""
        nowhere = str(self._folder / "nowhere")
        self._exchange({"id": "hello", "root": nowhere, "timeout_ms": 0, "call": "names"})

    def stop(self) -> None:
        """Ends the program if it runs."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        # The buffer still holds what a dead program did not read, and closing writes it.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def run(self, case: Case) -> str | None:
        """Returns None if the reader does what the case expects, else what differs."""
        with tempfile.TemporaryDirectory(prefix="case-", dir=self._folder) as folder:
            place = Place(Path(folder) / "store", self.cwd)
            store.build(place.root, place.fill(case.store))
            requests: list[Any] = []
            try:
                if "writer" in case.ask:
                    with ScriptedWriter(place.root, place.fill(case.ask["writer"])) as writer:
                        answer = self._ask(case, place)
                    requests = writer.requests
                else:
                    answer = self._ask(case, place)
            except RunnerError as failure:
                return str(failure)
            return difference(case, self.language, answer, place, requests)

    def _ask(self, case: Case, place: Place) -> dict[str, Any]:
        answer = self._exchange(request(case, place))
        steps = case.steps()
        for step, following in zip_longest(steps, steps[1:]):
            if answer.get("paused") is not True:
                break
            store.change(place.root, place.fill(step["change"]))
            pause = {"pause": following["after"]} if following else {}
            answer = self._exchange({"id": case.id, "continue": True, **pause})
        return answer

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        self.send(json.dumps(message).encode() + b"\n")
        return self.receive(message["id"])

    def send(self, lines: bytes) -> None:
        """Sends whole lines. Unanswered ones must fit into a pipe (64 KiB), or both sides wait."""
        process = self._process or self._begin()
        assert process.stdin is not None
        try:
            process.stdin.write(lines)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._failed("ended before it was asked") from None

    def receive(self, asked: str) -> dict[str, Any]:
        """Returns the answer to the request with this id, which must be the next one."""
        if self._process is None:
            raise RunnerError(f"the runner of {self.language} does not run")
        line = self._line(self._process)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._failed(f"answered what is no JSON: {line[:200]!r}") from None
        if not isinstance(answer, dict) or answer.get("id") != asked:
            raise self._failed(f"answered something else than {asked}: {line[:200]!r}")
        return answer

    def _begin(self) -> subprocess.Popen[bytes]:
        command = self._command or command_of(self.language)
        log = (self._folder / "stderr").open("wb")
        try:
            with log:
                self._process = subprocess.Popen(
                    [*_ordinary_rights(), *command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self.cwd,
                )
        except OSError as error:
            raise RunnerError(f"the runner of {self.language} cannot be started: {error}") from None
        self._lines = b""
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        until = time.monotonic() + self.patience
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._lines:
                if not selector.select(until - time.monotonic()):
                    raise self._failed(f"gave no answer within {self.patience:g} s")
                some = os.read(process.stdout.fileno(), 1 << 20)
                if not some:
                    raise self._failed("ended without an answer")
                self._lines += some
        line, self._lines = self._lines.split(b"\n", 1)
        return line

    def _failed(self, what: str) -> RunnerError:
        self.stop()
        said = (self._folder / "stderr").read_text(errors="replace").strip()
        wrote = f"; it wrote:\n{said[-2000:]}" if said else ""
        return RunnerError(f"the runner of {self.language} {what}{wrote}")


def command_of(language: str) -> list[str]:
    """Returns the command that starts the runner of a language."""
    if language == "python":
        return [sys.executable, str(HERE / "runners" / "python.py")]
    if language == "node":
        return ["node", str(HERE / "runners" / "node.mjs")]
    if language == "ruby":
        return ["ruby", str(HERE / "runners" / "ruby.rb")]
    return _built_core()


def _built_core() -> list[str]:
    # Builds it now, so that no old program runs by mistake.
    arguments = ["build", "--quiet", "--example", "conformance", "--message-format=json"]
    manifest = ["--manifest-path", str(ROOT / "core/store/Cargo.toml")]
    try:
        built = subprocess.run(["cargo", *arguments, *manifest], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise RunnerError("the runner of core cannot be built: there is no cargo") from None
    except subprocess.CalledProcessError as error:
        raise RunnerError(f"the runner of core cannot be built:\n{error.stderr[-2000:]}") from None
    for message in map(json.loads, built.stdout.splitlines()):
        if message.get("executable") and message["target"]["name"] == "conformance":
            return [message["executable"]]
    raise RunnerError("the runner of core was built, but cargo does not say where")


def _ordinary_rights() -> list[str]:
    # Root reads every file whatever its mode. Without these two capabilities it is refused like any
    # user (EACCES).
    if os.geteuid() != 0:
        return []
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


def chosen_languages() -> list[str]:
    """Returns all languages, or those in KEYSTART_LANGUAGES (separated by commas)."""
    named = os.environ.get("KEYSTART_LANGUAGES", "")
    languages = [name.strip() for name in named.split(",") if name.strip()] or list(LANGUAGES)
    unknown = set(languages) - set(LANGUAGES)
    if unknown:
        raise ValueError(f"KEYSTART_LANGUAGES names {sorted(unknown)}; there are {list(LANGUAGES)}")
    return languages
