"""A partner that speaks mutual TLS: a server on loopback, and the secrets that a client of it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from ssl import CERT_REQUIRED
from typing import Any

from .certificates import Authority
from .http import HttpServer, Serving


class Partner(Serving):
    """Refuses clients without a certificate. `answer` makes the body from the name in it and the path.

    `address` is where it listens. `mtls` is the client's certificate, its key and the authority, as PEM. `authority`
    issues others.
    """

    def __init__(self, folder: Path, answer: Callable[[str, str], bytes]) -> None:
        self.authority = authority = Authority()
        certificate, key = authority.issue("orders")

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
                """Logs nothing."""

        context = authority.context(folder, "localhost")
        context.load_verify_locations(cadata=authority.pem)
        context.verify_mode = CERT_REQUIRED
        server = HttpServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server = server
        self.address: Mapping[str, str | int] = {"host": "localhost", "port": server.server_port}
        self.mtls: Mapping[str, str] = {"cert": certificate, "key": key, "ca": authority.pem}
