"""Drives a writer in a separate process (core/store/examples/writer.rs), which a failpoint may kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests import ROOT

CORE = ROOT / "core/store"
# More than a page, so that a full disk cuts it.
CERTIFICATE_SIZE = 3 * 4096


Command = dict[str, Any]
OPEN: Command = {"call": "open"}
FAIL: Command = {"call": "fail", "message": "as the test wants it"}
STOP: Command = {"call": "stop"}
COLLECT: Command = {"call": "collect"}


class KilledError(Exception):
    """The writer reached its failpoint."""


class RefusedError(Exception):
    """The writer answered with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def program() -> str:
    """Builds the writer now, so that no old one runs by mistake; returns its path."""
    arguments = ["build", "--quiet", "--example", "writer", "--message-format=json"]
    command = ["cargo", *arguments, "--manifest-path", str(CORE / "Cargo.toml")]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [message.get("executable") for message in map(json.loads, built.splitlines())]
    return str(next(path for path in made if path))


class Writer:
    """A writer of the store at `root`. `under` is a command that starts it with other rights.

    It keeps former generations and candidates for `kept_ms`, beside the one before.
    """

    def __init__(
        self,
        root: Path,
        failpoint: str | None = None,
        under: tuple[str, ...] = (),
        copy: str | None = None,
        kept_ms: int = 0,
    ) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "KEYSTART_FAILPOINT"}
        environment["KEYSTART_KEPT_MS"] = str(kept_ms)
        if failpoint is not None:
            environment["KEYSTART_FAILPOINT"] = failpoint
        command = [*under, copy or program(), str(root)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def open(self) -> None:
        """Takes the store over: steps 1 to 3."""
        self.do(OPEN)

    def publish(self, of: str) -> int:
        """Publishes the set of this name; returns its number."""
        return int(self.do(publishing(of))["generation"])

    def fail(self) -> None:
        """Reports that nothing will be published."""
        self.do(FAIL)

    def stop(self) -> None:
        """Wipes the store."""
        self.do(STOP)

    def dies(self, command: Command) -> bool:
        """Returns whether the failpoint kills the writer during a command."""
        try:
            self.do(command)
        except KilledError:
            return True
        return False

    def do(self, command: Command) -> Any:
        """Returns the answer to a command, or raises RefusedError or KilledError."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            ended = self._process.wait()
            assert ended == -signal.SIGKILL, f"the writer ended by itself: {ended}"
            raise KilledError
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(**answer["error"])
        return answer


def publishing(of: str, more: dict[str, str] | None = None) -> Command:
    """Returns the command that publishes a set: a certificate and its key, and `more`."""
    secrets = {name: value(of, name) for name in ("tls/cert", "tls/key")}
    return {"call": "publish", "secrets": secrets | (more or {})}


def refreshing(of: str) -> Command:
    """Returns the command that publishes a set, and keeps the file of the secret `kept`."""
    return publishing(of) | {"call": "refresh", "covers": ["tls"], "entries": ["tls", "kept"]}


def trying(of: str) -> Command:
    """Returns the command that makes a candidate with a set."""
    return refreshing(of) | {"call": "candidate"}


def accepting(candidate: int) -> Command:
    """Returns the command that publishes what a candidate brought."""
    return {"call": "accept", "candidate": candidate}


def value(of: str, name: str) -> str:
    """Returns the value of a secret in the set of this name."""
    text = f"{name} of {of}\n"
    return (text * CERTIFICATE_SIZE)[:CERTIFICATE_SIZE] if name == "tls/cert" else text


def recover(root: Path) -> None:
    """Lets the next writer publish twice: its numbers must be new, and no leftovers may stay."""
    used = numbers(root)
    with Writer(root) as writer:
        writer.open()
        first = writer.publish("first")
        assert first > max(used, default=0), f"{first} was used: {used}"
        assert tree(root) == store(first)
        assert writer.publish("next") == first + 1
        assert tree(root) == store(first, first + 1)


def store(*generations: int) -> set[str]:
    """Returns the paths of a store in which these generations lie."""
    inside = ("", "/manifest.json", "/secrets", "/secrets/tls", "/secrets/tls/cert", "/secrets/tls/key")
    folders = {f"generations/{number}{path}" for number in generations for path in inside}
    return {"lock", "state.json", "generations", *folders} | ({"current"} if generations else set())


def tree(root: Path) -> set[str]:
    """Returns all paths below the root."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def numbers(root: Path) -> set[int]:
    """Returns the numbers of which the store still has a trace."""
    names = [path for path in tree(root) if path.startswith("generations/")]
    if (root / "current").is_symlink():
        names.append(str((root / "current").readlink()))
    found = re.findall(r"^generations/(?:\.new-|\.old-)?(\d+)", "\n".join(names), re.MULTILINE)
    if (root / "state.json").exists():
        found.append(json.loads((root / "state.json").read_bytes())["generation"])
    return {int(number) for number in found}
