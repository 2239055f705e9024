"""A server on loopback that lets users in with their passwords, and remembers whom it refused. It needs no package."""

from __future__ import annotations

import base64
import hmac
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers import HOST, RefusedLogin

from .http import Answer, Request, Stub


@dataclass
class Passwords:
    """Users log in over HTTP, with the name of a database as the path. It answers 200 or 401."""

    host: str = HOST
    scheme: str = "http"
    port: int = 0
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)
    _refused: list[RefusedLogin] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_password(self, user: str, password: str) -> None:
        """Creates the user with this password, or changes its password."""
        with self._lock:
            self._passwords[user] = password

    def create_database(self, name: str) -> None:
        """Does nothing: every path is a database."""

    def refused(self) -> list[RefusedLogin]:
        """Returns the logins that were refused because of their password."""
        with self._lock:
            return list(self._refused)

    def log_text(self) -> str:
        """Returns nothing, because this server has no log."""
        return ""

    def answer(self, request: Request) -> Answer:
        """Answers a login."""
        words = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        user, _, password = words.partition(":")
        with self._lock:
            if hmac.compare_digest(self._passwords.get(user, ""), password):
                return Answer()
            self._refused.append(RefusedLogin(request.path.removeprefix("/"), time.time()))
            return Answer(401)


@contextmanager
def serve() -> Iterator[Passwords]:
    """Runs the server during the `with` block."""
    passwords = Passwords()
    with Stub(passwords.answer) as stub:
        passwords.port = int(stub.address.rpartition(":")[2])
        yield passwords
