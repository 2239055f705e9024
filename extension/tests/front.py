"""Stands with TLS before an endpoint and does to each connection what a fault says: the network at its worst."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
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

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .stubs import Serving

_HOST = "127.0.0.1"
_DAY = datetime.timedelta(days=1)


@dataclass
class Exchange:
    """One request on a connection: its bytes, how many came before it, and the endpoint's own answer."""

    connection: ssl.SSLSocket
    number: int
    head: bytes
    body: bytes
    endpoint: str
    ended: threading.Event

    def answer(self) -> bytes:
        """What the endpoint behind says, as bytes of HTTP."""
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
        """Ends the connection at once, so that the other side is told of a reset."""
        reset(self.connection)


Behave = Callable[[Exchange], None]


@dataclass(frozen=True)
class Fault:
    """What a front does. `certificate` is what is wrong with its certificate; `accept` comes before TLS."""

    behave: Behave = field(default=lambda exchange: exchange.send(exchange.answer()))
    certificate: str = ""
    accept: Callable[[socket.socket], None] | None = None


def response(
    status: int, body: bytes, kind: str = "application/x-amz-json-1.1", length: int | None = None
) -> bytes:
    """An answer of HTTP; `length` is what its header claims."""
    claimed = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: {kind}\r\nContent-Length: {claimed}\r\n\r\n"
    return head.encode() + body


def refusal(status: int, code: str, message: str) -> bytes:
    """An error as AWS's JSON services tell it."""
    return response(status, json.dumps({"__type": code, "message": message}).encode())


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Front(Serving):
    """The server of one fault; `url` is what AWS_ENDPOINT_URL must say, `authority` AWS_CA_BUNDLE."""

    def __init__(self, fault: Fault, endpoint: str, folder: Path) -> None:
        self.authority = folder / "authority.pem"
        self.asked = 0
        self._ended = threading.Event()
        context = _certificate(folder, self.authority, fault.certificate)
        front = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                if fault.accept is not None:
                    fault.accept(self.request)
                    return
                # What the other side does to a connection that is treated so badly is its own affair.
                with (
                    suppress(OSError, ssl.SSLError),
                    context.wrap_socket(self.request, server_side=True) as connection,
                ):
                    while (request := _request(connection)) is not None:
                        front.asked += 1
                        fault.behave(Exchange(connection, front.asked, *request, endpoint, front._ended))

        self._server = _Server((_HOST, 0), Handler)
        self.url = f"https://{_HOST}:{self._server.server_address[1]}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        super().__exit__(kind, error, trace)


def _request(connection: ssl.SSLSocket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    while len(body) < int(lengths[0]):
        body += connection.recv(65_536)
    return head, body


def _certificate(folder: Path, authority: Path, wrong: str) -> ssl.SSLContext:
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "endpoint")]
    address = "127.0.0.2" if wrong == "name" else _HOST

    def signed(
        subject: int, ends: datetime.datetime, signer: ec.EllipticCurvePrivateKey, what: x509.ExtensionType
    ) -> bytes:
        builder = (
            x509.CertificateBuilder(
                issuer if subject else names[0], names[subject], keys[subject].public_key()
            )
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(ends)
            .add_extension(what, critical=True)
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    signer = ec.generate_private_key(ec.SECP256R1()) if wrong == "authority" else keys[0]
    # Of another name too: one of the same name would be a forgery, not an authority that is not known.
    issuer = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")]) if wrong == "authority" else names[0]
    )
    authority.write_bytes(signed(0, now + _DAY, keys[0], x509.BasicConstraints(ca=True, path_length=0)))
    chain, key = folder / "endpoint.pem", folder / "endpoint.key"
    ends = now - _DAY if wrong == "expired" else now + _DAY
    chain.write_bytes(
        signed(1, ends, signer, x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]))
    )
    private = serialization.PrivateFormat.PKCS8
    key.write_bytes(keys[1].private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context
