"""Asks the Python reader the harness's questions, one JSON object a line. It judges nothing."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import keystart


def secret(reader: Any, name: Any) -> dict[str, Any]:
    """Returns the value object of contract 7.2. Its text is null if it has none."""
    found = reader.secret(name)
    try:
        text = found.reveal()
    except keystart.SecretNotText:
        text = None
    data = base64.b64encode(found.reveal_bytes()).decode()
    return {"name": found.name, "text": text, "bytes_base64": data}


class ServerError(Exception):
    """What the server of a case answers to a login: rejected, locked or failed."""


def attempt(reader: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Logs in as contract/README.md says."""
    name, function = asked.get("name"), asked.get("fn", {})
    ends = function.get("logins", ["accepted"])
    logins: list[str] = []
    raised: dict[int, Exception] = {}
    runs = 0

    def login(secrets: Any) -> int:
        nonlocal runs
        runs += 1
        logins.append("".join(secrets.get(each) for each in function.get("reads", [name])))
        time.sleep(function.get("takes_ms", 0) / 1000)
        end = ends[min(runs, len(ends)) - 1]
        if end == "accepted":
            return runs
        raised[runs] = keystart.SnapshotExpired("expired") if end == "expired" else ServerError(end)
        raise raised[runs]

    def is_rejected(error: Exception) -> object:
        end = str(error) if isinstance(error, ServerError) else "failed"
        return {"rejected": True, "locked": "locked", "failed": False}[end]

    options = {"budget": seconds(asked["budget_ms"])} if "budget_ms" in asked else {}
    try:
        return {"logins": logins, "returned": reader.attempt(name, login, rejected=is_rejected, **options)}
    except Exception as error:
        deciding = [run for run, each in raised.items() if each is error]
        if not deciding:
            raise
        return {"logins": logins, "raised": deciding[0]}


CALLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "text": lambda reader, asked: reader.get(asked.get("name")),
    "bytes": lambda reader, asked: {"base64": base64.b64encode(reader.get_bytes(asked.get("name"))).decode()},
    "json": lambda reader, asked: reader.get_json(asked.get("name")),
    "path": lambda reader, asked: reader.path(asked.get("name")),
    "names": lambda reader, asked: reader.names(asked.get("prefix")),
    "info": lambda reader, asked: reader.info(asked.get("name")),
    "refresh": lambda reader, asked: reader.refresh(*asked.get("names", [])),
    "attempt": attempt,
    "secret": lambda reader, asked: secret(reader, asked.get("name")),
    "tls": lambda reader, asked: {"usable": isinstance(reader.tls(asked.get("prefix")), ssl.SSLContext)},
}


def client(asked: dict[str, Any]) -> Any:
    """Makes a new client with exactly the requested arguments and variables."""
    for variable in ("KEYSTART_DIR", "KEYSTART_TIMEOUT_MS"):
        os.environ.pop(variable, None)
    os.environ.update(asked.get("env") or {})
    return keystart.Keystart(root=asked.get("root"), timeout=seconds(asked.get("timeout_ms")))


def seconds(ms: Any) -> Any:
    """Returns milliseconds as seconds, and anything of a wrong type as it is."""
    return ms / 1000 if isinstance(ms, int | float) and not isinstance(ms, bool) else ms


def outcome(question: Callable[[], Any]) -> dict[str, Any]:
    """Returns the value, the error of the contract, or whatever else happened."""
    try:
        return {"value": question()}
    except keystart.KeystartError as error:
        kind = type(error).__name__
        return {"error": {"code": error.code, "message": str(error), "secret": error.secret, "class": kind}}
    except BaseException as error:
        return {"crash": f"{type(error).__name__}: {error}"}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Returns the answer to one request."""

    def reader() -> Any:
        made = client(asked)
        return made.snapshot() if asked.get("via") == "snapshot" else made

    made = outcome(reader)
    if "value" not in made:
        return made
    ask = CALLS[asked["call"]]
    pause = asked.get("pause")
    while pause is not None:
        if pause == "asked":
            outcome(lambda: ask(made["value"], asked))
        write({"id": asked["id"], "paused": True})
        pause = json.loads(sys.stdin.readline()).get("pause")
    return outcome(lambda: ask(made["value"], asked))


def write(line: dict[str, Any]) -> None:
    """Writes one answer."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answers until the input ends."""
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        write({"id": asked["id"], **answer(asked)})


if __name__ == "__main__":
    main()
