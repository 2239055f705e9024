"""Keywhiz on loopback, as a real server of the 0.10 line was seen to answer: TLS 1.2, certificates, odd errors."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .certificates import Authority
from .http import HttpServer, Serving

AUTOMATION = "automation"  # the name of the automation client


@dataclass
class Secret:
    """A secret, and the clients that may read it. `raw` replaces the answer about it."""

    content: bytes
    metadata: dict[str, str] = field(default_factory=dict)
    clients: frozenset[str] = frozenset({"keystart"})
    raw: bytes | None = None


class _TlsServer(HttpServer):
    """A server whose client may also refuse its certificate."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ssl.SSLError):
            super().handle_error(request, client_address)


class Keywhiz(Serving):
    """The server, and the files that its clients need."""

    def __init__(self, folder: Path) -> None:
        self.secrets: dict[str, Secret] = {}
        self.requests: list[str] = []
        self._folder = folder
        self._authority = Authority()
        self.authority = self._authority.write(folder)
        keywhiz = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                keywhiz.requests.append(f"{self.command} {self.path}")
                status, document = keywhiz.answer(self._client(), self.command, self.path, body)
                self._send(status, document if isinstance(document, bytes) else json.dumps(document).encode())

            def _client(self) -> str | None:
                connection: Any = self.connection
                certificate = connection.getpeercert()
                names = (
                    dict(pair for group in certificate["subject"] for pair in group) if certificate else {}
                )
                return names.get("commonName")

            def _send(self, status: int, data: bytes) -> None:
                is_zipped = "gzip" in self.headers.get("Accept-Encoding", "")
                data = gzip.compress(data) if is_zipped else data
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if is_zipped:
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self._server = _TlsServer(("127.0.0.1", 0), Handler)
        context = self._authority.context(folder, "127.0.0.1")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(self.authority)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def client(self, name: str) -> tuple[Path, Path]:
        """Issues a certificate for a client, and returns the files of it and its key."""
        issued = self._authority.issue(name)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_text(issued.pem)
        key.write_text(issued.key)
        return certificate, key

    def answer(self, client: str | None, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Returns the status and the document of an answer."""
        if path == "/_status":
            return 200, {"status": "ok"}
        if client is None:
            return 401, _error(401, "Credentials are required to access this resource.")
        if path.startswith("/automation/v2/secrets"):
            return self._automation(client, method, path, body)
        granted = {name: secret for name, secret in self.secrets.items() if client in secret.clients}
        if path == "/secrets":
            return 200, [_shown(name, secret, b"") for name, secret in granted.items()]
        name = unquote(path.removeprefix("/secret/"))
        if name not in self.secrets:
            return 404, _error(404, "HTTP 404 Not Found")
        if name not in granted:
            return 403, _error(403, f"Access denied: Client{{name={client}}}")
        secret = granted[name]
        return 200, secret.raw or _shown(name, secret, secret.content)

    def _automation(self, client: str, method: str, path: str, body: bytes) -> tuple[int, object]:
        if client != AUTOMATION:
            return 401, _error(401, "Credentials are required to access this resource.")
        if (method, path) == ("GET", "/automation/v2/secrets"):
            return 200, list(self.secrets)
        if (method, path) == ("POST", "/automation/v2/secrets/request/contents"):
            names = json.loads(body)["secrets"]
            found = {name: _encoded(self.secrets[name].content) for name in names if name in self.secrets}
            return 200, {
                "successSecrets": found,
                "missingSecrets": [name for name in names if name not in self.secrets],
            }
        return 404, _error(404, "HTTP 404 Not Found")


def _shown(name: str, secret: Secret, content: bytes) -> dict[str, object]:
    """Returns what the server says of a secret: its metadata is at the top level."""
    return {
        "name": name,
        "secret": _encoded(content),
        "secretLength": len(content),
        "checksum": "",
        "creationDate": "2026-01-01T00:00:00.000Z",
        "updateDate": "2026-01-01T00:00:00.000Z",
        "isVersioned": False,
        **secret.metadata,
    }


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _error(code: int, message: str) -> dict[str, object]:
    return {"code": code, "message": message}
