"""Prints policies for configurations, passes them to moto's IAM, and compares their ARNs with real secrets'."""

from __future__ import annotations

import json
import re
import secrets as randomness
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from keystart_extension import deploy
from keystart_extension.cli import main

from tests import ROOT
from tests.fakes.aws import REGION, Cloud

from .conftest import Environment, Keystart

ACCOUNT = "123456789012"
ROLE = "arn:aws:iam::210987654321:role/stripe-reader"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0f0c8a9e-0000-4000-8000-000000000000"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:"
DEPLOY = {file.stem: file.read_text() for file in Path(deploy.__file__).parent.glob("*.py")}
PARAMETER = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/"


@pytest.fixture
def iam(moto: str, environment: Environment) -> Iterator[Any]:
    assert environment()["AWS_ENDPOINT_URL"] == moto
    client = boto3.Session().client("iam", endpoint_url=moto, region_name=REGION)
    yield client
    client.close()


class PolicyCommand:
    """Runs keystart iam-policy for a configuration. IAM must accept what it prints."""

    def __init__(self, keystart: Keystart, folder: Path, iam: Any) -> None:
        self._keystart = keystart
        self._folder = folder
        self._iam = iam
        self.error = ""

    def refused(self, secrets: dict[str, Any], *options: str, **settings: Any) -> str:
        code, out, error = self._run(secrets, *options, **settings)
        assert (code, out) == (1, "")
        return error

    def __call__(self, secrets: dict[str, Any], *options: str, **settings: Any) -> dict[str, list[str]]:
        """Returns the resources by action."""
        code, out, self.error = self._run(secrets, *options, **settings)
        assert code == 0, self.error
        self._iam.create_policy(PolicyName=f"p{randomness.token_hex(8)}", PolicyDocument=out)
        policy = json.loads(out)
        assert policy["Version"] == "2012-10-17"
        assert {one["Effect"] for one in policy["Statement"]} == {"Allow"}
        return {one["Action"]: one["Resource"] for one in policy["Statement"]}

    def _run(self, secrets: dict[str, Any], *options: str, **settings: Any) -> tuple[int, str, str]:
        file = self._folder / "keystart.yaml"
        file.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
        return self._keystart("iam-policy", file, *options)


@pytest.fixture
def asked(keystart: Keystart, tmp_path: Path, iam: Any) -> PolicyCommand:
    return PolicyCommand(keystart, tmp_path, iam)


def test_each_kind_of_entry_gets_its_own_permission_and_no_other(asked: PolicyCommand) -> None:
    secrets = {
        "db": "prod/orders/db",
        "db-user": {"secret": "prod/orders/db", "field": "user"},
        "stripe": f"{SECRET}prod/stripe-a1B2c3:key::",
        "partial": f"{SECRET}prod/signing",
        "flags": "ssm:/prod/flags:3",
        "limits": {"parameter": "limits:live"},
        "other": {"parameter": f"{PARAMETER}other/flags:7"},
        "app": {"parameters": "/prod/app/"},
    }
    assert asked(secrets, "--account", ACCOUNT) == {
        "secretsmanager:GetSecretValue": [
            f"{SECRET}prod/orders/db-??????",
            f"{SECRET}prod/stripe-a1B2c3",
            f"{SECRET}prod/signing-??????",
        ],
        "ssm:GetParameters": [f"{PARAMETER}prod/flags", f"{PARAMETER}limits", f"{PARAMETER}other/flags"],
        "ssm:GetParametersByPath": [f"{PARAMETER}prod/app", f"{PARAMETER}prod/app/*"],
    }
    assert asked.error == ""


def test_the_arn_of_the_real_secret_is_matched_and_that_of_a_longer_name_is_not(
    asked: PolicyCommand, cloud: Cloud
) -> None:
    name = f"prod/{randomness.token_hex(8)}"
    theirs = cloud.secrets.create_secret(Name=name, SecretString="x")["ARN"]
    longer = cloud.secrets.create_secret(Name=f"{name}-replica", SecretString="x")["ARN"]
    (pattern,) = asked({"db": name}, "--account", ACCOUNT)["secretsmanager:GetSecretValue"]
    assert fnmatchcase(theirs, pattern)
    assert not fnmatchcase(longer, pattern)
    assert asked({"db": theirs}) == {"secretsmanager:GetSecretValue": [theirs]}


def test_variables_in_ids_are_what_the_command_line_says(asked: PolicyCommand) -> None:
    secrets = {"db": "${STAGE}/db", "app": {"parameters": "/${STAGE}/app/"}}
    assert asked(secrets, "--account", ACCOUNT, "--set", "STAGE=prod") == {
        "secretsmanager:GetSecretValue": [f"{SECRET}prod/db-??????"],
        "ssm:GetParametersByPath": [f"{PARAMETER}prod/app", f"{PARAMETER}prod/app/*"],
    }
    assert asked.refused(secrets, "--account", ACCOUNT).count("--set STAGE=VALUE") == 2
    assert "The variable STAGE holds 1 character" in asked.refused(secrets, "--set", "STAGE=*")


def test_without_an_account_any_is_allowed_and_that_is_said(asked: PolicyCommand) -> None:
    secrets = {"db": "prod/db"}
    assert asked(secrets) == {
        "secretsmanager:GetSecretValue": ["arn:aws:secretsmanager:eu-west-1:*:secret:prod/db-??????"]
    }
    assert asked.error == (
        "keystart: No account is known for what has no ARN, so the policy has * instead. Name it with --account.\n"
    )


@pytest.mark.parametrize(
    ("form", "account"),
    [
        ("sam", "${AWS::AccountId}"),
        ("terraform", "${data.aws_caller_identity.current.account_id}"),
        ("cdk", "${Aws.ACCOUNT_ID}"),
    ],
)
def test_other_forms_take_an_unknown_account_from_the_deployment(
    form: str, account: str, keystart: Keystart, tmp_path: Path
) -> None:
    file = tmp_path / "keystart.yaml"
    file.write_text(json.dumps({"version": 1, "secrets": {"db": "prod/db"}}))
    code, out, error = keystart("iam-policy", file, "--format", form)
    assert (code, error) == (0, "")
    assert f"arn:aws:secretsmanager:eu-west-1:{account}:secret:prod/db-??????" in out
    assert account not in keystart("iam-policy", file, "--format", form, "--account", ACCOUNT)[1]


def test_the_configurations_region_wins_over_the_functions(
    asked: PolicyCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"db": "prod/db"}
    options = ("--account", ACCOUNT, "--region", "cn-north-1")
    assert asked(secrets, *options) == {
        "secretsmanager:GetSecretValue": [
            f"arn:aws-cn:secretsmanager:cn-north-1:{ACCOUNT}:secret:prod/db-??????"
        ]
    }
    assert asked(secrets, *options, region="us-gov-west-1") == {
        "secretsmanager:GetSecretValue": [
            f"arn:aws-us-gov:secretsmanager:us-gov-west-1:{ACCOUNT}:secret:prod/db-??????"
        ]
    }
    assert "A text of 4 characters is not a region such as eu-west-1." in asked.refused(
        secrets, "--region", "moon"
    )
    monkeypatch.delenv("AWS_REGION")
    assert asked.refused(secrets) == (
        "keystart: db: no region is known for prod/db. Give --region, or set AWS_REGION.\n"
    )


def test_roles_are_assumed_and_have_their_own_policies(asked: PolicyCommand) -> None:
    secrets = {"db": "prod/db", "stripe": {"secret": "prod/stripe", "role": ROLE}}
    assert asked(secrets, "--account", ACCOUNT) == {
        "secretsmanager:GetSecretValue": [f"{SECRET}prod/db-??????"],
        "sts:AssumeRole": [ROLE],
    }
    assert asked.error == (
        f"keystart: The role {ROLE} must trust the function's role, and needs its own policy: --role {ROLE}\n"
    )
    assert asked(secrets, "--role", ROLE) == {
        "secretsmanager:GetSecretValue": [
            "arn:aws:secretsmanager:eu-west-1:210987654321:secret:prod/stripe-??????"
        ]
    }
    assert asked.error == ""
    assert asked.refused({"db": "prod/db"}, "--role", ROLE).endswith(
        f"no secret has the role {ROLE}. It has none.\n"
    )
    assert asked.refused(secrets, "--role", "stripe").endswith(
        f"no secret has this role of 6 characters. It has {ROLE}.\n"
    )


def test_keys_are_decrypted_with_when_they_are_named(asked: PolicyCommand) -> None:
    other = KEY.replace("key/0", "key/1")
    secrets = {"db": f"{SECRET}prod/db-a1B2c3"}
    assert asked(secrets, "--kms-key", KEY, "--kms-key", other)["kms:Decrypt"] == [KEY, other]
    alias = KEY.partition("key/")[0] + "alias/ours"
    assert "IAM takes no alias for it." in asked.refused(secrets, "--kms-key", alias)


def test_a_batch_is_allowed_where_one_is_requested(asked: PolicyCommand) -> None:
    one, two = f"{SECRET}prod/db-a1B2c3", f"{SECRET}prod/tls-a1B2c3"
    assert asked({"db": one, "tls": two}, batch=True) == {
        "secretsmanager:GetSecretValue": [one, two],
        "secretsmanager:BatchGetSecretValue": ["*"],
    }
    previous = {"secret": two, "stage": "AWSPREVIOUS"}
    assert asked({"db": one, "tls": previous}, batch=True) == {"secretsmanager:GetSecretValue": [one, two]}


@pytest.mark.parametrize(
    ("part", "other"), [(REGION, "us-east-1"), (ACCOUNT, "210987654321")], ids=["regions", "accounts"]
)
def test_a_batch_is_not_allowed_for_secrets_that_are_never_asked_in_one(
    asked: PolicyCommand, part: str, other: str
) -> None:
    one = f"{SECRET}prod/db-a1B2c3"
    two, three = (f"{SECRET.replace(part, other)}prod/{name}-a1B2c3" for name in ("tls", "key"))
    assert asked({"db": one, "tls": two}, batch=True) == {"secretsmanager:GetSecretValue": [one, two]}
    assert asked({"db": one, "tls": two, "key": three}, batch=True)["secretsmanager:BatchGetSecretValue"] == [
        "*"
    ]


def test_a_wrong_configuration_has_no_policy(asked: PolicyCommand) -> None:
    assert "There are no secrets. Name at least one." in asked.refused({})


ROLL = {"roll", "versions"}  # modules that only roll uses


@pytest.mark.parametrize(
    ("page", "modules"),
    [("attach", set(DEPLOY) - ROLL), ("roll", {"selection", "update", *ROLL})],
    ids=["attach", "roll"],
)
def test_the_policy_in_the_documentation_names_what_the_commands_call(
    iam: Any, page: str, modules: set[str]
) -> None:
    text = (ROOT / f"docs/{page}.md").read_text().partition("```json\n")[2].partition("```")[0]
    iam.create_policy(PolicyName=f"p{randomness.token_hex(8)}", PolicyDocument=text)
    actions = [action for one in json.loads(text)["Statement"] for action in one["Action"]]
    code = "".join(DEPLOY[module] for module in modules)
    called = re.findall(r"\b(?:(?:lambda|tag|iam|ssm):|secretsmanager:Describe)[A-Z][A-Za-z]+", code)
    # What update.py says of layers is for attach, whose code names the function's own right to get parameters.
    of_others = {"attach": "ssm:GetParameters", "roll": "lambda:GetLayerVersion"}[page]
    assert set(actions) == set(called) - {of_others}


def test_every_region_is_in_its_partition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keystart.json"
    file.write_text('{"version": 1, "secrets": {"db": "db"}}')

    def partition(region: str) -> str:
        monkeypatch.setattr(sys, "argv", ["keystart", "iam-policy", str(file), "--region", region])
        assert main() == 0
        (statement,) = json.loads(capsys.readouterr().out)["Statement"]
        return str(statement["Resource"][0]).split(":")[1]

    session = botocore.session.get_session()
    known = {
        region: name
        for name in session.get_available_partitions()
        for region in session.get_available_regions("lambda", name)
    }
    assert {region: partition(region) for region in known} == {
        region: session.get_partition_for_region(region) for region in known
    }
    assert {"aws", "aws-cn", "aws-us-gov"} <= set(known.values())


# Each form of an id that AWS's documentation knows, with the requests that a fetch sends for it: action and resource.
FORMS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "a secret by name": ("prod/db", [("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3")]),
    "a secret with a hyphen and six letters": (
        "prod-secret",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod-secret-a1B2c3")],
    ),
    "a secret by ARN": (
        f"{SECRET}prod/db-a1B2c3",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3")],
    ),
    "a secret by ARN without its end": (
        f"{SECRET}prod/db",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3")],
    ),
    "a secret of another account and region": (
        "arn:aws:secretsmanager:us-east-1:999999999999:secret:shared/db-a1B2c3",
        [
            (
                "secretsmanager:GetSecretValue",
                "arn:aws:secretsmanager:us-east-1:999999999999:secret:shared/db-a1B2c3",
            )
        ],
    ),
    "a reference as ECS writes it": (
        f"{SECRET}prod/db-a1B2c3:user:AWSPREVIOUS:",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3")],
    ),
    "a secret that a service manages": (
        "rds!db-1b2c",
        [("secretsmanager:GetSecretValue", f"{SECRET}rds!db-1b2c-a1B2c3")],
    ),
    "a version of a secret as ECS writes it": (
        f"{SECRET}prod/db-a1B2c3:::0f0c8a9e-0000-4000-8000-000000000000",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3")],
    ),
    "a secret with every character": (
        "prod/a_b+c=d.e@f-g",
        [("secretsmanager:GetSecretValue", f"{SECRET}prod/a_b+c=d.e@f-g-a1B2c3")],
    ),
    "a secret of GovCloud": (
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:prod/db",
        [
            (
                "secretsmanager:GetSecretValue",
                "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:prod/db-a1B2c3",
            )
        ],
    ),
    "a parameter by name": ("ssm:/prod/flag", [("ssm:GetParameters", f"{PARAMETER}prod/flag")]),
    "a parameter without a slash": ("ssm:flag", [("ssm:GetParameters", f"{PARAMETER}flag")]),
    "a version of a parameter": ("ssm:/prod/flag:3", [("ssm:GetParameters", f"{PARAMETER}prod/flag")]),
    "a label of a parameter": ("ssm:/prod/flag:live", [("ssm:GetParameters", f"{PARAMETER}prod/flag")]),
    "a parameter by ARN": (
        f"{PARAMETER}prod/flag",
        [("ssm:GetParameters", f"{PARAMETER}prod/flag")],
    ),
    "a parameter by ARN with a version": (
        f"{PARAMETER}prod/flag:3",
        [("ssm:GetParameters", f"{PARAMETER}prod/flag")],
    ),
    "a parameter by ARN with a label": (
        f"{PARAMETER}prod/flag:live",
        [("ssm:GetParameters", f"{PARAMETER}prod/flag")],
    ),
    "a shared parameter": (
        "arn:aws:ssm:eu-west-1:999999999999:parameter/shared/flag",
        [("ssm:GetParameters", "arn:aws:ssm:eu-west-1:999999999999:parameter/shared/flag")],
    ),
    "a public parameter": (
        "ssm:/aws/service/ami-amazon-linux-latest/al2023",
        [
            (
                "ssm:GetParameters",
                "arn:aws:ssm:eu-west-1::parameter/aws/service/ami-amazon-linux-latest/al2023",
            )
        ],
    ),
    "a public parameter by ARN": (
        "arn:aws:ssm:us-east-1::parameter/aws/service/ami-amazon-linux-latest/al2023",
        [
            (
                "ssm:GetParameters",
                "arn:aws:ssm:us-east-1::parameter/aws/service/ami-amazon-linux-latest/al2023",
            )
        ],
    ),
    "a path": (
        {"parameters": "/prod/app"},
        [
            ("ssm:GetParametersByPath", f"{PARAMETER}prod/app"),
            ("ssm:GetParametersByPath", f"{PARAMETER}prod/app/"),
        ],
    ),
    "a public path": (
        {"parameters": "/aws/service/ecs/optimized-ami"},
        [("ssm:GetParametersByPath", "arn:aws:ssm:eu-west-1::parameter/aws/service/ecs/optimized-ami")],
    ),
    "a secret by way of Parameter Store": (
        "ssm:/aws/reference/secretsmanager/prod/db",
        [
            ("ssm:GetParameters", f"{PARAMETER}aws/reference/secretsmanager/prod/db"),
            ("secretsmanager:GetSecretValue", f"{SECRET}prod/db-a1B2c3"),
        ],
    ),
}
OTHERS = [
    ("secretsmanager:GetSecretValue", f"{SECRET}prod/db-of-others-a1B2c3"),
    ("secretsmanager:GetSecretValue", f"{SECRET}prod/other-a1B2c3"),
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-a1B2c3"),
    ("secretsmanager:PutSecretValue", f"{SECRET}prod/db-a1B2c3"),
    ("secretsmanager:BatchGetSecretValue", "*"),
    ("ssm:GetParameters", f"{PARAMETER}prod/flags"),
    ("ssm:GetParameters", f"{PARAMETER}aws/service/ami-amazon-linux-latest/al2023"),
    ("ssm:GetParameters", f"{PARAMETER}other"),
    ("ssm:GetParameter", f"{PARAMETER}prod/flag"),
    ("ssm:GetParametersByPath", f"{PARAMETER}prod/apple"),
    ("ssm:GetParametersByPath", f"{PARAMETER}prod"),
    ("ssm:PutParameter", f"{PARAMETER}prod/flag"),
    ("kms:Decrypt", KEY),
    ("sts:AssumeRole", ROLE),
]


def permits(document: dict[str, Any], action: str, resource: str) -> bool:
    """Evaluates a policy as IAM does: * is any text and ? one character. moto's evaluator does not know ?."""
    return any(
        one["Effect"] == "Allow"
        and one["Action"] == action
        and any(fnmatchcase(resource, pattern) for pattern in one["Resource"])
        for one in document["Statement"]
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_policy_allows_what_is_fetched_and_nothing_else(
    form: str, keystart: Keystart, tmp_path: Path
) -> None:
    entry, requests = FORMS[form]
    file = tmp_path / "keystart.yaml"
    file.write_text(json.dumps({"version": 1, "secrets": {"it": entry}}))
    code, out, error = keystart("iam-policy", file, "--account", ACCOUNT)
    assert code == 0, error
    policy = json.loads(out)
    for action, resource in requests:
        assert permits(policy, action, resource), (action, resource)
    for action, resource in OTHERS:
        assert not permits(policy, action, resource), (action, resource)
    sids = [one["Sid"] for one in policy["Statement"]]
    assert len(sids) == len(set(sids))


def test_a_secret_of_another_account_needs_its_key_and_that_is_said(asked: PolicyCommand) -> None:
    theirs = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:shared/db-a1B2c3"
    asked({"db": theirs}, "--account", ACCOUNT)
    assert asked.error == (
        f"keystart: {theirs} is in another account: its policy there, and that of its key, must allow the role. "
        "Name the key with --kms-key.\n"
    )
    asked({"db": theirs}, "--account", ACCOUNT, "--kms-key", KEY.replace(ACCOUNT, "999999999999"))
    assert asked.error == ""
