"""Checks the recipes that run `keystart sync`: as a scheduled function, which runs against moto, and in a pipeline."""

from __future__ import annotations

import re
import runpy
import secrets as randomness
import shlex
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from keystart_extension.cli import _parser
from keystart_extension.sync.policy import policy

from tests.fakes.aws import serve_moto

from .deployed import ACCOUNT, EXAMPLES, REGION, linted, listed, resolved

SYNC = EXAMPLES / "sync"
SOURCE = "arn:aws:iam::210987654321:role/keystart-source"


def test_the_role_of_the_function_is_what_iam_policy_prints() -> None:
    function = linted(SYNC / "template.yaml")["Resources"]["Sync"]["Properties"]
    (written,) = function["Policies"]
    statements = [
        {
            **statement,
            "Action": listed(statement["Action"]),
            "Resource": [resolved(resource) for resource in listed(statement["Resource"])],
        }
        for statement in written["Statement"]
    ]
    assert statements == policy(SYNC / "sync.yaml", ACCOUNT, REGION)["Statement"]


@pytest.mark.long
def test_the_function_brings_the_secrets_of_the_other_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SYNC, tmp_path, dirs_exist_ok=True)
    name, value = f"prod/{randomness.token_hex(4)}", randomness.token_hex(16)
    with serve_moto() as url:
        monkeypatch.chdir(tmp_path)
        for variable, text in {
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": url,
        }.items():
            monkeypatch.setenv(variable, text)
        make: Any = boto3.Session(region_name=REGION).client
        answer = make("sts").assume_role(RoleArn=SOURCE, RoleSessionName="test")["Credentials"]
        keys = (answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        other: Any = boto3.Session(*keys, region_name=REGION).client
        other("secretsmanager").create_secret(Name=name, SecretString=value)
        runpy.run_path("app.py")["handler"]({}, None)
        ours = make("secretsmanager")
        assert ours.get_secret_value(SecretId=name)["SecretString"] == value
        assert {"Key": "keystart:sync", "Value": "orders"} in ours.describe_secret(SecretId=name)["Tags"]


def test_the_commands_of_the_pipeline_exist_and_only_one_writes() -> None:
    workflow = yaml.safe_load((SYNC / "workflow.yaml").read_text())
    steps = workflow["jobs"]["sync"]["steps"]
    commands = {step["run"]: step.get("if") for step in steps if re.match("keystart ", step.get("run", ""))}
    writes = {}
    for command, condition in commands.items():
        arguments = _parser().parse_args(shlex.split(command)[1:])
        assert arguments.configuration == Path("sync.yaml")
        writes[condition] = (arguments.applies, getattr(arguments, "yes", False))
    assert writes == {
        "github.event_name == 'pull_request'": (False, False),
        "github.event_name != 'pull_request'": (True, True),
    }
    assert workflow["concurrency"]["cancel-in-progress"] is False
