"""A Redis server on loopback whose users log in with passwords."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from . import HOST, account, find_program, free_port, private_folder, running

PACKAGE = "redis-server"
_ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class Redis:
    """A running server. The user `default`, whom clients are without a name, has no password and no rights yet."""

    port: int
    folder: Path
    log: Path
    admin: redis.Redis
    host: str = HOST

    def set_password(self, user: str, password: str) -> None:
        """Creates the user with this one password and all rights, or changes its password."""
        self.admin.execute_command("ACL", "SETUSER", user, "reset", "on", f">{password}", "~*", "&*", "+@all")


@contextmanager
def serve() -> Iterator[Redis]:
    """Makes a new server and runs it during the `with` block."""
    program = find_program(PACKAGE, "redis-server")
    with private_folder("redis") as folder:
        port, log, password = free_port(), folder / "log", os.urandom(16).hex()
        configuration = folder / "redis.conf"
        configuration.touch(0o600)
        if os.geteuid() == 0:
            os.chown(configuration, account().pw_uid, account().pw_gid)
        settings = {
            "bind": HOST,
            "port": str(port),
            "dir": str(folder),
            "save": '""',
            "user": f"{_ADMINISTRATOR} on >{password} ~* &* +@all",
        }
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        configuration.write_text("".join([*lines, "user default off\n"]))
        with (
            redis.Redis(HOST, port, username=_ADMINISTRATOR, password=password) as admin,
            running([program, configuration], folder, log, lambda: _answers(admin), signal.SIGTERM),
        ):
            yield Redis(port, folder, log, admin)


def _answers(admin: redis.Redis) -> bool:
    try:
        return bool(admin.ping())
    except redis.exceptions.ConnectionError:
        return False
