"""Imports files of other tools, and continues as a person does: check, iam-policy, and the secrets themselves."""

from __future__ import annotations

import json
import re
import secrets as randomness
import shutil
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
import yaml

from tests.fakes.aws import REGION
from tests.fakes.http import Answer, Request, Stub, forward

from .conftest import Keystart, Serve, Store
from .test_import import _EXPECTED, IMPORTED, text_of

pytestmark = pytest.mark.long

ACCOUNT = "123456789012"
TRANSLATED = sorted(folder.parent.name for folder in IMPORTED.glob("*/expected.yaml"))
_SUFFIX = re.compile("-[A-Za-z0-9]{6}$")


class Cloud(Stub):
    """A server in front of moto. A secret has the ARN by which it was requested: moto makes up its own."""

    def __init__(self, moto: str) -> None:
        super().__init__(self._answer)
        self._moto = moto
        self.asked: set[tuple[str, str]] = set()
        """Action and resource of each request."""

    def client(self, service: str, region: str) -> Any:
        make: Any = boto3.Session("made-up", "made-up", region_name=region).client
        return make(service, endpoint_url=self._moto)

    def _answer(self, request: Request) -> Answer:
        region = request.headers["Authorization"].partition("Credential=")[2].split("/")[2]
        match request.action:
            case "GetSecretValue":
                return self._secret(request, region)
            case "GetParameters":
                self.asked |= {
                    ("ssm:GetParameters", _parameter(name, region)) for name in request.json["Names"]
                }
            case "GetParametersByPath":
                self.asked.add(("ssm:GetParametersByPath", _parameter(request.json["Path"], region)))
            case "AssumeRole":
                (role,) = parse_qs(request.body.decode())["RoleArn"]
                self.asked.add(("sts:AssumeRole", role))
        return forward(request, self._moto)

    def _secret(self, request: Request, region: str) -> Answer:
        id_, action = request.json["SecretId"], "secretsmanager:GetSecretValue"
        if not id_.startswith("arn:"):
            self.asked.add((action, f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{id_}-a1B2c3"))
            return forward(request, self._moto)
        self.asked.add((action, id_))
        body = json.dumps({**request.json, "SecretId": _name(id_)}).encode()
        headers = {**request.headers, "content-length": str(len(body))}
        answer = forward(replace(request, body=body, headers=headers), self._moto)
        return replace(answer, body=json.dumps({**json.loads(answer.body), "ARN": id_}).encode())


def _name(id_: str) -> str:
    """Returns the name of a secret or a parameter, without what its id has beside that."""
    if id_.startswith("arn:aws:secretsmanager:"):
        return _SUFFIX.sub("", id_.split(":", 6)[6])
    if id_.startswith("arn:aws:ssm:"):
        return id_.split(":", 5)[5].removeprefix("parameter")
    return id_


def _parameter(name: str, region: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ssm:{region}:{ACCOUNT}:parameter/{name.partition(':')[0].lstrip('/')}"


@pytest.fixture
def cloud(moto: str, serve: Serve) -> Cloud:
    return serve.start(Cloud(moto))


def store(cloud: Cloud, entries: list[dict[str, Any]]) -> dict[str, str]:
    """Stores what the entries fetch, and returns the value of each that has no members."""
    expected, documents = dict[str, str](), dict[tuple[str, str], dict[str, Any]]()
    for entry in entries:
        region, id_ = entry["region"] or REGION, entry["id"]
        value = f"canary-{randomness.token_hex(8)}"
        match entry["kind"]:
            case "secret":
                document = documents.setdefault((region, _name(id_)), {})
                _store_secret(entry, document, value, expected)
            case "parameter":
                _store_parameter(cloud.client("ssm", region), id_, value)
                expected[entry["name"]] = value
            case _:
                _store_parameter(cloud.client("ssm", region), f"{id_}/key", value)
                expected[f"{entry['name']}/key"] = value
    for (region, name), document in documents.items():
        client, text = cloud.client("secretsmanager", region), json.dumps(document)
        client.create_secret(Name=name, SecretString=text)
        client.put_secret_value(SecretId=name, SecretString=text)  # AWSPREVIOUS has the same
        expected |= {name: text for name, value in expected.items() if value == f"whole {id(document)}"}
    return expected


def _store_secret(
    entry: Mapping[str, Any], document: dict[str, Any], value: str, expected: dict[str, str]
) -> None:
    """Adds to the secret's JSON what the entry takes of it."""
    if entry["expand"]:
        document["member"] = value
        expected[f"{entry['name']}/member"] = value
    elif entry["field"] is None:
        document.setdefault("whole", value)
        expected[entry["name"]] = f"whole {id(document)}"
    else:
        *folders, last = _members(entry["field"])
        for folder in folders:
            document = document.setdefault(folder, {})
        expected[entry["name"]] = document.setdefault(last, value)


def _members(field: str) -> list[str]:
    """Returns the members on the way to a field: its name, or the parts of a JSON Pointer (RFC 6901)."""
    if not field.startswith("/"):
        return [field]
    return [part.replace("~1", "/").replace("~0", "~") for part in field[1:].split("/")]


def _store_parameter(client: Any, id_: str, value: str) -> None:
    name, _, version = _name(id_).partition(":")
    for _ in range(int(version or 1)):
        client.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


@pytest.mark.parametrize("form", TRANSLATED)
def test_what_is_translated_can_be_checked_allowed_and_fetched(
    form: str, keystart: Keystart, tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(IMPORTED / form, tmp_path, dirs_exist_ok=True)
    files = sorted(file.name for file in (IMPORTED / form).iterdir() if file.name not in _EXPECTED)
    options = text_of(IMPORTED / form / "arguments").split()
    assert keystart("import", *files, *options, "--output", "keystart.yaml")[0] in (0, 3)

    text = (tmp_path / "keystart.yaml").read_text()
    names = set(re.findall(r"\$\{(\w+)\}", text))
    values = {name: f"stage-{randomness.token_hex(4)}" for name in names}
    sets = [f"--set={name}={value}" for name, value in values.items()]
    code, out, error = keystart("check", "keystart.yaml", "--json", *sets)
    assert code == 0, error
    entries = json.loads(out)["plan"]["entries"]
    for entry in entries:
        if isinstance(entry["field"], dict):  # check hides what could be a pasted value
            entry["field"] = yaml.safe_load(text)["secrets"][entry["name"]]["field"]
    remove(cloud, entries)
    expected = store(cloud, entries)

    roles = {entry["role"] for entry in entries if entry["role"]}
    allowed = []
    for role in [None, *sorted(roles)]:
        of_role = [f"--role={role}"] if role else []
        code, out, error = keystart(
            "iam-policy", "keystart.yaml", f"--account={ACCOUNT}", f"--region={REGION}", *sets, *of_role
        )
        assert code == 0, error
        statements = json.loads(out)["Statement"]
        allowed += [(one["Action"], arn) for one in statements for arn in one["Resource"]]

    environment = keystart._environment
    monkeypatch.setattr(keystart, "_environment", lambda: {**environment(), **values})
    code, out, error = keystart("pull", "keystart.yaml")
    remove(cloud, entries)
    assert code == 0, error
    published = Store(tmp_path / "keystart").values
    assert {name: value.decode() for name, value in published.items()} == expected
    assert cloud.asked
    for action, resource in cloud.asked:
        assert any(action == one and fnmatchcase(resource, pattern) for one, pattern in allowed), (
            f"{action} on {resource} is not allowed by {allowed}"
        )


def remove(cloud: Cloud, entries: list[dict[str, Any]]) -> None:
    """Removes the stored secrets: other cases and tests use the same names."""
    for entry in entries:
        region, name = entry["region"] or REGION, _name(entry["id"])
        if entry["kind"] == "secret":
            cloud.client("secretsmanager", region).delete_secret(
                SecretId=name, ForceDeleteWithoutRecovery=True
            )
        else:
            name = f"{name}/key" if entry["kind"] == "parameters" else name.partition(":")[0]
            cloud.client("ssm", region).delete_parameters(Names=[name])
