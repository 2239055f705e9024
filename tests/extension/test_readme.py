"""Runs the commands of README.md, in their order, against moto."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from pathlib import Path
from typing import Any

import boto3
from keystart_extension import __version__

from tests import ROOT
from tests.docs.pages import fenced
from tests.fakes.accounts import Account, layer_files, zipped

from .conftest import Keystart

README = ROOT / "README.md"
LAYER = re.compile(r"arn:aws:lambda:eu-west-1:123456789012:layer:keystart-x86_64:\d+")
FIRST = "./dev keystart layer build"  # tests/layer runs it


def commands() -> list[str]:
    lines = "".join(fenced(README, "console")).replace("\\\n", "").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def aws(arguments: list[str], folder: Path, api: Any) -> None:
    """Calls what `aws iam` would call."""
    (operation, *options) = arguments
    given = dict(zip(options[::2], options[1::2], strict=True))
    parameters = {
        "".join(word.capitalize() for word in name.strip("-").split("-")): (
            (folder / value.removeprefix("file://")).read_text() if value.startswith("file://") else value
        )
        for name, value in given.items()
    }
    getattr(api, operation.replace("-", "_"))(**parameters)


def test_the_commands_publish_allow_and_attach(
    keystart: Keystart, account: Account, moto: str, tmp_path: Path
) -> None:
    name = account.function()
    role = f"role-{secrets.token_hex(4)}"
    iam = boto3.client(
        "iam", "us-east-1", endpoint_url=moto, aws_access_key_id="x", aws_secret_access_key="x"
    )
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    (configuration,) = fenced(README, "yaml")
    (tmp_path / "keystart.yaml").write_text(configuration)
    archive = tmp_path / f"dist/keystart-layer-{__version__}-x86_64.zip"
    archive.parent.mkdir()
    archive.write_bytes(zipped(layer_files()))

    first, *rest = commands()
    assert first == FIRST
    layer, said = "", ""
    for command in rest:
        words = shlex.split(LAYER.sub(layer, command))
        words = [
            role if before == "--role-name" else word
            for before, word in zip(["", *words], words, strict=False)
        ]
        if words[:2] == ["aws", "iam"]:
            aws(words[2:], tmp_path, iam)
            continue
        assert words[:2] == ["./dev", "keystart"]
        words = [name if word == "orders" else word for word in words[2:]]
        target = words.pop().removeprefix(">") if words[-1].startswith(">") else None
        if words[0] == "attach":
            code, said, error = keystart.at_terminal("y", *words)
        else:
            code, said, error = keystart(*words)
        assert code == 0, error
        if target:
            (tmp_path / target).write_text(said)
        if words[0] == "layer":
            assert f"publishing {archive.relative_to(tmp_path)} as keystart-x86_64" in README.read_text()
            layer = said.strip()
            assert LAYER.fullmatch(layer)

    assert account.layers_of(name) == [layer]
    assert json.loads(account.variables_of(name)["KEYSTART_SECRETS"]).keys() == {"stripe/key", "db", "limits"}
    policy = iam.get_role_policy(RoleName=role, PolicyName="keystart")["PolicyDocument"]
    allowed = {resource.rpartition(":")[2] for one in policy["Statement"] for resource in one["Resource"]}
    assert allowed == {"prod/stripe-key-??????", "prod/orders/db-??????", "parameter/prod/orders/limits"}
    iam.close()
