"""The extension with its control.sock, and that socket as a reader sees it."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.extensions_api import Lambda
from tests.waiting import PATIENCE

from .clock import MOVED_CLOCK, Clock

FORMAT = "keystart.control/1"


class Control:
    """The socket of a store, as a reader sees it."""

    def __init__(self, root: Path) -> None:
        self.path = root / "control.sock"

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(str(self.path))
        return client

    def send(self, line: bytes) -> bytes:
        """Sends bytes and returns everything until the extension closes the connection."""
        with self.connect() as client:
            client.sendall(line)
            return rest(client)

    def ask(self, names: Sequence[str] | None, **members: Any) -> dict[str, Any]:
        request = {"format": FORMAT, "op": "refresh", "names": names, **members}
        answer = self.send(json.dumps(request).encode() + b"\n")
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        document: dict[str, Any] = json.loads(answer)
        assert document.pop("format") == FORMAT
        return document


def rest(client: socket.socket) -> bytes:
    received = b""
    while more := client.recv(65_536):
        received += more
    return received


class Started:
    """An extension with a ttl of never, a script of answers, and a clock that the test moves."""

    def __init__(
        self, launch: Callable[..., Any], api: Lambda, folder: Path, within: Sequence[str] = ()
    ) -> None:
        self._launch = launch
        self._api = api
        self.clock = Clock(folder)
        self._within = within

    def __call__(self, secrets: dict[str, Any], **settings: Any) -> None:
        text = json.dumps({"version": 1, **settings, "secrets": secrets})
        within = [*self._within, sys.executable, str(MOVED_CLOCK), str(self.clock.file)]
        self.extension = self._launch(self._api, text, within=within)
        self._api.wait_for("/event/next")
        self.clock.pass_by(1)  # until then the outcome of the start is that of a request

    def end(self) -> list[str]:
        self._api.send("SHUTDOWN")
        lines: list[str]
        code, lines = self.extension.ended()
        assert code == 0, lines
        return lines[1:]


def done(generation: int, **failures: dict[str, str]) -> dict[str, Any]:
    nothing = {"candidate": None, "retry_after_ms": None}
    return {"ok": True, "generation": generation, **nothing, "failures": failures}
