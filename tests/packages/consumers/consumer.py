"""A strictly typed function. It prints what it read."""

from __future__ import annotations

import base64
import json
import ssl

import keystart


def missing() -> str:
    try:
        keystart.get("sripe/key")
    except keystart.SecretNotFound as error:
        return str(error)
    return "found"


def wrong() -> None:
    """Never called: mypy wants this comment only when it sees the types of the package."""
    keystart.get(7)  # type: ignore[arg-type]


snapshot: keystart.Snapshot = keystart.Keystart(timeout=0).snapshot()
context: ssl.SSLContext = snapshot.tls("tls")
answer = {
    "text": keystart.get("stripe/key"),
    "bytes": base64.b64encode(keystart.get_bytes("keytab")).decode(),
    "json": keystart.get_json("db"),
    "names": snapshot.names("tls"),
    "tls": isinstance(context, ssl.SSLContext),
    "missing": missing(),
}
print(json.dumps(answer))
