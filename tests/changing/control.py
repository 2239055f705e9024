"""Answers on control.sock of a changing store. It fetches nothing, and knows which generation came last."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer

_PATIENCE_S = 1.5  # less than a reader waits that found a value too old


class _Server(ThreadingMixIn, UnixStreamServer):
    request_queue_size = 128
    daemon_threads = True
    control: Control


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        line = self.rfile.readline()
        if line:  # else the reader has ended
            self.wfile.write(json.dumps(self.server.control.answer(json.loads(line))).encode() + b"\n")


class Control:
    """Listens while it is entered."""

    def __init__(self, root: Path) -> None:
        self.candidate: int | None = None
        self._begun = 0  # readers may see it before `was_published`
        self._published = 0
        self._changed = threading.Condition()
        self._path = root / "control.sock"
        self._path.unlink(missing_ok=True)
        self._server = _Server(str(self._path), _Handler)
        self._server.control = self
        self._path.chmod(0o600)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Control:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def will_publish(self, number: int) -> None:
        """Notes the generation that is published next."""
        with self._changed:
            self._begun = number

    def was_published(self, number: int) -> None:
        """Notes the published generation."""
        with self._changed:
            self._published = number
            self._changed.notify_all()

    def answer(self, request: dict[str, object]) -> dict[str, object]:
        """Returns the answer of contract 9.4. One to `refresh` waits for another generation."""
        with self._changed:
            before = self._begun
            is_late = request["op"] == "refresh" and not self._changed.wait_for(
                lambda: self._published > before, _PATIENCE_S
            )
            # A call whose login was refused gets the candidate.
            candidate = self.candidate if request["op"] == "try" and request["generation"] else None
            return {
                "format": "keystart.control/1",
                "ok": True,
                "generation": self._published or None,
                "candidate": candidate,
                "retry_after_ms": None,
                "failures": {"text": {"code": "Late", "message": "Nothing was published."}}
                if is_late
                else {},
            }
