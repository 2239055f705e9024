"""Puts the policies of keystart iam-policy into the tools that they are for: each reads the same permissions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hcl2
import pytest
from keystart_extension.deploy.policy import Account, policy, written

from tests.extension.configurations import load_file

from .deployed import ACCOUNT, REGION, TOOLS, linted, listed, resolved, run

ROLE = "arn:aws:iam::210987654321:role/stripe-reader"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0f0c8a9e-0000-4000-8000-000000000000"
SECRETS = {
    "db": "prod/orders/db",
    "key": f"arn:aws:secretsmanager:{REGION}:210987654321:secret:shared/key-a1B2c3",
    "flag": "ssm:/prod/flag",
    "app": {"parameters": "/prod/app"},
    "ami": "ssm:/aws/service/ami-amazon-linux-latest/al2023",
    "stripe": {"secret": "prod/stripe", "role": ROLE},
}
Statements = list[dict[str, Any]]


def sam(text: str, folder: Path) -> Statements:
    """Reads it with CloudFormation's schemas, as a property of a function."""
    properties = "CodeUri: ./\nHandler: app.handler\nRuntime: python3.13\n" + text
    indented = "".join(f"      {line}\n" for line in properties.splitlines())
    file = folder / "template.yaml"
    file.write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Orders:\n    Type: AWS::Serverless::Function\n"
        f"    Properties:\n{indented}"
    )
    (document,) = linted(file)["Resources"]["Orders"]["Properties"]["Policies"]
    assert document["Version"] == "2012-10-17"
    return [{**one, "Resource": list(map(resolved, one["Resource"]))} for one in document["Statement"]]


def terraform(text: str, folder: Path) -> Statements:
    """Reads it with a parser of HCL."""
    options = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    data = hcl2.loads(text, serialization_options=options)["data"]
    blocks = {name: body for block in data for name, body in block.items()}
    identity = "${data.aws_caller_identity.current.account_id}"
    assert ("aws_caller_identity" in blocks) == (identity in text)
    return [
        {
            "Sid": one["sid"],
            "Effect": "Allow",
            "Action": one["actions"][0],
            "Resource": [arn.replace(identity, ACCOUNT) for arn in one["resources"]],
        }
        for one in blocks["aws_iam_policy_document"]["keystart"]["statement"]
    ]


def cdk(text: str, folder: Path) -> Statements:
    """Synthesises a stack with it."""
    (folder / "node_modules").symlink_to(TOOLS)
    (folder / "keystart.mjs").write_text(text)
    (folder / "app.mjs").write_text(
        "import { App, Stack } from 'aws-cdk-lib';\n"
        "import { Policy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';\n"
        "import { keystart } from './keystart.mjs';\n"
        "const stack = new Stack(new App(), 'Stack');\n"
        "const role = new Role(stack, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });\n"
        "for (const statement of keystart) role.addToPolicy(statement);\n"
        "console.log(JSON.stringify(keystart.map((one) => stack.resolve(one.toStatementJson()))));\n"
    )
    return [
        {**one, "Resource": list(map(resolved, listed(one["Resource"])))}
        for one in json.loads(run(["node", "app.mjs"], folder))
    ]


READERS: dict[str, Callable[[str, Path], Statements]] = {"sam": sam, "terraform": terraform, "cdk": cdk}


@pytest.mark.parametrize("account", [ACCOUNT, None], ids=["account", "any account"])
@pytest.mark.parametrize("form", READERS)
def test_every_form_has_the_permissions_of_the_policy(form: str, account: str | None, tmp_path: Path) -> None:
    file = tmp_path / "keystart.json"
    file.write_text(json.dumps({"version": 1, "secrets": SECRETS}))
    plan = load_file(file)
    text = written(policy(plan, Account(account, REGION), None, [KEY]), form)
    assert READERS[form](text, tmp_path) == policy(plan, Account(ACCOUNT, REGION), None, [KEY])["Statement"]
    assert not re.search(r"arn:[^:]+:[^:]+:[^:]*:\*:", text)
    assert (ACCOUNT in text.replace(KEY, "")) == (account is not None)
