"""A partner that speaks mutual TLS: a server on loopback, and what a client of it must hold as secrets."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .certificates import Authority


@dataclass(frozen=True)
class Partner:
    """Where it listens, and the client's certificate, its key and the authority, as PEM."""

    address: Mapping[str, str | int]
    mtls: Mapping[str, str] = field(repr=False)


@contextmanager
def serve_partner(folder: Path, answer: Callable[[str, str], bytes]) -> Iterator[Partner]:
    """Lets nobody in without a certificate; `answer` makes the body from the name in it and the path."""
    authority = Authority()
    own, key = authority.issue("orders")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection: Any = self.connection
            subject = dict(pair for (pair,) in connection.getpeercert()["subject"])
            body = answer(subject["commonName"], self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    context = authority.context(folder, "localhost")
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Partner(
            {"host": "localhost", "port": server.server_port}, {"cert": own, "key": key, "ca": authority.pem}
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
