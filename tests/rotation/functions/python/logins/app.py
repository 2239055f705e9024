"""Opens connections to PostgreSQL in the way that MODE says, and holds the newest ones."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import keystart
import psycopg

SERVER: dict[str, Any] = {
    "host": os.environ["SERVER_HOST"],
    "port": os.environ["SERVER_PORT"],
    "dbname": os.environ["SERVER_DATABASE"],
    "sslmode": "disable",
    "gssencmode": "disable",
}
Connection: TypeAlias = "psycopg.Connection[Any]"
MODE = os.environ["MODE"]
THREADS = ThreadPoolExecutor(16)
held: deque[Connection] = deque()


def outcome_of(error: Exception) -> str:
    return "refused" if "password authentication failed" in str(error) else type(error).__name__


def refresh(log_in: Callable[[keystart.Snapshot], Connection]) -> Connection:
    try:
        return log_in(keystart.snapshot())
    except psycopg.OperationalError:
        keystart.refresh("db")
        return log_in(keystart.snapshot())


HOW: dict[str, Callable[[Callable[[keystart.Snapshot], Connection]], Connection]] = {
    "attempt": lambda log_in: keystart.attempt("db", log_in),
    "refresh": refresh,
    "get": lambda log_in: log_in(keystart.snapshot()),
}


def open_one(_number: int) -> tuple[dict[str, object], Connection | None]:
    logins: list[tuple[float, float, str]] = []

    def log_in(secrets: keystart.Snapshot) -> Connection:
        user, password = secrets.get("db/username"), secrets.get("db/password")
        began, outcome = time.time(), "accepted"
        try:
            return psycopg.connect(user=user, password=password, autocommit=True, **SERVER)
        except psycopg.Error as error:
            outcome = outcome_of(error)
            raise
        finally:
            logins.append((began, time.time(), outcome))

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
