"""Answers like AWS's extension for secrets, over HTTP on this machine: the peer to compare with.

Every request gets the same bytes at once, which favours the peer: the benchmark measures HTTP itself.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

_BODY = json.dumps({"Name": "stripe/key", "SecretString": "s" * 43, "VersionStages": ["AWSCURRENT"]}).encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            _, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(_ANSWER)


@contextmanager
def cache() -> Iterator[str]:
    """Serves during the block, and yields the URL of a secret."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_Connection, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/secretsmanager/get?secretId=stripe/key"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()
