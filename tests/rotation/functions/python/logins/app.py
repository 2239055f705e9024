"""Opens connections to a server in the way that MODE says, and holds the newest ones."""

from __future__ import annotations

import base64
import os
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import keystart

HOST, PORT, DATABASE = (os.environ[f"SERVER_{name}"] for name in ("HOST", "PORT", "DATABASE"))
MODE = os.environ["MODE"]
THREADS = ThreadPoolExecutor(16)


class Connection(Protocol):
    def execute(self, query: str, /) -> object: ...
    def close(self) -> None: ...


class HttpLogin:
    """A login over HTTP, which leaves no connection open."""

    def __init__(self, user: str, password: str) -> None:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}"}
        request = urllib.request.Request(f"http://{HOST}:{PORT}/{DATABASE}", headers=headers)
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310  # a server of this test on loopback

    def execute(self, query: str, /) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def connect_to_postgresql(user: str, password: str) -> Connection:
    import psycopg

    place = {"host": HOST, "port": PORT, "dbname": DATABASE, "sslmode": "disable", "gssencmode": "disable"}
    connection: Connection = psycopg.connect(user=user, password=password, autocommit=True, **place)
    return connection


CONNECT: Callable[[str, str], Connection] = {"http": HttpLogin, "postgresql": connect_to_postgresql}[
    os.environ["SERVER_SCHEME"]
]
held: deque[Connection] = deque()


def outcome_of(error: Exception) -> str:
    is_refused = "password authentication failed" in str(error) or getattr(error, "code", None) == 401
    return "refused" if is_refused else type(error).__name__


def version_of(secrets: keystart.Snapshot) -> str:
    source = secrets.info("db/password")["source"]
    return f"{' '.join(source['version_stages'])} {source['version_id']}"


def refresh(log_in: Callable[[keystart.Snapshot], Connection]) -> Connection:
    try:
        return log_in(keystart.snapshot())
    except Exception as error:
        if outcome_of(error) != "refused":
            raise
        keystart.refresh("db")
        return log_in(keystart.snapshot())


HOW: dict[str, Callable[[Callable[[keystart.Snapshot], Connection]], Connection]] = {
    "attempt": lambda log_in: keystart.attempt("db", log_in),
    "refresh": refresh,
    "get": lambda log_in: log_in(keystart.snapshot()),
}


def open_one(_number: int) -> tuple[dict[str, object], Connection | None]:
    logins: list[tuple[float, float, str, str]] = []

    def log_in(secrets: keystart.Snapshot) -> Connection:
        user, password = secrets.get("db/username"), secrets.get("db/password")
        began, outcome = time.time(), "accepted"
        try:
            return CONNECT(user, password)
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            logins.append((began, time.time(), outcome, version_of(secrets)))

    began, error, connection = time.time(), None, None
    try:
        connection = HOW[MODE](log_in)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    return {"began": began, "ended": time.time(), "logins": logins, "error": error}, connection


def handler(event: dict[str, int], _context: object) -> dict[str, object]:
    for connection in held:
        connection.execute("SELECT 1")
    calls = []
    for call, opened in THREADS.map(open_one, range(event["open"])):
        calls.append(call)
        if opened is not None:
            held.append(opened)
    while len(held) > event["hold"]:
        held.popleft().close()
    return {"calls": calls}
