"""Tries every driver on real servers, and returns or writes what each of them raises.

`python -m tests.rejections.record` writes contract/cases/rejections. It keeps the cases of drivers that are not
installed.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests import ROOT
from tests.servers import mariadb, postgresql, redis

from . import situations
from .situations import Situation

CASES = ROOT / "contract/cases/rejections"
RECORDERS = Path(__file__).parent / "recorders"
RIGHT, WRONG = (f"{os.urandom(12).hex()}-{which}" for which in ("right", "wrong"))
COMMANDS: Mapping[str, list[str | Path]] = {
    "python": [sys.executable, RECORDERS / "python.py"],
    "node": ["node", RECORDERS / "node.mjs"],
    "ruby": ["ruby", RECORDERS / "ruby.rb"],
}
# The drivers that are tried on each kind of server, and those that only wrap one of them.
DRIVERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "python": {
        "postgresql": ("psycopg", "psycopg, asynchronous", "psycopg_pool", "psycopg2", "asyncpg", "pg8000"),
        "mysql": ("PyMySQL", "asyncmy", "mysqlclient", "mysql-connector-python", "mariadb"),
        "redis": ("redis", "redis, asynchronous", "valkey"),
        "http": ("urllib", "requests", "httpx", "aiohttp"),
        "oracle": ("oracledb",),
        "sqlserver": ("pymssql",),
        "mongodb": ("pymongo",),
    },
    "node": {
        "postgresql": ("pg", "pg, Pool", "postgres"),
        "mysql": ("mysql2", "mysql2, Pool", "mariadb", "mariadb, pool"),
        "redis": ("ioredis", "ioredis, its event", "redis"),
        "http": ("axios", "got", "fetch"),
        "mongodb": ("mongodb", "mongoose"),
        "prisma": ("Prisma", "Prisma, its adapter"),
        "sqlserver": ("tedious",),
    },
    "ruby": {
        "postgresql": ("pg",),
        "mysql": ("mysql2",),
        "redis": ("redis",),
        "http": ("net/http", "faraday"),
    },
}
WRAPPERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "python": {
        "postgresql": ("SQLAlchemy with psycopg", "SQLAlchemy with pg8000"),
        "mysql": ("SQLAlchemy with PyMySQL",),
    },
    "node": {},
    "ruby": {
        "postgresql": ("Sequel with pg", "Active Record with pg"),
        "mysql": ("Sequel with mysql2", "Active Record with mysql2"),
    },
}
# What hides why a login failed, and what sends an empty password if it has none.
HIDING = ("psycopg_pool", "ioredis")
SENDING_NONE = ("asyncpg", "postgres")
_WRAPPED = ("wrong password", "locked account", "connection refused")


@contextmanager
def servers() -> Iterator[dict[str, list[Situation]]]:
    """Runs a server of each kind, and yields the logins to try on it. Raises `ServerMissingError`."""
    with ExitStack() as stack:
        found = {
            "postgresql": _postgresql(stack.enter_context(postgresql.serve())),
            "mysql": _mysql(stack.enter_context(mariadb.serve(["--max-password-errors=3"]))),
            "redis": _redis(stack.enter_context(redis.serve())),
            "http": stack.enter_context(_http()),
            "oracle": situations.ORACLE,
            "sqlserver": situations.SQL_SERVER,
            "mongodb": situations.MONGODB,
            "prisma": situations.PRISMA,
        }
        yield found


def _postgresql(server: postgresql.PostgreSQL) -> list[Situation]:
    server.set_password("app", RIGHT)
    server.set_password("idle", RIGHT)
    server.admin.execute("ALTER ROLE idle NOLOGIN")
    server.set_password("outsider", RIGHT)
    access = server.folder / "data/pg_hba.conf"
    access.write_text(f"host all outsider {server.host}/32 reject\n{access.read_text()}")
    server.admin.execute("SELECT pg_reload_conf()")
    for name in ("shop", "closed"):
        server.create_database(name)
    server.admin.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    return _placed(situations.postgresql(RIGHT, WRONG), server.host, server.port)


def _mysql(server: mariadb.MariaDB) -> list[Situation]:
    for name in ("app", "locked", "blocked"):
        server.set_password(name, RIGHT)
    with server.admin.cursor() as cursor:
        for statement in (
            "CREATE DATABASE shop",
            "CREATE DATABASE closed",
            "CREATE TABLE shop.orders (id INT)",
            "GRANT SELECT ON shop.* TO app@'%'",
            "ALTER USER locked@'%' ACCOUNT LOCK",
            "CREATE USER `system`@'%' IDENTIFIED VIA unix_socket",
        ):
            cursor.execute(statement)
    for _ in range(3):
        with pytest.raises(pymysql.OperationalError):
            pymysql.connect(host=server.host, port=server.port, user="blocked", password=WRONG)
    return _placed(situations.mysql(RIGHT, WRONG), server.host, server.port)


def _redis(server: redis.Redis) -> list[Situation]:
    server.set_password("app", RIGHT)
    # A password that no other user has: redis-rb tries a refused one again as the default user.
    server.set_password("default", f"{RIGHT}-of-default")
    server.admin.execute_command("ACL", "SETUSER", "app", "-config")
    server.set_password("idle", RIGHT)
    server.admin.execute_command("ACL", "SETUSER", "idle", "off")
    return _placed(situations.redis(RIGHT, WRONG), server.host, server.port)


def _placed(found: list[Situation], host: str, port: int) -> list[Situation]:
    return [Situation(each.name, {"host": host, "port": port, **each.login}, each.verdict) for each in found]


@contextmanager
def _http() -> Iterator[list[Situation]]:
    """Serves a status for each path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Logs nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            place = f"http://127.0.0.1:{server.server_port}"
            login = {"user": "app", "password": WRONG}
            yield [
                Situation(f"HTTP {status}", {**login, "url": f"{place}/{status}"}, verdict)
                for status, verdict in (("401", "rejected"), ("403", None), ("500", None))
            ]
        finally:
            server.shutdown()


def tried(language: str, found: Mapping[str, list[Situation]]) -> list[dict[str, Any]]:
    """Returns a case for each driver of a language and each situation, and drivers that are missing."""
    cases: list[tuple[str, str, Situation]] = []
    for server, logins in found.items():
        names = DRIVERS[language].get(server, ())
        cases += [(server, driver, each) for driver in names for each in logins]
        wrappers = WRAPPERS[language].get(server, ())
        cases += [(server, driver, each) for driver in wrappers for each in logins if each.name in _WRAPPED]
    asked = [{"driver": driver, "login": each.login} for _, driver, each in cases]
    answers = _run(language, asked)
    return [
        {
            "id": f"{_word(driver)}-{_word(each.name)}",
            "driver": driver,
            "server": server,
            "situation": each.name,
            "verdict": _expected(driver, each),
            **{key: value for key, value in answer.items() if key != "verdict"},
            "seen": answer.get("verdict"),
        }
        for (server, driver, each), answer in zip(cases, answers, strict=True)
    ]


def _expected(driver: str, situation: Situation) -> str | None:
    if driver in HIDING:
        return None
    if driver in SENDING_NONE and situation.name == "no password":
        return "rejected"
    return situation.verdict


def _run(language: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "bindings/python/src"),
        "RUBYLIB": str(ROOT / "bindings/ruby/lib"),
    }
    done = subprocess.run(
        COMMANDS[language],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT / "tests/servers/node",
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, f"the recorder of {language} failed: {done.stderr[-3000:]}"
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _placeless(text: str) -> str:
    """Returns what a recorder printed without ports that differ in each run."""
    text = re.sub(r"(127\.0\.0\.1[\":, port]{1,12})\d{4,5}\b", r"\g<1>5432", text)
    return re.sub(r"\(conn:\d+", "(conn:1", text)


def main() -> None:
    with servers() as found:
        for language in COMMANDS:
            cases = tried(language, found)
            missing = sorted({case["missing"] for case in cases if "missing" in case})
            if missing:
                print(f"{language}: not recorded, because not installed: {', '.join(missing)}")
            file = CASES / f"{language}.json"
            known = {case["id"]: case for case in json.loads(file.read_text())["cases"]}
            kept = [known.get(case["id"]) if "missing" in case else _recorded(case) for case in cases]
            text = _placeless(json.dumps({"cases": [*filter(None, kept)]}, ensure_ascii=False, indent=1))
            assert RIGHT not in text, f"the errors of {language} hold the right password"
            assert WRONG not in text, f"the errors of {language} hold the wrong password"
            file.write_text(text + "\n")


def _recorded(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns what the file keeps of a login that was tried: nothing if it succeeded."""
    if case["error"] is None:
        return None
    return {key: value for key, value in case.items() if key != "seen"}


if __name__ == "__main__":
    main()
