"""Starts a command beside an Extensions API that a snapshot can hold: `snapshot_api.py FOLDER COMMAND…`.

The API is a separate process, so that both ends of each connection are in the snapshot. It is driven by files, which
a restored copy finds again: `asked-<n>` appears when the extension asks for its n-th event, which is the content of
`event-<n>`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])


class Api(BaseHTTPRequestHandler):
    """Lambda's Extensions API, as far as one extension uses it."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(b"{}")

    def do_GET(self) -> None:
        Api.asked += 1
        event = FOLDER / f"event-{Api.asked}"
        (FOLDER / f"asked-{Api.asked}").touch()
        while not event.exists():
            time.sleep(0.02)
        self._answer(event.read_bytes())

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing: a log would be an open file of the snapshot."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Lambda-Extension-Identifier", "made-up")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until the command has ended."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    quiet = subprocess.DEVNULL
    subprocess.run(sys.argv[2:], env=environment, stdin=quiet, stdout=quiet, stderr=quiet, check=False)


if __name__ == "__main__":
    main()
