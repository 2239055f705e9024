"""A writer that answers on control.sock what a case says, and keeps what it was asked. It fetches nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from . import store

# How long a reader finds the backlog full, and how long pieces of an answer are apart.
FULL_S = 0.1
APART_S = 0.02
# A reader that never sends its line must not hang the suite.
PATIENCE_S = 5.0
_LOOK_S = 0.02


class ScriptedWriter:
    """Serves the connections of one case, one after the other, by the `writer` of its question (schema.json)."""

    def __init__(self, root: Path, script: dict[str, Any]) -> None:
        self.requests: list[Any] = []
        self._root = root
        self._script = script
        self._counts = "counts" in script
        self._kept_open: list[socket.socket] = []
        self._is_over = threading.Event()
        self._open = contextlib.ExitStack()
        self._server = self._open.enter_context(socket.socket(socket.AF_UNIX))
        self._path = root / script.get("path", "control.sock")
        store.bind(self._server, self._path)
        if "owner" in script:
            store.change(root, {"owners": {self._path.name: script["owner"]}})
        self._server.listen(0 if "full" in script else 128)
        self._fillers = self._filled(self._path) if "full" in script else []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> ScriptedWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._open.close()

    def _filled(self, path: Path) -> list[socket.socket]:
        fillers: list[socket.socket] = []
        with contextlib.suppress(BlockingIOError):  # the backlog is full
            while True:
                filler = self._open.enter_context(socket.socket(socket.AF_UNIX))
                filler.setblocking(False)
                store.connect(filler, path)
                fillers.append(filler)
        return fillers

    def _serve(self) -> None:
        if self._script.get("full") == "for ever":
            return
        if self._fillers:
            self._is_over.wait(FULL_S)
            self._server.listen(128)
            for filler in self._fillers:
                filler.close()
        if self._script.get("accepts", True) is False:
            return
        answers = self._script["answers"]
        turn = 0
        while (connection := self._accepted()) is not None:
            line = _received(connection)
            if line:
                answer = answers[turn]
                self._keep(_shown(line))
                self._answer(connection, answer)
                if "ends" in answer:
                    self._path.unlink()
                    self._server.close()
                    return
                if "closes" in answer:
                    self._kept_open.append(connection)
                turn = min(turn + 1, len(answers) - 1)
            else:  # one that filled the backlog
                connection.close()
        if self._counts:
            self.requests.append({"open": self._still_open()})

    def _keep(self, request: Any) -> None:
        if self._counts and self._kept_open:
            request = {**request, "open": self._still_open()}
        self.requests.append(request)

    def _still_open(self) -> int:
        return sum(not _is_closed(connection) for connection in self._kept_open)

    def _accepted(self) -> socket.socket | None:
        # Asks once more after the end, because a reader may have given up on what waits in the backlog.
        while True:
            is_over = self._is_over.is_set()
            self._server.settimeout(_LOOK_S)
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                if is_over:
                    return None
                continue
            return self._open.enter_context(connection)

    def _answer(self, connection: socket.socket, answer: dict[str, Any]) -> None:
        if "change" in answer:
            store.change(self._root, answer["change"])
        if "delay_ms" in answer:
            self._is_over.wait(answer["delay_ms"] / 1000)
        data = b""
        if "line" in answer:
            data = store.content(answer["line"])
            if answer.get("line_feed", True):
                data += b"\n"
        data += store.content(answer.get("rest", ""))
        pieces = answer.get("pieces", 1)
        size = -(-len(data) // pieces)
        # A reader that knows enough may have gone.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(data), size or 1):
                if start:
                    time.sleep(APART_S)
                connection.sendall(data[start : start + size])
        if answer.get("closes", True):
            connection.close()


def _received(connection: socket.socket) -> bytes:
    """Returns everything up to the first line feed, and whatever came with it."""
    connection.settimeout(PATIENCE_S)
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while b"\n" not in data:
            some = connection.recv(1 << 17)
            if not some:
                break
            data += some
    return data


def _is_closed(connection: socket.socket) -> bool:
    """Returns whether the other side has closed a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def _shown(data: bytes) -> Any:
    """Returns a request that is one line of JSON as the JSON, and anything else as text."""
    line, feed, rest = data.partition(b"\n")
    try:
        if feed and not rest and len(data) <= 65_536:
            return json.loads(line)
    except ValueError:
        pass
    return repr(data[:200])
