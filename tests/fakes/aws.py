"""AWS on loopback: moto's services with people's secrets, and single answers that a test decides."""

from __future__ import annotations

import json
import logging
import re
import secrets as randomness
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from .http import Answer, Request

REGION = "eu-west-1"
_SUFFIX = re.compile("-[A-Za-z0-9]{6}$")


@contextmanager
def serve_moto() -> Iterator[str]:
    """Serves AWS's services during the `with` block; its value is their URL.

    moto keeps everything in this process, so each server begins empty, and leaves nothing to the next one.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    for service in ("secretsmanager", "ssm"):
        get_backend(service)  # imported here: a second of CPU that no deadline of a test should include
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        _empty(url)
        yield url
        _empty(url)
    finally:
        server.stop()


def _empty(url: str) -> None:
    reset = urllib.request.Request(f"{url}/moto-api/reset", method="POST")  # noqa: S310 our own server
    urllib.request.urlopen(reset).close()  # noqa: S310 our own server


class Cloud:
    """Secrets Manager and Parameter Store of moto, with a test's secrets."""

    def __init__(self, url: str) -> None:
        session = boto3.Session("made-up", "made-up", region_name=REGION)
        self.secrets = session.client("secretsmanager", endpoint_url=url)
        self.ssm = session.client("ssm", endpoint_url=url)

    def close(self) -> None:
        """Closes the connections of the clients."""
        self.secrets.close()
        self.ssm.close()

    def secret(self, value: str | bytes, name: str | None = None) -> str:
        """Stores a secret, under a new name if the test passes none, and returns its ARN."""
        name = name or f"test/{randomness.token_hex(8)}"
        if isinstance(value, str):
            return self.secrets.create_secret(Name=name, SecretString=value)["ARN"]
        return self.secrets.create_secret(Name=name, SecretBinary=value)["ARN"]

    def parameter(self, name: str, value: str) -> None:
        """Stores a parameter."""
        self.ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)

    def parameters(self, **values: str) -> str:
        """Stores parameters below a new path, with `__` for a slash, and returns the path."""
        path = f"/test/{randomness.token_hex(8)}"
        for name, value in values.items():
            self.parameter(f"{path}/{name.replace('__', '/')}", value)
        return path


@dataclass(frozen=True)
class SecretAnswer(Answer):
    """Returns an answer of GetSecretValue about the requested secret, with the members in `changes` replaced."""

    value: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    def to(self, request: Request) -> bytes:
        asked = request.json
        arn = asked["SecretId"]
        if not arn.startswith("arn:"):
            region = request.headers["Authorization"].partition("Credential=")[2].split("/")[2]
            arn = f"arn:aws:secretsmanager:{region}:123456789012:secret:{arn}"
        arn = arn if _SUFFIX.search(arn) else f"{arn}-a1B2c3"
        answer = {
            "ARN": arn,
            "Name": arn.split(":", 6)[-1][:-7],
            "VersionId": asked.get("VersionId", "1"),
            "VersionStages": [asked.get("VersionStage", "AWSCURRENT")],
            "SecretString": self.value,
        }
        return json.dumps({**answer, **self.changes}).encode()


def container_credentials(key: str, **others: str) -> Answer:
    """Returns an answer of the endpoint that has a container's credentials."""
    answer = {
        "AccessKeyId": "from-container",
        "SecretAccessKey": key,
        "Token": "token-from-container",
        "Expiration": "2999-01-01T00:00:00Z",
        **others,
    }
    return Answer(body=json.dumps(answer).encode())


def refusal(status: int, code: str, message: str) -> Answer:
    """Returns an error in the form of AWS's JSON services."""
    body = json.dumps({"__type": code, "Message": message}).encode()
    return Answer(status, body, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code})


def secret(value: str, **changes: Any) -> Answer:
    """Answers GetSecretValue with the requested secret, or with members that differ from it."""
    return SecretAnswer(value=value, changes=changes)


def batch(values: Mapping[str, str], errors: Sequence[Mapping[str, str]] = (), token: str = "") -> Answer:
    """Returns an answer of BatchGetSecretValue: values by ARN, with the secrets' names from the ARNs."""
    found = [
        {"ARN": arn, "Name": arn.split(":", 6)[-1][:-7], "VersionId": f"v-{arn}", "SecretString": value}
        for arn, value in values.items()
    ]
    page = {"NextToken": token} if token else {}
    return Answer(body=json.dumps({"SecretValues": found, "Errors": list(errors), **page}).encode())


def parameters(values: Mapping[str, str]) -> Answer:
    """Returns an answer of GetParameters."""
    found = [{"Name": name, "Value": value, "Version": 1} for name, value in values.items()]
    return Answer(body=json.dumps({"Parameters": found, "InvalidParameters": []}).encode())
