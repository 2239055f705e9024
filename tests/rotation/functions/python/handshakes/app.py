"""Shakes hands with a server that requires a client certificate, and answers how often the pair did not match."""

import http.client
import os
import ssl
from collections import Counter
from collections.abc import Callable

import keystart

HOST, PORT = os.environ["SERVER_HOST"], int(os.environ["SERVER_PORT"])


def shake_hands(secrets: keystart.Snapshot) -> str:
    connection = http.client.HTTPSConnection(HOST, PORT, context=secrets.tls("partner"), timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


HOW: dict[str, Callable[[], str]] = {
    "attempt": lambda: keystart.attempt("partner", shake_hands, rejected=ssl.SSLError),
    "get": lambda: shake_hands(keystart.snapshot()),
}


def handler(event: dict[str, int], _context: object) -> dict[str, int]:
    outcomes: Counter[str] = Counter()
    for number in range(event["handshakes"]):
        if number % event["refresh_every"] == 0:
            keystart.refresh("partner")
        try:
            HOW[os.environ["MODE"]]()
            outcomes["done"] += 1
        except ssl.SSLError as error:
            outcomes["mismatched" if error.reason == "KEY_VALUES_MISMATCH" else str(error.reason)] += 1
    return outcomes
