"""Reads the secret db in one of three ways, and answers with the process and a keyed digest of the value."""

import hmac
import os

import keystart


class RefusedError(Exception):
    """The server refuses a login."""


def handler(event: dict[str, str], _context: object) -> dict[str, object]:
    key = bytes.fromhex(event["key"])

    def digest(value: bytes) -> str:
        return hmac.new(key, value, "sha256").hexdigest()

    def log_in(secrets: keystart.Snapshot) -> str:
        if (seen := digest(secrets.get_bytes("db"))) == event["refused"]:
            raise RefusedError
        return seen

    if event["call"] == "attempt":
        seen = keystart.attempt("db", log_in, rejected=RefusedError)
    else:
        if event["call"] == "refresh":
            keystart.refresh("db")
        seen = digest(keystart.get_bytes("db"))
    return {"digest": seen, "process": os.getpid()}
