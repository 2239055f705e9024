"""Is a partner that speaks mutual TLS: a server on loopback, and what a client of it must hold as secrets."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Partner:
    """Where it listens, and the client's certificate, its key and the authority, as PEM."""

    address: Mapping[str, str | int]
    mtls: Mapping[str, str] = field(repr=False)


@contextmanager
def serve_partner(folder: Path, answer: Callable[[str, str], bytes]) -> Iterator[Partner]:
    """Lets nobody in without a certificate; `answer` makes the body from the name in it and the path."""
    authority, _ = _certificate(folder, "authority", "-addext", "keyUsage=critical,keyCertSign")
    signed = ("-CA", "authority.crt", "-CAkey", "authority.key", "-extensions", "usr_cert")
    _certificate(folder, "localhost", *signed, "-addext", "subjectAltName=DNS:localhost")
    own, key = _certificate(folder, "orders", *signed)

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

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "localhost.crt", folder / "localhost.key")
    context.load_verify_locations(cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Partner(
            {"host": "localhost", "port": server.server_port}, {"cert": own, "key": key, "ca": authority}
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(folder: Path, name: str, *more: str) -> tuple[str, str]:
    """Makes a certificate and its key, for the length of the run."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")
    made = ("-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.crt")
    subprocess.run(
        ["openssl", "req", "-x509", *key, *made, *more], cwd=folder, check=True, capture_output=True
    )
    return (folder / f"{name}.crt").read_text(), (folder / f"{name}.key").read_text()
