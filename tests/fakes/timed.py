"""A fake AWS for one process at a time: Secrets Manager with TLS and a latency, the Extensions API with a clock."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from .certificates import Authority

_HOST = "127.0.0.1"
NAME = "store.test"  # the other name in the store's certificate


class TimedCloud:
    """Two servers in a thread. The latencies are in seconds, and may change between two processes.

    `events` are the process's steps with their times. `connected` and `asked` are its first connection and request to
    the store, `answered` is the store's last answer, `register` and `next` are its first calls of the Extensions API.
    """

    def __init__(self, folder: Path, latency: float = 0.0) -> None:
        self.latency = latency
        self.register_latency = 0.0
        self.events: dict[str, float] = {}
        self.subscribed: list[str] = []
        self._waiting = threading.Event()
        self._handed = self._asked_again = 0.0
        authority = Authority()
        self._authority = authority.write(folder)
        self._loop = asyncio.new_event_loop()
        self._tls = authority.context(folder, _HOST, NAME)
        self._mail: asyncio.Queue[str]
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _start(self) -> None:
        store = await self._loop.create_server(self._connected, _HOST, 0, ssl=self._tls)
        api = await asyncio.start_server(self._api, _HOST, 0)
        self.store_port, self.api_port = (server.sockets[0].getsockname()[1] for server in (store, api))
        self._mail = asyncio.Queue()

    def variables(self) -> dict[str, str]:
        """Returns the variables with which a process uses this cloud."""
        return {
            "AWS_ENDPOINT_URL": f"https://{_HOST}:{self.store_port}",
            "AWS_CA_BUNDLE": str(self._authority),
            "AWS_LAMBDA_RUNTIME_API": f"{_HOST}:{self.api_port}",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",  # Lambda sets both, and boto3 reads only this one
        }

    def begin(self) -> None:
        """Forgets what the previous process did."""
        self.events = {}
        self._waiting.clear()

    def waits(self, seconds: float) -> bool:
        """Waits until the extension asks for its next event, which means that it is ready."""
        return self._waiting.wait(seconds)

    def invoke(self, seconds: float) -> float:
        """Sends INVOKE to the waiting extension; returns the seconds until it asks for the next event."""
        self._waiting.clear()
        self._loop.call_soon_threadsafe(self._mail.put_nowait, "INVOKE")
        if not self._waiting.wait(seconds):
            raise TimeoutError(f"no next event was asked for in the {seconds:g} s after an INVOKE")
        return self._asked_again - self._handed

    def shut_down(self) -> None:
        """Sends SHUTDOWN to the waiting extension."""
        self._loop.call_soon_threadsafe(self._mail.put_nowait, "SHUTDOWN")

    def _connected(self) -> asyncio.Protocol:
        """Runs after a connection is accepted and before TLS begins."""
        self.events.setdefault("connected", time.monotonic())
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._store)

    async def _store(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for _, body in _requests(reader):
            self.events.setdefault("asked", time.monotonic())
            await asyncio.sleep(self.latency)
            wanted = json.loads(body)
            name = wanted.get("SecretId") or wanted["KeyId"]
            answer = {
                "ARN": f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf",
                "Name": name,
                "SecretString": "x" * 100,
                "VersionId": "0f0c8a9e-0000-4000-8000-000000000000",
                "VersionStages": ["AWSCURRENT"],
                "KeyMetadata": {
                    "KeyId": name,
                    "Description": "x" * 100,
                },  # for the KMS client of apps/ruby/sdk
            }
            _answer(writer, answer, "application/x-amz-json-1.1")
            self.events["answered"] = time.monotonic()
        writer.close()

    async def _api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for path, body in _requests(reader):
            asked = path.rpartition("/")[2]
            self._asked_again = time.monotonic()
            self.events.setdefault(asked, self._asked_again)
            kind = ""
            if asked == "register":
                self.subscribed = json.loads(body)["events"]
                await asyncio.sleep(self.register_latency)
            elif asked == "next":
                self._waiting.set()
                kind = await self._mail.get()
            _answer(writer, {"eventType": kind, "requestId": "invocation"}, "application/json")
            self._handed = time.monotonic()
        writer.close()


async def _requests(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """Returns the path and the body of each request on a connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = [
                line.partition(":")[2]
                for line in head.splitlines()
                if line.lower().startswith("content-length:")
            ]
            yield head.split()[1], await reader.readexactly(int(length[0]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def _answer(writer: asyncio.StreamWriter, document: object, kind: str) -> None:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nLambda-Extension-Identifier: identifier\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
