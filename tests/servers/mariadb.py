"""A MariaDB server on loopback, which can lock a user after some wrong passwords, and counts them."""

from __future__ import annotations

import getpass
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket  # noqa: N812  # a parameter here is the path of one

import pymysql

from . import HOST, find_program, free_port, private_folder, run, running

PACKAGE = "mariadb-server-core"
# Nothing here outlives the test, so little is flushed and kept. A warning for each refused login goes to the log.
_SETTINGS = (
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=4M",
    "--performance-schema=off",
    "--max-connections=300",
    "--log-warnings=2",
)


@dataclass(frozen=True)
class MariaDB:
    """A running server. Users log in over TCP with their passwords; the superuser needs the folder's socket."""

    port: int
    folder: Path
    log: Path
    admin: pymysql.Connection[pymysql.cursors.Cursor]
    host: str = HOST

    def set_password(self, user: str, password: str) -> None:
        """Creates the user with this password, or changes its password."""
        with self.admin.cursor() as cursor:
            cursor.execute("CREATE USER IF NOT EXISTS %s@'%%'", [user])
            cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", [user, password])

    def refused(self) -> int:
        """Returns how many logins the server has refused because of their password."""
        return self._count("Access_denied_errors")

    def _count(self, name: str) -> int:
        with self.admin.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE %s", [name])
            row = cursor.fetchone()
        assert row is not None, f"MariaDB has no status {name}"
        return int(row[1])


@contextmanager
def serve(options: Sequence[str] = ()) -> Iterator[MariaDB]:
    """Makes a new server and runs it with more options during the `with` block."""
    install = find_program(PACKAGE, "mariadb-install-db")
    server = find_program(PACKAGE, "mariadbd", "/usr/sbin/mariadbd")
    with private_folder("mariadb") as folder:
        data, port, log, socket = folder / "data", free_port(), folder / "log", folder / "socket"
        # The superuser is whoever runs the tests: the server asks the socket for the user at its other end.
        superuser = [
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={getpass.getuser()}",
        ]
        place = ["--no-defaults", f"--datadir={data}"]
        run([install, *place, "--skip-test-db", *superuser], folder)
        command: list[Path | str] = [
            server,
            *place,
            f"--socket={socket}",
            f"--port={port}",
            f"--bind-address={HOST}",
        ]
        command += [f"--pid-file={folder / 'pid'}", *_SETTINGS, *options]
        ready = lambda: _answers(socket)  # noqa: E731
        with running(command, folder, log, ready, stop=signal.SIGTERM), _connect(socket) as admin:
            yield MariaDB(port, folder, log, admin)


def _connect(socket: Path) -> pymysql.Connection[pymysql.cursors.Cursor]:
    return pymysql.connect(unix_socket=str(socket), user=getpass.getuser(), autocommit=True)


def _answers(socket: Path) -> bool:
    try:
        # PyMySQL would leave its own socket open if nobody listens.
        with Socket(AF_UNIX) as probe:
            probe.connect(str(socket))
        _connect(socket).close()
    except (OSError, pymysql.OperationalError):
        return False
    return True
