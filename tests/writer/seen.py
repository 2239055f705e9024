"""What the readers of all languages see of a store, and whether they agree. It writes nothing."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.conformance.runner import Runner

from .driven import value

NAMES = ("tls/cert", "tls/key")


class Readers:
    """The runners of the conformance suite: for each language one that asks, and one that holds a snapshot."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        self._running = ExitStack()
        self._asking = [self._running.enter_context(Runner(language)) for language in languages]
        self._holding = [self._running.enter_context(Runner(language)) for language in languages]
        self._made: list[dict[str, Any]] = []

    def close(self) -> None:
        """Ends the runners."""
        self._running.close()

    def forget(self) -> None:
        """Drops the answers that a test missed if it failed between `begin` and `end`."""
        if self._made:
            for runner in (*self._asking, *self._holding):
                runner.stop()
        self._made = []

    def see(self, root: Path) -> str:
        """Returns the name of the set that every new reader sees whole, or the code of the error that all get."""
        for runner in self._asking:
            for name in NAMES:
                runner.send(_request(root, name))
        answers = [tuple(runner.receive(name) for name in NAMES) for runner in self._asking]
        seen = {_set_of(*pair) for pair in answers}
        assert len(seen) == 1, seen
        return seen.pop()

    def begin(self, root: Path) -> None:
        """Lets every reader make a client that has read the key, and a snapshot that has read nothing."""
        for runner in self._asking:
            runner.send(_request(root, "tls/key", '"pause": "asked"'))
        for runner in self._holding:
            runner.send(_request(root, "tls/key", '"pause": "made", "via": "snapshot"'))
        for runner in self._asking:
            assert runner.receive("tls/key")["paused"]
        self._made = [runner.receive("tls/key") for runner in self._holding]

    def end(self) -> tuple[set[str], set[str]]:
        """Returns what those clients and those snapshots see of the key now."""
        for runner in self._asking:
            runner.send(b'{"id": "tls/key", "continue": true}\n')
        pending = [runner for runner, made in zip(self._holding, self._made, strict=True) if "paused" in made]
        self._made = []
        for runner in pending:
            runner.send(b'{"id": "tls/key", "continue": true}\n')
        clients = {_part_of(runner.receive("tls/key"), "tls/key") for runner in self._asking}
        return clients, {_part_of(runner.receive("tls/key"), "tls/key") for runner in pending}


def _request(root: Path, name: str, more: str = '"via": "client"') -> bytes:
    asked = f'"id": "{name}", "root": "{root}", "timeout_ms": 0, "call": "bytes", "name": "{name}"'
    return f"{{{asked}, {more}}}\n".encode()


def _set_of(certificate: dict[str, Any], key: dict[str, Any]) -> str:
    parts = {_part_of(certificate, "tls/cert"), _part_of(key, "tls/key")}
    assert len(parts) == 1, f"parts of two sets: {parts}"
    return parts.pop()


def _part_of(answer: dict[str, Any], name: str) -> str:
    if "error" in answer:
        return str(answer["error"]["code"])
    given = base64.b64decode(answer["value"]["base64"]).decode()
    of = given.partition("\n")[0].removeprefix(f"{name} of ")
    assert given == value(of, name), "a value is torn"
    return of
