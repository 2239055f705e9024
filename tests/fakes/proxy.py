"""An HTTPS proxy that answers for every endpoint. It records the URL of each request; the test decides the answers."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socketserver import BaseRequestHandler

from .certificates import Authority
from .front import Server, read_request
from .http import Serving


class Proxy(Serving):
    """The proxy. HTTPS_PROXY must be `url`, and AWS_CA_BUNDLE `authority`. `asked` are the URLs in their order."""

    def __init__(self, folder: Path, answer: Callable[[bytes, bytes], bytes]) -> None:
        authority = Authority()
        self.authority = authority.write(folder)
        self.asked: list[str] = []
        proxy = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                request = read_request(self.request)
                assert request is not None
                method, target, _ = request[0].split(b"\r\n")[0].decode().split()
                assert method == "CONNECT"
                host, _, port = target.rpartition(":")
                self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                with (
                    suppress(OSError, ssl.SSLError),  # the client may hang up at any time
                    authority.context(folder, host).wrap_socket(self.request, server_side=True) as connection,
                ):
                    while (request := read_request(connection)) is not None:
                        path = request[0].split(b" ")[1].decode()
                        proxy.asked.append(f"https://{host}{'' if port == '443' else ':' + port}{path}")
                        connection.sendall(answer(*request))

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
