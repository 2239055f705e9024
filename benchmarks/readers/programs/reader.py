"""Times reads inside a Python process: `reader.py MODE ARGUMENTS`, one JSON object on stdout. bench.py starts it.

keystart ROOT OTHER        loading the reader, the first read, and the first read of another store
file PATH                  the first read of a plain file, and of one with JSON
http URL                   loading the client, and the first request to a cache on this machine
warm ROOT FILE URL LOOPS   the time of one call, several times, for values that were read before
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

now = time.perf_counter_ns


def first_reads(root: str, other: str) -> dict[str, int]:
    start = now()
    import keystart

    loaded = now()
    keystart.Keystart(root=root).get("stripe/key")
    read = now()
    keystart.Keystart(root=other).get("stripe/key")
    return {"load": loaded - start, "first": read - loaded, "first_other": now() - read}


def first_file(path: str) -> dict[str, int]:
    start = now()
    Path(path).read_text()
    return {"first": now() - start}


def first_request(url: str) -> dict[str, int]:
    start = now()
    from http.client import HTTPConnection

    loaded = now()
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host)
    connection.request("GET", f"/{path}")
    json.loads(connection.getresponse().read())
    return {"load": loaded - start, "first": now() - loaded}


def warm(root: str, path: str, url: str, loops: str) -> dict[str, list[float]]:
    from http.client import HTTPConnection

    import keystart

    client = keystart.Keystart(root=root)
    host, _, resource = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host)

    def request() -> object:
        connection.request("GET", f"/{resource}")
        return json.loads(connection.getresponse().read())

    def read() -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123  # what a function would write that counts microseconds
            return file.read()

    calls: dict[str, Callable[[], object]] = {
        "get": lambda: client.get("stripe/key"),
        "get_bytes": lambda: client.get_bytes("stripe/key"),
        "get_json": lambda: client.get_json("db"),
        "names": client.names,
        "snapshot": client.snapshot,
        "path": lambda: client.path("db"),
        "file": read,
        "file_json": lambda: json.loads(read()),
    }
    times = {name: batches(call, int(loops)) for name, call in calls.items()}
    times["http"] = batches(request, max(int(loops) // 10, 10))
    return times


def batches(call: Callable[[], object], loops: int) -> list[float]:
    """Returns nanoseconds per call, from twenty batches after one that does not count."""
    means = []
    for _ in range(21):
        start = now()
        for _ in range(loops):
            call()
        means.append((now() - start) / loops)
    return means[1:]


MODES: dict[str, Callable[..., object]] = {
    "keystart": first_reads,
    "file": first_file,
    "http": first_request,
    "warm": warm,
}
print(json.dumps(MODES[sys.argv[1]](*sys.argv[2:])))
