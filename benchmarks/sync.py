"""Measures `keystart sync` with many secrets: time, memory and requests, against a Secrets Manager in memory.

The stand-in is a process on loopback that answers at once. So the time is that of the command, and of its pace, which
stays below the quotas of Secrets Manager. The last column divides it by the least time that the pace allows, which is
1 second at least. docs/sync.md has what this prints.

    python -m benchmarks.sync [--secrets 10000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import secrets as randomness
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError
from keystart_extension.sync.pace import QUOTAS, SHARE

from tests import peak
from tests.fakes.http import Answer, Request, Stub
from tests.fakes.secrets_manager import SecretsManager

_SIZE = 1_000  # bytes of a secret
_CHANGED = 100  # one of so many secrets changes
_PATIENCE = 3_600  # seconds for one run
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_REGION": "eu-west-1"}


class Service(SecretsManager):
    """Secrets Manager with pages as large as the real one has, and the parameters of the lock."""

    page = 100
    has_empty_pages = False

    def __init__(self) -> None:
        super().__init__()
        self.requests = Counter[str]()
        self._parameters: dict[str, str] = {}
        self._pages: Iterator[dict[str, Any]] = iter(())

    def answer(self, request: Request) -> Answer:
        """Answers one request of boto3."""
        self.requests[request.action] += 1
        call = getattr(self, re.sub("(?<!^)(?=[A-Z])", "_", request.action).lower())
        try:
            document = call(**request.json) or {}
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return Answer(400, json.dumps({"__type": code, "message": "made up"}).encode())
        return Answer(body=json.dumps(document).encode())

    def list_secrets(self, **sent: Any) -> dict[str, Any]:
        """Returns one page."""
        if "NextToken" not in sent:
            size = {"PageSize": sent["MaxResults"]}
            pages = list(self.paginate(Filters=sent["Filters"], PaginationConfig=size))
            tokens = [{"NextToken": str(number)} for number in range(1, len(pages))]  # boto3 takes none twice
            self._pages = iter([{**page, **token} for page, token in zip(pages, [*tokens, {}], strict=True)])
        return next(self._pages)

    def put_parameter(self, **sent: Any) -> dict[str, int]:
        """Writes a parameter of the lock."""
        self._parameters[sent["Name"]] = sent["Value"]
        return {"Version": 1}

    def get_parameters_by_path(self, **_: Any) -> dict[str, Any]:
        """Lists the parameters of the lock."""
        return {"Parameters": [{"Name": name, "Value": value} for name, value in self._parameters.items()]}

    def delete_parameters(self, **sent: Any) -> dict[str, Any]:
        """Deletes parameters of the lock."""
        for name in sent["Names"]:
            self._parameters.pop(name, None)
        return {"DeletedParameters": sent["Names"]}


def serve(connection: Connection) -> None:
    """Serves until the other side closes. Sends the URL, and at each request for it the counts since the last."""
    service = Service()
    with Stub(service.answer) as stub:
        connection.send(stub.url)
        while connection.recv():
            connection.send(dict(service.requests))
            service.requests.clear()
            stub.requests.clear()


def run(folder: Path, url: str, *arguments: str) -> tuple[float, float]:
    """Runs the command, and returns how many seconds it took and its peak memory in MB."""
    variables = {**_CREDENTIALS, "AWS_ENDPOINT_URL": url, "PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [sys.executable, "-m", "keystart_extension", "sync", *arguments, str(folder / "sync.yaml")]
    began = time.monotonic()
    with (folder / "output").open("w") as output:
        end = peak.run(command, variables, output, _PATIENCE)
    if end.code:
        sys.exit((folder / "output").read_text()[-2_000:])
    return time.monotonic() - began, end.peak * 1_024 / 1e6


def least_seconds(counts: Mapping[str, int]) -> float:
    """Returns the least time that the pace of a run allows for these requests. Those of the first second are free."""
    return max(
        1.0,
        *(sum(counts.get(name, 0) for name in operations) * SHARE / rate - 1 for rate, operations in QUOTAS),
    )


def main() -> int:
    """Prints a row for each run, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--secrets", type=int, default=10_000)
    count = parser.parse_args().secrets
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    url = ours.recv()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "secrets").mkdir()
        (folder / "sync.yaml").write_text(
            "version: 1\nid: many\nsource: {folder: secrets}\nsecrets: [{name: 'prod/{name}'}]\n"
        )
        for number in range(count):
            (folder / f"secrets/s{number:05}").write_text(randomness.token_hex(_SIZE // 2))
        print("| run | seconds | memory | requests | of the least time |\n|---|---|---|---|---|")
        for title, arguments in (
            (f"`apply`, {count:,} new secrets", ("apply", "--yes")),
            ("`plan`, nothing changed", ("plan",)),
            (f"`apply`, {len(range(0, count, _CHANGED)):,} changed", ("apply", "--yes")),
        ):
            if "changed" in title and arguments[0] == "apply":
                for number in range(0, count, _CHANGED):
                    (folder / f"secrets/s{number:05}").write_text(randomness.token_hex(_SIZE // 2))
            print(f"bench: {title}: running", file=sys.stderr, flush=True)
            seconds, memory = run(folder, url, *arguments)
            ours.send(True)
            counts = ours.recv()
            requests = ", ".join(f"{number:,} {operation}" for operation, number in sorted(counts.items()))
            ratio = seconds / least_seconds(counts)
            print(
                f"| {title} | {seconds:.0f} | {memory:.0f} MB | {requests} | {ratio:.2f} |",
                flush=True,
            )
    ours.send(False)
    server.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
