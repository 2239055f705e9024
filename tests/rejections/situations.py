"""The logins that drivers try on real servers, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Login = Mapping[str, Any]
REFUSING_PORT = 1  # nobody listens there


@dataclass(frozen=True)
class Situation:
    """A login that a server answers in one way, whatever the driver."""

    name: str
    login: Login
    verdict: str | None


def postgresql(right: str, wrong: str) -> list[Situation]:
    """Returns the situations of a server with the roles and databases that record.py makes."""
    place = {"user": "app", "password": right, "database": "shop"}
    return [
        Situation("wrong password", {**place, "password": wrong}, "rejected"),
        Situation("unknown user", {**place, "user": "ghost"}, "rejected"),
        Situation("the role may not log in", {**place, "user": "idle"}, "rejected"),
        Situation("pg_hba.conf rejects", {**place, "user": "outsider"}, None),
        Situation("no password", {**place, "password": None}, None),
        Situation("connection refused", {**place, "port": REFUSING_PORT}, None),
        Situation("unknown database", {**place, "database": "nowhere"}, None),
        Situation("no right to connect", {**place, "database": "closed"}, None),
        Situation("no right to read", {**place, "query": "SELECT * FROM pg_authid"}, None),
    ]


def mysql(right: str, wrong: str) -> list[Situation]:
    """Returns the situations of a server with the accounts and databases that record.py makes."""
    place = {"user": "app", "password": right, "database": "shop"}
    return [
        Situation("wrong password", {**place, "password": wrong}, "rejected"),
        Situation("unknown user", {**place, "user": "ghost"}, "rejected"),
        Situation("no password", {**place, "password": None}, "rejected"),
        Situation("the account is of a user of the system", {**place, "user": "system"}, "rejected"),
        Situation("locked account", {**place, "user": "locked"}, "locked"),
        Situation("too many wrong passwords", {**place, "user": "blocked"}, "locked"),
        Situation("connection refused", {**place, "port": REFUSING_PORT}, None),
        Situation("no right to the database", {**place, "database": "closed"}, None),
        Situation("no right to write", {**place, "query": "DELETE FROM orders"}, None),
    ]


def redis(right: str, wrong: str) -> list[Situation]:
    """Returns the situations of a server with the users that record.py makes."""
    place = {"user": "app", "password": right}
    return [
        Situation("wrong password", {**place, "password": wrong}, "rejected"),
        Situation("unknown user", {**place, "user": "ghost"}, "rejected"),
        Situation("disabled user", {**place, "user": "idle"}, "rejected"),
        Situation("wrong password of the default user", {"user": None, "password": wrong}, "rejected"),
        Situation("no password", {"user": None, "password": None}, None),
        Situation("connection refused", {**place, "port": REFUSING_PORT}, None),
        Situation("no right to the command", {**place, "query": "CONFIG GET port"}, None),
    ]


# No package of Debian has these servers. The driver itself makes its error from what the server's documentation says.
ORACLE = [
    Situation(
        "wrong password", {"code": 1017, "message": "ORA-01017: invalid username/password"}, "rejected"
    ),
    Situation("locked account", {"code": 28000, "message": "ORA-28000: The account is locked."}, "locked"),
    Situation("unknown service", {"code": 12514, "message": "ORA-12514: Service x is not registered"}, None),
]
SQL_SERVER = [
    Situation("wrong password", {"code": 18456, "message": "Login failed for user 'app'."}, "rejected"),
    Situation(
        "locked account",
        {
            "code": 18486,
            "message": "Login failed for user 'app' because the account is currently locked out. "
            "The system administrator can unlock it.",
        },
        "locked",
    ),
    Situation(
        "unknown database",
        {"code": 4060, "message": 'Cannot open database "nowhere" requested by the login. The login failed.'},
        None,
    ),
]
MONGODB = [
    Situation(
        "wrong password",
        {"code": 18, "codeName": "AuthenticationFailed", "message": "Authentication failed."},
        "rejected",
    ),
    Situation(
        "wrong password at Atlas",
        {"code": 8000, "codeName": "AtlasError", "message": "bad auth : authentication failed"},
        "rejected",
    ),
    Situation(
        "another error of Atlas",
        {"code": 8000, "codeName": "AtlasError", "message": "user is not allowed to do action [find]"},
        None,
    ),
    Situation(
        "no right to read",
        {"code": 13, "codeName": "Unauthorized", "message": "not authorized on shop to execute command"},
        None,
    ),
]
PRISMA = [
    Situation(
        "wrong password",
        {"code": "P1000", "message": "Authentication failed against the database server"},
        "rejected",
    ),
    Situation("connection refused", {"code": "P1001", "message": "Can't reach database server"}, None),
]
