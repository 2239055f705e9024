"""Rotations of a database's password: in AWS's order, by hand, and rolled back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from tests.fakes.stages import StagedSecrets
from tests.servers import RefusedLogin

Kind = Literal["single-user", "alternating", "secret-first", "database-first", "rolled-back", "dead"]
AWS_ORDER: tuple[Kind, ...] = ("single-user", "alternating")
NAME = "prod/orders/db"
_USERS = ("orders", "orders_clone")
_STEP = 0.2  # seconds between two steps of which nobody logs in


@dataclass(frozen=True)
class Rotation:
    """A rotation that is over. `changed` has the times at which the database had a new password."""

    kind: Kind
    pause: float
    began: float
    ended: float
    changed: tuple[float, ...]


class Server(Protocol):
    """A database server whose users have passwords."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    def set_password(self, user: str, password: str, /) -> None:
        """Creates the user with this password, or changes its password."""


class Database(Server, Protocol):
    """A server that the functions of `functions/*/logins` log in to, by the scheme that they know."""

    @property
    def scheme(self) -> str: ...
    def create_database(self, name: str, /) -> None:
        """Creates an empty database that every user can use."""

    def refused(self) -> Sequence[RefusedLogin]:
        """Returns the logins that the server has refused because of their password."""

    def log_text(self) -> str:
        """Returns what the server has logged."""


ServerT = TypeVar("ServerT", bound=Server)


@dataclass
class Rotator(Generic[ServerT]):
    """Rotates the one secret of a database. `passwords` are all that it has made."""

    server: ServerT
    store: StagedSecrets
    passwords: dict[str, str] = field(default_factory=dict, repr=False)  # by user, those that work
    all_passwords: list[str] = field(default_factory=list, repr=False)
    user: str = _USERS[0]
    _rotations: int = 0
    _changed: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Makes the first password, and the secret with it."""
        self._set(self.user, self._new())
        self.store.put(NAME, self._value(self.user, self.passwords[self.user]))

    def rotate(
        self, kind: Kind, pause: float = 0.0, between: Callable[[], object] = lambda: None
    ) -> Rotation:
        """Rotates once. `pause` separates the change of the database from that of the secret, as does `between`."""

        def wait() -> None:
            time.sleep(pause)
            between()

        began = time.time()
        self._rotations += 1
        self._changed = []
        steps = {
            "single-user": lambda: self._in_aws_order(self.user, wait),
            "alternating": lambda: self._in_aws_order(self._other(), wait),
            "secret-first": lambda: self._secret_first(wait),
            "database-first": lambda: self._database_first(wait),
            "rolled-back": lambda: self._rolled_back(wait),
            "dead": lambda: self._dead(wait),
        }
        steps[kind]()
        return Rotation(kind, pause, began, time.time(), tuple(self._changed))

    def _in_aws_order(self, user: str, wait: Callable[[], None]) -> None:
        password = self._new()
        version = self.store.put(NAME, self._value(user, password), "AWSPENDING")
        time.sleep(_STEP)
        self._set(user, password)
        wait()
        self.store.move(NAME, version)
        self.user = user
        if self._rotations % 2:  # AWS's templates differ in whether the version keeps this stage
            self.store.detach(NAME, "AWSPENDING")

    def _secret_first(self, wait: Callable[[], None]) -> None:
        password = self._new()
        self.store.put(NAME, self._value(self.user, password))
        wait()
        self._set(self.user, password)

    def _database_first(self, wait: Callable[[], None]) -> None:
        password = self._new()
        self._set(self.user, password)
        wait()
        self.store.put(NAME, self._value(self.user, password))

    def _rolled_back(self, wait: Callable[[], None]) -> None:
        before, password = self.passwords[self.user], self._new()
        self.store.put(NAME, self._value(self.user, password), "AWSPENDING")
        time.sleep(_STEP)
        self._set(self.user, password)
        wait()
        self._set(self.user, before)
        self.store.detach(NAME, "AWSPENDING")

    def _dead(self, wait: Callable[[], None]) -> None:
        """Lets no version of the secret work until the pause is over."""
        before = self.passwords[self.user]
        self._set(self.user, self._new())
        wait()
        self._set(self.user, before)

    def _set(self, user: str, password: str) -> None:
        self.server.set_password(user, password)
        self.passwords[user] = password
        self._changed.append(time.time())

    def _new(self) -> str:
        password = secrets.token_urlsafe(24)
        self.all_passwords.append(password)
        return password

    def _other(self) -> str:
        return _USERS[1 - _USERS.index(self.user)]

    def _value(self, user: str, password: str) -> str:
        """Returns the secret in the form that AWS's rotation functions expect."""
        address = {"host": self.server.host, "port": self.server.port}
        return json.dumps({**address, "username": user, "password": password})
