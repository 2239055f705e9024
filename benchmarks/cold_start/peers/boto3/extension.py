# ruff: noqa: S310 - the URL is the one that Lambda sets
"""An extension with boto3 as people write it: registers, fetches each secret, writes each to a file, and waits."""

import json
import os
import urllib.request
from pathlib import Path

import boto3

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension"


def register() -> str:
    request = urllib.request.Request(
        f"{API}/register",
        data=json.dumps({"events": ["SHUTDOWN"]}).encode(),
        headers={"Lambda-Extension-Name": Path(__file__).name},
    )
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["Lambda-Extension-Identifier"])


def fetch() -> None:
    client = boto3.client("secretsmanager")
    root = Path(os.environ["PEER_DIR"])
    root.mkdir(mode=0o700)
    for pair in os.environ["PEER_SECRETS"].split(","):
        name, _, secret = pair.partition("=")
        (root / name).write_text(client.get_secret_value(SecretId=secret)["SecretString"])


def wait(identifier: str) -> None:
    request = urllib.request.Request(f"{API}/event/next", headers={"Lambda-Extension-Identifier": identifier})
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    identifier = register()
    fetch()
    wait(identifier)
