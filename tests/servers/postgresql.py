"""A PostgreSQL server on loopback that asks for passwords with SCRAM, and whose log counts refused logins."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from . import HOST, RefusedLogin, find_program, free_port, private_folder, run, running

PACKAGE = "postgresql"
_SUPERUSER = "postgres"
_REFUSED = re.compile(
    r'^database=(?P<database>\S*) at=(?P<at>\S+) FATAL:  password authentication failed for user "'
)
# Nothing here outlives the test, so nothing is flushed. Statements stay out of the log, because they hold passwords.
_SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "log_min_error_statement": "panic",
    "log_line_prefix": "database=%d at=%n ",
}


@dataclass(frozen=True)
class PostgreSQL:
    """A running server. Roles log in over TCP with their passwords; the superuser needs the folder's socket."""

    port: int
    folder: Path
    log: Path
    admin: psycopg.Connection[tuple[object, ...]]
    host: str = HOST
    scheme: str = "postgresql"

    def set_password(self, role: str, password: str) -> None:
        """Creates the role with this password, or changes its password."""
        known = self.admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}")
        self.admin.execute(statement.format(sql.Identifier(role), sql.Literal(password)))

    def create_database(self, name: str) -> None:
        """Creates an empty database that every role can use."""
        statement = "CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log"
        self.admin.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def refused(self) -> list[RefusedLogin]:
        """Returns the logins that the server has refused because of their password."""
        found = filter(None, map(_REFUSED.match, self.log_text().splitlines()))
        return [RefusedLogin(match["database"], float(match["at"])) for match in found]

    def log_text(self) -> str:
        """Returns what the server has logged."""
        return self.log.read_text()


@contextmanager
def serve() -> Iterator[PostgreSQL]:
    """Makes a new server and runs it during the `with` block."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version, reverse=True)
    initdb = find_program(PACKAGE, *newest_first, "initdb")
    with private_folder("postgresql") as folder:
        data, port, log = folder / "data", free_port(), folder / "log"
        access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        run([initdb, "-D", data, "-U", _SUPERUSER, "--encoding=UTF8", "--no-sync", *access], folder)
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        place = [f"--port={port}", f"--unix_socket_directories={folder}"]
        command: list[Path | str] = [initdb.with_name("postgres"), "-D", data, *place, *settings]
        # SIGINT ends it at once; after SIGTERM it waits until every client has left.
        with (
            running(command, folder, log, lambda: _answers(folder, port), stop=signal.SIGINT),
            _connect(folder, port) as admin,
        ):
            yield PostgreSQL(port, folder, log, admin)


def _connect(folder: Path, port: int) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(folder), port=port, user=_SUPERUSER, dbname="postgres", autocommit=True)


def _answers(folder: Path, port: int) -> bool:
    try:
        _connect(folder, port).close()
    except psycopg.OperationalError:
        return False
    return True


def _version(initdb: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", initdb.parents[1].name))
