"""Reads secrets from Secrets Manager and Parameter Store of another account or region, on moto."""

from __future__ import annotations

import json
import secrets as randomness
from pathlib import Path
from typing import Any

import boto3
import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.keys import Place
from keystart_extension.sync.secret import Value
from keystart_extension.sync.sources import Entry, Source, parameter_store, secrets_manager

from tests.fakes.aws import Cloud
from tests.fakes.http import Answer, Request

from .conftest import Canaries, Environment, Serve

OTHER = "210987654321"
ROLE = f"arn:aws:iam::{OTHER}:role/keystart-source"


@pytest.fixture
def place(environment: Environment, tmp_path: Path) -> Place:
    assert environment()
    return Place(tmp_path, None)


def client(service: str, moto: str, region: str, *, role: str | None = None) -> Any:
    """Makes a client of this account, or of that of a role."""
    make: Any = boto3.Session("made-up", "made-up", region_name=region).client
    if role is not None:
        sts = make("sts", endpoint_url=moto)
        answer = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        key, token = (answer["AccessKeyId"], answer["SecretAccessKey"]), answer["SessionToken"]
        make = boto3.Session(*key, token, region_name=region).client
    return make(service, endpoint_url=moto)


def read(source: Source) -> dict[str, Value]:
    return {entry.name: source.read(entry) for entry in source.entries()}


def prefix() -> str:
    return f"p{randomness.token_hex(4)}/"


def test_secrets_of_another_region_keep_their_form_and_their_tags(
    place: Place, moto: str, canary: Canaries
) -> None:
    api, name = client("secretsmanager", moto, "eu-north-1"), prefix()
    text, data = canary(), canary().encode()
    api.create_secret(Name=f"{name}text", SecretString=text, Tags=[{"Key": "team", "Value": "a"}])
    api.create_secret(Name=f"{name}utf-8", SecretBinary=data)
    api.create_secret(Name=f"x{name}", SecretString=text)
    source = secrets_manager.source({"region": "eu-north-1", "prefix": name}, place)
    assert read(source) == {
        f"{name}text": Value(text.encode(), is_binary=False),
        f"{name}utf-8": Value(data, is_binary=True),
    }
    assert Entry(f"{name}text", {"team": "a"}) in list(source.entries())


def test_any_number_of_secrets_is_listed(place: Place, moto: str, canary: Canaries) -> None:
    api, name = client("secretsmanager", moto, "eu-north-1"), prefix()
    for number in range(210):
        api.create_secret(Name=f"{name}{number}", SecretString=canary())
    source = secrets_manager.source({"region": "eu-north-1", "prefix": name}, place)
    assert len(list(source.entries())) == 210


def test_secrets_of_another_account_are_read_with_a_role(place: Place, moto: str, canary: Canaries) -> None:
    api, name, text = client("secretsmanager", moto, "eu-west-1", role=ROLE), prefix(), canary()
    api.create_secret(Name=f"{name}db", SecretString=text)
    keys = {"region": "eu-west-1", "prefix": name}
    assert read(secrets_manager.source({**keys, "role": ROLE, "external_id": "keystart"}, place)) == {
        f"{name}db": Value(text.encode(), is_binary=False)
    }
    assert read(secrets_manager.source(keys, place)) == {}


def test_parameters_of_another_region_are_read_below_their_path(
    place: Place, moto: str, canary: Canaries
) -> None:
    api, path = client("ssm", moto, "eu-north-1"), f"/{prefix()}".rstrip("/")
    values = {f"deep/{number}": canary() for number in range(23)}
    for name, text in values.items():
        api.put_parameter(Name=f"{path}/{name}", Value=text, Type="SecureString")
    api.put_parameter(Name=f"{path}2/other", Value=canary(), Type="String")
    source = parameter_store.source({"region": "eu-north-1", "path": path}, place)
    read_alone = read(source)
    assert read_alone == {name: Value(text.encode(), is_binary=False) for name, text in values.items()}
    assert source.read_some([*map(Entry, values), Entry("missing")]) == read_alone


@pytest.mark.parametrize("status", [200, 400])
def test_parameters_are_read_ten_at_once_and_those_of_a_refused_request_alone(
    place: Place, serve: Serve, canary: Canaries, status: int
) -> None:
    values = {f"p{number}": canary() for number in range(23)}
    refusal = b'{"__type": "AccessDeniedException", "message": "no"}'
    asked: list[list[str]] = []

    def answer(request: Request) -> Answer:
        names = [name.removeprefix("/prod/") for name in request.json["Names"]]
        asked.append(names)
        if "p12" in names and status == 400:
            return Answer(400, refusal)
        found = [{"Name": f"/prod/{name}", "Value": values[name]} for name in names]
        return Answer(200, json.dumps({"Parameters": found, "InvalidParameters": []}).encode())

    serve(answer)
    source = parameter_store.source({"region": "eu-west-1", "path": "/prod"}, place)
    found = source.read_some(list(map(Entry, values)))
    assert [len(names) for names in asked] == [10, 10, 3]
    refused = asked[1] if status == 400 else []
    assert found == {name: Value.of(values[name].encode()) for name in values if name not in refused}


def test_locks_of_a_sync_are_left_out(place: Place, moto: str, canary: Canaries) -> None:
    api, lock = client("ssm", moto, "eu-south-2"), f"/keystart/sync/{randomness.token_hex(4)}/1"
    api.put_parameter(Name=lock, Value="{}", Type="String")
    api.put_parameter(Name="/keystart/syncs", Value=(value := canary()), Type="String")
    source = parameter_store.source({"region": "eu-south-2", "path": "/"}, place)
    assert read(source) == {"keystart/syncs": Value.of(value.encode())}


def test_parameters_of_another_account_are_read_with_a_role(
    place: Place, moto: str, canary: Canaries
) -> None:
    api, path, text = client("ssm", moto, "eu-west-1", role=ROLE), f"/{prefix()}", canary()
    api.put_parameter(Name=f"{path}db", Value=text, Type="SecureString")
    keys = {"region": "eu-west-1", "path": path}
    assert read(parameter_store.source({**keys, "role": ROLE}, place)) == {
        "db": Value(text.encode(), is_binary=False)
    }
    assert read(parameter_store.source(keys, place)) == {}


def test_a_role_that_may_not_be_taken_is_named(place: Place, serve: Serve) -> None:
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    serve(lambda _: Answer(403, body))
    with pytest.raises(AwsError, match=f"Allow sts:AssumeRole on {ROLE}"):
        list(secrets_manager.source({"region": "eu-west-1", "role": ROLE}, place).entries())


@pytest.mark.parametrize("kind", ["list", "page"])
def test_a_list_that_ends_early_is_an_error(
    place: Place, moto: str, cloud: Cloud, canary: Canaries, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = secrets_manager.source({"region": "eu-west-1"}, place)
    first = {"SecretList": [{"Name": cloud.secret(canary())}]}
    pages: list[Any] = [first, {} if kind == "list" else AwsError("ThrottlingException", "no")]

    class Client:
        def get_paginator(self, _: str) -> Client:
            return self

        def paginate(self, **_: object) -> Any:
            for page in pages:
                if isinstance(page, Exception):
                    raise page
                yield page

    monkeypatch.setattr(source, "_client", Client)
    with pytest.raises(AwsError):
        list(source.entries())


@pytest.mark.parametrize(
    ("kind", "document", "problem"),
    [
        (secrets_manager, {"region": "Ireland"}, "`source.secrets_manager.region` is not a region"),
        (secrets_manager, {"external_id": "x"}, "`source.secrets_manager.external_id` is only for a `role`"),
        (secrets_manager, {"role": "keystart-source"}, "must be the ARN of a role"),
        (secrets_manager, {"access_key": "x"}, "unknown key"),
        (parameter_store, {}, "lacks `path`"),
        (parameter_store, {"path": "prod"}, "must begin with a slash"),
    ],
)
def test_wrong_keys_are_refused_with_the_cure(
    kind: Any, document: dict[str, str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SyncError, match=problem):
        kind.source(document, Place(tmp_path, None))
