"""Searches the memory of the process, after its publish, for the values and credentials that it had."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from tests.fakes.aws import Cloud, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.front import Fault, Front
from tests.fakes.http import Answer, Request, Stub
from tests.memory import copies

from .conftest import Canaries, Launcher, Store

pytestmark = [pytest.mark.alone, pytest.mark.long]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the memory of the process")


@needs_root
def test_no_value_is_left_in_memory_after_publish(
    launch: Launcher, lambda_api: Lambda, store: Store, canary: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, member, binary, parameter, below = (canary() for _ in range(5))
    encoded = base64.b64encode(binary.encode()).decode()
    answers = {
        "text": secret(text),
        "json": secret(json.dumps({"a": member, "b": "x"})),
        "binary": secret("", SecretString=None, SecretBinary=encoded),
    }

    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return answers[request.json["SecretId"]]
        value = {"GetParameters": parameter, "GetParametersByPath": below}[request.action]
        name = "/one" if request.action == "GetParameters" else "/all/one"
        page = {"Parameters": [{"Name": name, "Value": value, "Version": 1, "Type": "SecureString"}]}
        return Answer(body=json.dumps(page).encode())

    entries = {
        "text": "text",
        "member": {"secret": "json", "expand": True},
        "binary": "binary",
        "one": "ssm:/one",
        "all": {"parameters": "/all"},
    }
    with Stub(answer) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        extension = launch(lambda_api, entries)
        lambda_api.wait_for("/event/next")
        published = store.values["text"]
        wanted = [text, member, binary, encoded, parameter, below]
        found = copies(extension.process.pid, {str(at): value.encode() for at, value in enumerate(wanted)})
        lambda_api.send("SHUTDOWN")
        assert extension.ended()[0] == 0
    assert published == text.encode()
    assert found == {name: [] for name in found}


@needs_root
def test_no_value_is_left_in_memory_after_tls(
    launch: Launcher,
    lambda_api: Lambda,
    canary: Canaries,
    cloud: Cloud,
    moto: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = canary()
    arn = cloud.secret(value)
    with Front(Fault(), moto, tmp_path) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        extension = launch(lambda_api, {"db": arn}, AWS_CA_BUNDLE=str(front.authority))
        lambda_api.wait_for("/event/next")
        found = copies(extension.process.pid, {"value": value.encode()})
        lambda_api.send("SHUTDOWN")
        assert extension.ended()[0] == 0
    assert found == {"value": []}


@needs_root
def test_credentials_of_the_container_are_not_left_in_memory(
    launch: Launcher, lambda_api: Lambda, canary: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    key, token = canary(), canary()
    given = {
        "AccessKeyId": "made-up",
        "SecretAccessKey": key,
        "Token": token,
        "Expiration": "2999-01-01T00:00:00Z",
    }

    def answer(request: Request) -> Answer:
        return Answer(body=json.dumps(given).encode()) if request.path == "/credentials" else secret("x")

    with Stub(answer) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
        extension = launch(lambda_api, {"db": "db"})
        lambda_api.wait_for("/event/next")
        found = copies(extension.process.pid, {"key": key.encode(), "token": token.encode()})
        lambda_api.send("SHUTDOWN")
        assert extension.ended()[0] == 0
    assert found == {"key": [], "token": []}
