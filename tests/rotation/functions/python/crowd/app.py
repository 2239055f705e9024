"""Opens many connections to MariaDB at the same moment, from one process or from several."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import keystart
import pymysql
from pymysql.constants import ER

Connection: TypeAlias = "pymysql.connections.Connection[Any]"
SERVER: dict[str, Any] = {"host": os.environ["SERVER_HOST"], "port": int(os.environ["SERVER_PORT"])}
LOCKED = 4150  # ER_USER_IS_BLOCKED
BUDGET = 10  # seconds: a login of fifty at once on a busy machine
START = 0.3  # seconds until every process has started


def log_in(secrets: keystart.Snapshot) -> Connection:
    user, password = secrets.get("db/username"), secrets.get("db/password")
    return pymysql.connect(user=user, password=password, connect_timeout=30, **SERVER)


HOW: dict[str, Callable[[], Connection]] = {
    "attempt": lambda: keystart.attempt("db", log_in, budget=BUDGET),
    "get": lambda: log_in(keystart.snapshot()),
}


def outcome() -> str:
    try:
        HOW[os.environ["MODE"]]().close()
    except pymysql.MySQLError as error:
        return {ER.ACCESS_DENIED_ERROR: "refused", LOCKED: "locked"}.get(error.args[0], str(error.args[0]))
    except keystart.KeystartError as error:
        return error.code
    return "accepted"


def open_at(moment: float, connections: int) -> list[str]:
    outcomes: list[str] = []

    def run() -> None:
        time.sleep(max(0.0, moment - time.time()))
        outcomes.append(outcome())

    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def in_a_child(moment: float, connections: int) -> int:
    """Returns the pipe into which a new process writes its outcomes."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, json.dumps(open_at(moment, connections)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    return reading


def handler(event: dict[str, int], _context: object) -> list[str]:
    processes, connections = event["processes"], event["connections"]
    moment = time.time() + START
    shares = [len(range(first, connections, processes)) for first in range(processes)]
    if processes == 1:
        return open_at(moment, connections)
    pipes = [in_a_child(moment, share) for share in shares if share]
    outcomes: list[str] = []
    for pipe in pipes:
        with os.fdopen(pipe) as answer:
            outcomes += json.loads(answer.read())
        os.wait()
    return outcomes
