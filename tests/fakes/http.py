"""An HTTP server on loopback whose answers a test decides."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer, TCPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from typing_extensions import Self

API = "/2020-01-01/extension"


class Headers(dict[str, str]):
    """The headers of a request. Their names match in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


@dataclass(frozen=True)
class Request:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def action(self) -> str:
        """The operation of an AWS client: `ssm.GetParameters` without its date, or `AssumeRole`."""
        target = self.headers.get("x-amz-target", "")
        return target.rpartition(".")[2] or self.body.decode().partition("Action=")[2].partition("&")[0]


@dataclass(frozen=True)
class Answer:
    """An answer. A test returns None instead to drop the connection."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)

    def to(self, request: Request) -> bytes:  # noqa: ARG002 some answers depend on it
        """Returns the body for a request."""
        return self.body


class FailingServer(BaseServer):
    """A server whose client may leave at any time. Any other error of a handler fails the test."""

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 socketserver's signature
        """Raises the error that a handler raised, unless the client left."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            raise error


class HttpServer(FailingServer, ThreadingHTTPServer):
    request_queue_size = 128  # above the default of 5 the kernel drops connections, which then wait a second

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection, on which an answer's body does not wait 40 ms until the client has its head."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


class Serving:
    """Serves in a thread during the `with` block."""

    url: str
    _server: TCPServer

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Stub(Serving):
    """A server that records every request and calls `answer` for the reply."""

    def __init__(self, answer: Callable[[Request], Answer | None]) -> None:
        self.requests: list[Request] = []
        self._changed = threading.Condition()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, Headers(dict(self.headers)), body)
                stub.remember(request)
                said = answer(request)
                if said is None:
                    self.close_connection = True
                    return
                self._send(said, said.to(request))

            def _send(self, said: Answer, body: bytes) -> None:
                self.send_response(said.status)
                for name, value in {**said.headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST
            do_LIST = do_POST  # noqa: N815 http.server looks for this name

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self._server = HttpServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"

    def remember(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_for(self, path: str, times: int = 1, patience: float = PATIENCE) -> None:
        """Waits until a path was requested that often."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.paths().count(path) >= times, patience)
        assert came, f"{path} was not asked for {times} times, but: {self.paths()}"

    def paths(self) -> list[str]:
        return [request.path.removeprefix(API) for request in self.requests]

    def actions(self) -> list[str]:
        return [request.action for request in self.requests]


class Gate:
    """Answers nobody until it is opened; then everybody with the same answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._asked, self._opened = threading.Event(), threading.Event()

    def __call__(self, _request: Request) -> Answer:
        self._asked.set()
        self._opened.wait()
        return self._answer

    def wait_until_asked(self) -> None:
        assert self._asked.wait(PATIENCE), "nobody asked"

    def open(self) -> None:
        self._opened.set()


def forward(request: Request, url: str) -> Answer:
    """Forwards to another server, so that the requests that reach it can be counted."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        response = connection.getresponse()
        return Answer(response.status, response.read(), {"Content-Type": response.headers["Content-Type"]})
    finally:
        connection.close()
