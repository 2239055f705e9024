"""A TLS server in front of an endpoint that does a fault to each connection: the network at its worst."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType

from .certificates import Authority
from .certificates import Fault as Wrong
from .http import FailingServer, Serving

_HOST = "127.0.0.1"


@dataclass
class Exchange:
    """One request on a connection: its bytes, how many came before it, and the endpoint's answer."""

    connection: ssl.SSLSocket
    number: int
    head: bytes
    body: bytes
    endpoint: str
    ended: threading.Event

    def answer(self) -> bytes:
        """Returns the answer of the endpoint behind, as bytes of HTTP."""
        start, *lines = self.head.decode().split("\r\n")
        method, path, _ = start.split()
        headers = dict(line.split(": ", 1) for line in lines if line)
        behind = http.client.HTTPConnection(self.endpoint.removeprefix("http://"))
        try:
            behind.request(method, path, self.body, headers)
            answered = behind.getresponse()
            return response(answered.status, answered.read(), answered.headers["Content-Type"])
        finally:
            behind.close()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reset(self) -> None:
        """Ends the connection at once with a reset."""
        reset(self.connection)


Behave = Callable[[Exchange], None]


@dataclass(frozen=True)
class Fault:
    """The behaviour of a front. `certificate` is the fault of its certificate; `accept` runs before TLS."""

    behave: Behave = field(default=lambda exchange: exchange.send(exchange.answer()))
    certificate: Wrong = ""
    accept: Callable[[socket.socket], None] | None = None


def response(
    status: int, body: bytes, kind: str = "application/x-amz-json-1.1", length: int | None = None
) -> bytes:
    """Returns an HTTP answer; `length` is the length in its header."""
    claimed = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: {kind}\r\nContent-Length: {claimed}\r\n\r\n"
    return head.encode() + body


def refusal(status: int, code: str, message: str) -> bytes:
    """Returns an error in the form of AWS's JSON services."""
    return response(status, json.dumps({"__type": code, "message": message}).encode())


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Server(FailingServer, ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Front(Serving):
    """The server of one fault. AWS_ENDPOINT_URL must be `url`, and AWS_CA_BUNDLE `authority`."""

    def __init__(self, fault: Fault, endpoint: str, folder: Path) -> None:
        authority = Authority()
        self.authority = authority.write(folder)
        self.asked = 0
        self._ended = threading.Event()
        context = authority.context(folder, _HOST, fault=fault.certificate)
        front = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                if fault.accept is not None:
                    fault.accept(self.request)
                    return
                # What the other side does with such a connection is not part of the test.
                with (
                    suppress(OSError, ssl.SSLError),
                    context.wrap_socket(self.request, server_side=True) as connection,
                ):
                    while (request := read_request(connection)) is not None:
                        front.asked += 1
                        fault.behave(Exchange(connection, front.asked, *request, endpoint, front._ended))

        self._server = Server((_HOST, 0), Handler)
        self.url = f"https://{_HOST}:{self._server.server_address[1]}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        super().__exit__(kind, error, trace)


def read_request(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """Returns head and body of the next request, or None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while len(body) < sum(lengths):  # CONNECT has none
        body += connection.recv(65_536)
    return head, body
