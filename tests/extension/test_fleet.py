"""Commands for many functions: chosen by tag or from a file, examined before a change, and listed with their layers."""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.deploy.selection import progress

from tests.fakes.accounts import OF_NOTHING, Account
from tests.fakes.aws import refusal
from tests.fakes.http import Answer, Request

from .conftest import Canaries, Keystart
from .test_attach import configure

pytestmark = pytest.mark.long

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
SQUARE = b"""SecretManagers:
- prefix: "arn:aws:secretsmanager:eu-west-1:210987654321:secret:"
  secrets:
    - secretname: alpha
SecretsHome: /tmp/secrets
"""
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f0c8a9e-1111-4222-8333-444455556666"
NOT_CHECKED = (
    "Its configuration cannot be read from here, so attach does not check whether its secrets exist and its role may "
    "fetch them."
)


@pytest.fixture
def layer(account: Account) -> str:
    for name in ("prod/db", "prod/mq"):
        account.secret(name)
    return published(account, "keystart-x86_64", "x86_64")


def published(account: Account, name: str, *architectures: str, version: str = "0.1.0") -> str:
    description = f"Keystart {version} for {' '.join(architectures)}"
    return account.layer(name, CompatibleArchitectures=list(architectures), Description=description)


def warnings(out: str) -> list[str]:
    return [line.removeprefix("  ! ") for line in out.splitlines() if line.startswith("  ! ")]


# Which functions.


def test_functions_are_found_by_all_of_their_tags(keystart: Keystart, account: Account, layer: str) -> None:
    app = randomness.token_hex(4)
    tagged = [account.function(Tags={"app": app, "stage": stage}) for stage in ("prod", "prod", "test")]
    code, _, error = keystart(
        "attach", "--tag", f"app={app}", "--tag", "stage=prod", "--layer", layer, "--yes"
    )
    assert (code, error) == (0, "")
    assert [account.layers_of(name) for name in tagged[:2]] == [[layer], [layer]]
    assert account.layers_of(tagged[2]) == []
    assert keystart("detach", "--tag", f"app={app}", "--tag", "stage=prod", "--yes")[0] == 0
    assert [account.layers_of(name) for name in tagged[:2]] == [[], []]


def test_a_tag_that_no_function_has_is_an_error(keystart: Keystart, account: Account, layer: str) -> None:
    code, out, error = keystart("attach", "--tag", "app=nobody", "--layer", layer, "--yes")
    assert (code, out) == (1, "")
    assert error == (
        "keystart: No function of eu-west-1 has the tag app=nobody. Correct the tag or the region.\n"
    )


def test_functions_are_taken_from_a_file_each_once(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    first, second = account.function(), account.function()
    file = tmp_path / "functions.txt"
    # Windows' editors put a byte order mark before the text.
    file.write_text(f"\ufeff{first}\n# ours\n\n{ARN}{second}  # by its ARN\n{first}\n")
    assert keystart("attach", "--from", file, "--layer", layer, "--yes")[0] == 0
    assert (account.layers_of(first), account.layers_of(second)) == ([layer], [layer])
    assert len(account.changes) == 2


def test_a_line_that_is_not_a_function_is_not_repeated(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path, canary: Canaries
) -> None:
    file = tmp_path / "functions.txt"
    file.write_text(f"orders\npassword: {canary()}\n")
    code, out, error = keystart("attach", "--from", file, "--layer", layer, "--yes")
    assert (code, out) == (1, "")
    assert error.endswith(
        "functions.txt:2: This is not the name or the ARN of a function. Write one a line.\n"
    )
    file.write_text("# none\n")
    assert "names no function. Write one a line." in keystart("detach", "--from", file, "--yes")[2]


def test_progress_is_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress("looking at", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress("looking at", 1, 1)
    assert capsys.readouterr() == ("", "")
    progress("looking at", 1, 2)
    assert capsys.readouterr().err == "\r\033[Klooking at 1 of 2"
    progress("looking at", 2, 2)
    assert capsys.readouterr().err.endswith("\r\033[K")  # the line does not stay


# Two architectures.


def test_each_function_gets_the_layer_for_its_architecture(
    keystart: Keystart, account: Account, layer: str
) -> None:
    arm = published(account, "keystart-arm64", "arm64")
    intel, other = account.function(), account.function(Architectures=["arm64"])
    code, _, error = keystart("attach", intel, other, "--layer", layer, "--layer", arm, "--yes")
    assert (code, error) == (0, "")
    assert (account.layers_of(intel), account.layers_of(other)) == ([layer], [arm])


def test_two_layers_for_one_architecture_are_refused(
    keystart: Keystart, account: Account, layer: str
) -> None:
    newer = published(account, "keystart-x86_64", "x86_64")
    code, _, error = keystart("attach", account.function(), "--layer", layer, "--layer", newer, "--yes")
    assert (code, error) == (1, f"keystart: {layer} and {newer} are both for x86_64. Name one of them.\n")
    elsewhere = newer.replace("eu-west-1", "us-east-1")
    code, _, error = keystart("attach", account.function(), "--layer", layer, "--layer", elsewhere, "--yes")
    assert error == "keystart: The layers are in eu-west-1 and us-east-1. Attach in one region at a time.\n"


# What would fail.


def test_a_function_without_any_configuration_is_refused(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    name = account.function(files=("app.py",))
    code, _, error = keystart("attach", name, "--layer", layer, "--yes")
    assert (code, account.changes) == (1, [])
    assert error.splitlines()[0] == (
        f"keystart: {name}: It has no configuration, so that it would not start: neither a variable nor its package "
        "has one. Attach with --config, or put keystart.json into the package first."
    )
    file = configure(tmp_path, {"db": "prod/db"})
    assert keystart("attach", name, "--layer", layer, "--config", file, "--yes")[0] == 0


@pytest.mark.parametrize("file", ["keystart.json", "keystart.yaml", "keystart.yml", "config.yaml"])
def test_a_configuration_in_the_package_is_found(
    keystart: Keystart, account: Account, layer: str, file: str
) -> None:
    own = SQUARE if file == "config.yaml" else OF_NOTHING
    # So many files that the end of the zip alone does not list them all.
    contents = {file: own} | {f"node_modules/{n}/{'x' * 200}.js": b"x" for n in range(1000)}
    name = account.function(contents=contents)
    code, out, error = keystart("attach", name, "--layer", layer, "--yes")
    assert (code, error, warnings(out)) == (0, "", [])


def test_a_file_that_keystart_config_names_must_be_in_the_package(
    keystart: Keystart, account: Account, layer: str
) -> None:
    good = account.function({"KEYSTART_CONFIG": "/var/task/conf/prod.yaml"}, files=("conf/prod.yaml",))
    assert keystart("attach", good, "--layer", layer, "--dry-run")[0] == 0
    bad = account.function({"KEYSTART_CONFIG": "/var/task/conf/prod.yaml"})
    code, _, error = keystart("attach", bad, "--layer", layer, "--dry-run")
    assert code == 1
    assert "Its variable KEYSTART_CONFIG names a file that is not in its package. Correct that" in error
    of_layer = account.function({"KEYSTART_CONFIG": "/opt/prod.yaml"}, files=("app.py",))
    assert keystart("attach", of_layer, "--layer", layer, "--dry-run")[0] == 0


@pytest.mark.parametrize(
    "answer",
    [Answer(403, b"<Error/>"), Answer(200, b"PK"), Answer(206, b"", {"Content-Range": "bytes 0-9/10"})],
)
def test_a_package_that_cannot_be_read_is_a_warning(
    keystart: Keystart, account: Account, layer: str, answer: Answer
) -> None:
    account.refuse = lambda request: answer if request.path.startswith("/packages/") else None
    code, out, error = keystart("attach", account.function(), "--layer", layer, "--yes")
    assert (code, error) == (0, "")
    assert warnings(out) == [
        "Its package cannot be read. Without a configuration in it the function would not start.",
        NOT_CHECKED,
    ]


def test_the_link_to_a_package_is_shown_nowhere(
    keystart: Keystart, account: Account, layer: str, canary: Canaries
) -> None:
    name = account.function()
    link = f"http://127.0.0.1:1/package?X-Amz-Signature={canary()}"

    def refuse(request: Request) -> Answer | None:
        if request.method != "GET" or not request.path.endswith(name):
            return None
        answer: dict[str, Any] = {**account.api.get_function(FunctionName=name)}
        answer["Configuration"]["RevisionId"] = "1"
        answer["Code"] = {"Location": link}
        return Answer(200, json.dumps(answer, default=str).encode())

    account.refuse = refuse
    code, out, error = keystart("attach", name, "--layer", layer, "--dry-run")
    assert (code, error) == (0, "")
    assert warnings(out)[0].startswith("Its package cannot be read.")


def test_a_variable_that_the_wrapper_would_keep_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path, canary: Canaries
) -> None:
    file = configure(
        tmp_path,
        {
            "db": {"secret": "prod/db", "env": "DB_PASSWORD"},
            "mq": {"secret": "prod/mq", "expand": True, "env": "MQ_*"},
        },
    )
    name = account.function({"DB_PASSWORD": canary(), "MQ_USER": canary(), "OTHER": "x"})
    code, out, error = keystart("attach", name, "--layer", layer, "--config", file, "--dry-run")
    assert (code, error) == (0, "")
    assert warnings(out) == [
        f"Its variable {variable} exists, so AWS_LAMBDA_EXEC_WRAPPER keeps its value, and the function would not see "
        f"the secret {secret} there. Remove that variable."
        for variable, secret in (("DB_PASSWORD", "db"), ("MQ_USER", "mq"))
    ]
    out = keystart("attach", name, "--layer", layer, "--config", file, "--dry-run", "--json")[1]
    assert len(json.loads(out)[0]["warnings"]) == 2


def test_a_timeout_below_the_deadline_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    file = configure(tmp_path, {"db": "prod/db"})
    name = account.function(Timeout=3)
    code, out, _ = keystart("attach", name, "--layer", layer, "--config", file, "--dry-run")
    assert (code, [line.partition(".")[0] for line in warnings(out)]) == (
        0,
        ["Its timeout of 3 s is not longer than the deadline of 8 s"],
    )


def test_a_role_that_may_not_read_the_secrets_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    key, arn = account.secret("prod/key"), account.secret("prod/db")
    secrets = {"db": "prod/db", "key": key, "app": {"parameters": "/prod/app"}}
    file = configure(tmp_path, secrets)
    names = [account.function() for _ in range(3)]
    attach = ("attach", *names, "--layer", layer, "--config", str(file), "--dry-run")
    assert warnings(keystart(*attach)[1]) == []
    simulated = [request for request in account.requests if request.action == "SimulatePrincipalPolicy"]
    assert len(simulated) == 2  # one for each action, because the functions have one role
    account.allows = lambda action, arn: action.startswith("ssm:") or arn == key
    may_not = "By IAM's simulation its role may not do secretsmanager:GetSecretValue on"
    add = "resource's own policy allows it, add what this prints: keystart iam-policy"
    code, out, error = keystart(*attach)
    assert (code, error) == (0, "")
    assert warnings(out) == 3 * [f"{may_not} {arn}. Unless the {add}"]
    # Without DescribeSecret it does not know the ARN.
    account.refuse = lambda request: (
        refusal(400, "AccessDeniedException", "No.") if request.action == "DescribeSecret" else None
    )
    assert warnings(keystart(*attach)[1]) == 3 * [
        f"{may_not} {SECRET}prod/db-??????. Unless its policy names the whole ARN, or the {add}"
    ]


def test_a_command_stands_on_its_own_line_at_a_terminal(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    arn = account.secret("prod/db")
    account.allows = lambda *_: False
    file = configure(tmp_path, {"db": "prod/db"})
    attach = ("attach", account.function(), "--layer", layer, "--config", str(file), "--dry-run")
    _, out, _ = keystart.at_terminal("", *attach, NO_COLOR="1")
    assert out.endswith(
        f"  ! By IAM's simulation its role may not do secretsmanager:GetSecretValue on {arn}.\n"
        "    Unless the resource's own policy allows it, add what this prints:\n"
        "      keystart iam-policy\n"
    )


def test_a_secret_that_does_not_exist_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    name = f"absent/{randomness.token_hex(8)}"
    file = configure(tmp_path, {"db": "prod/db", "absent": name})
    code, out, error = keystart("attach", account.function(), "--layer", layer, "--config", file, "--dry-run")
    assert (code, error) == (0, "")
    assert warnings(out) == [
        f"There is no secret {name} in eu-west-1. Create it, or correct its name or region."
    ]


def test_a_parameter_that_does_not_exist_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    for name in ("/prod/flags", "prod-flags"):
        account.parameter(name)
    absent = f"/absent/{randomness.token_hex(8)}"
    names = ("/prod/flags", "prod-flags", absent, "/aws/service/x", "/aws/reference/secretsmanager/prod/db")
    file = configure(tmp_path, {f"p{n}": f"ssm:{name}" for n, name in enumerate(names)})
    code, out, error = keystart("attach", account.function(), "--layer", layer, "--config", file, "--dry-run")
    assert (code, error) == (0, "")
    assert warnings(out) == [
        f"There is no parameter {absent} in eu-west-1. Create it, or correct its name or region."
    ]


def test_a_role_that_may_not_use_the_key_of_a_secret_is_a_warning(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    account.secret("prod/with-key", key=KEY)
    account.secret("prod/with-alias", key="alias/prod")
    account.parameter("/prod/secure", key=KEY.rpartition("/")[2])
    account.parameter("/prod/secure-of-aws", key="alias/aws/ssm")
    for shown, source in (("prod/with-key", "prod/with-key"), ("/prod/secure", "ssm:/prod/secure")):
        file = configure(
            tmp_path, {"x": source, "db": "prod/db", "a": "prod/with-alias", "p": "ssm:/prod/secure-of-aws"}
        )
        account.allows = lambda *_: True
        attach = ("attach", account.function(), "--layer", layer, "--config", str(file), "--dry-run")
        assert warnings(keystart(*attach)[1]) == []
        account.allows = lambda action, _: action != "kms:Decrypt"
        assert warnings(keystart(*attach)[1]) == [
            f"By IAM's simulation its role may not do kms:Decrypt on {KEY}, the key of {shown}. Unless the key's own "
            f"policy allows it, add what this prints: keystart iam-policy --kms-key {KEY}"
        ]


def test_the_roles_of_entries_are_simulated_too(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    role, foreign = "arn:aws:iam::123456789012:role/reader", "arn:aws:iam::210987654321:role/reader"
    account.secret("prod/db")
    file = configure(
        tmp_path, {"db": {"secret": "prod/db", "role": role}, "mq": {"secret": "prod/mq", "role": foreign}}
    )
    account.allows = lambda action, _: action == "sts:AssumeRole"
    out = keystart("attach", account.function(), "--layer", layer, "--config", file, "--dry-run")[1]
    assert warnings(out) == [
        f"By IAM's simulation the role {role} may not do secretsmanager:GetSecretValue on {account.secret('prod/db')}. "
        f"Unless the resource's own policy allows it, add what this prints: keystart iam-policy --role {role}",
        f"The role {foreign} is in another account, so attach does not check what it may do.",
    ]


@pytest.mark.parametrize("place", ["package", "variable"])
def test_without_config_the_configuration_of_the_function_is_examined(
    keystart: Keystart, account: Account, layer: str, place: str
) -> None:
    absent = f"absent/{randomness.token_hex(8)}"
    text = json.dumps({"version": 1, "secrets": {"db": {"secret": absent, "env": "DB"}}}).encode()
    if place == "package":
        name = account.function(contents={"keystart.json": text})
    else:
        name = account.function({"KEYSTART_SECRETS": f"db={absent}"})
    code, out, error = keystart("attach", name, "--layer", layer, "--dry-run")
    assert (code, error) == (0, "")
    missing = f"There is no secret {absent} in eu-west-1. Create it, or correct its name or region."
    if place == "variable":
        assert warnings(out) == [missing]
        return
    assert warnings(out) == [
        "Its configuration has env: for DB, and AWS_LAMBDA_EXEC_WRAPPER is not set, so the function would not get "
        "these variables. Attach with --wrapper.",
        missing,
    ]
    assert warnings(keystart("attach", name, "--layer", layer, "--wrapper", "--dry-run")[1]) == [missing]


def test_a_function_whose_configuration_is_not_valid_is_refused(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function(contents={"keystart.json": b'{"version": 1, "secrets": {"db": {"secert": "x"}}}'})
    code, out, error = keystart("attach", name, "--layer", layer, "--dry-run")
    assert (code, warnings(out)) == (1, [])
    assert "Its configuration is not valid: " in error
    assert " It would not start." in error


def test_a_configuration_in_a_layer_is_reported_as_not_checked(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function({"KEYSTART_CONFIG": "/opt/keystart.json"})
    code, out, error = keystart("attach", name, "--layer", layer, "--dry-run")
    assert (code, error, warnings(out)) == (0, "", [NOT_CHECKED])


def test_a_simulation_that_is_denied_is_said_once(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    def refuse(request: Request) -> Answer | None:
        if request.action != "SimulatePrincipalPolicy":
            return None
        return Answer(
            403,
            b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
            b"<Code>AccessDenied</Code><Message>Not authorized.</Message></Error></ErrorResponse>",
            {"Content-Type": "text/xml"},
        )

    account.refuse = refuse
    file = configure(tmp_path, {"db": "prod/db"})
    names = [account.function() for _ in range(2)]
    code, out, error = keystart("attach", *names, "--layer", layer, "--config", file, "--dry-run")
    assert (code, warnings(out)) == (0, [])
    assert error.startswith(
        "keystart: What the roles may do is not known. AccessDenied: Not authorized. Allow "
        "iam:SimulatePrincipalPolicy on arn:aws:iam::123456789012:role/role-"
    )
    assert len(error.splitlines()) == 1


# One configuration for several stages.


def test_variables_in_ids_are_those_of_each_function(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path, canary: Canaries
) -> None:
    file = configure(tmp_path, {"db": "${STAGE}/orders/db"})
    prod, test = (
        account.function({"STAGE": "prod", "TOKEN": f"{canary()}\nx"}),
        account.function({"STAGE": "test"}),
    )
    attach = ("--layer", layer, "--config", file, "--yes")
    assert keystart("attach", prod, test, *attach)[0] == 0
    assert account.variables_of(prod)["KEYSTART_SECRETS"] == "db=prod/orders/db"
    assert account.variables_of(test)["KEYSTART_SECRETS"] == "db=test/orders/db"
    assert keystart("attach", prod, *attach, "--set", "STAGE=blue")[0] == 0
    assert account.variables_of(prod)["KEYSTART_SECRETS"] == "db=blue/orders/db"
    neither = account.function()
    code, _, error = keystart("attach", neither, *attach)
    assert (code, f"keystart: {neither}: " in error, "--set STAGE=VALUE" in error) == (1, True, True)


# status.


Listed = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def listed(keystart: Keystart) -> Listed:
    def listed(*arguments: str) -> dict[str, dict[str, Any]]:
        code, out, error = keystart("status", "--json", *arguments)
        assert (code, error) == (0, "")
        return {row["function"].removeprefix(ARN): row for row in json.loads(out)}

    return listed


def test_status_lists_the_functions_with_the_layer(
    keystart: Keystart, account: Account, layer: str, listed: Listed, tmp_path: Path, canary: Canaries
) -> None:
    file = configure(tmp_path, {"db": "prod/db"})
    inline, packaged, other = account.function({"TOKEN": canary()}), account.function(), account.function()
    assert keystart("attach", inline, "--layer", layer, "--config", file, "--yes")[0] == 0
    assert keystart("attach", packaged, "--layer", layer, "--yes")[0] == 0
    rows = listed()
    assert other not in rows
    assert [
        (rows[name]["layers"], rows[name]["version"], rows[name]["configuration"])
        for name in (inline, packaged)
    ] == [
        ([layer], "0.1.0", "KEYSTART_SECRETS"),
        ([layer], "0.1.0", "package"),
    ]
    code, out, error = keystart("status", inline, packaged)
    assert (code, error) == (0, "")
    shown = layer.partition(":layer:")[2]
    width = len(inline)
    assert out.splitlines() == [
        f"{'FUNCTION':{width}}  {'LAYER':{len(shown)}}  KEYSTART  CONFIGURATION",
        f"{inline}  {shown}  0.1.0     KEYSTART_SECRETS",
        f"{packaged}  {shown}  0.1.0     package",
    ]
    assert listed(other)[other]["warnings"] == ["It does not have the layer."]


def test_status_warns_of_what_is_wrong(
    keystart: Keystart, account: Account, layer: str, listed: Listed, tmp_path: Path, canary: Canaries
) -> None:
    older = published(account, "keystart-x86_64", "x86_64", version="0.0.9")
    file = configure(tmp_path, {"db": "prod/db"})
    changed = account.function()
    assert keystart("attach", changed, "--layer", layer, "--config", file, "--yes")[0] == 0
    account.set_variables(
        changed,
        {**account.variables_of(changed), "KEYSTART_SECRETS": canary(), "KEYSTART_CONFIG": "/opt/x.yaml"},
    )
    wrong = account.function(layers=(layer,), Architectures=["arm64"], files=("app.py",))
    old, removed = account.function(layers=(older,)), account.function({"KEYSTART_SECRETS": "db=prod/db"})
    wrapped = account.function(
        {"KEYSTART_SECRETS": "db=x/db", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/keystart-env"}
    )
    rows = listed(changed, wrong, old, removed, wrapped)
    assert {name: row["warnings"] for name, row in rows.items()} == {
        changed: [
            "KEYSTART_CONFIG wins over KEYSTART_SECRETS. Remove one of them.",
            "KEYSTART_SECRETS was changed or removed after attach had set it.",
        ],
        wrong: [
            "It has no configuration, so that it would not start: neither a variable nor its package has one. Attach "
            "with --config, or put keystart.json into the package first.",
            "It runs on arm64, and its layer is for x86_64: the function cannot start.",
        ],
        old: ["Its Keystart is older than 0.1.0, which other functions have."],
        removed: ["It has variables of Keystart and not the layer, so that no secrets are fetched."],
        wrapped: [
            "It has variables of Keystart and not the layer, so that no secrets are fetched.",
            "AWS_LAMBDA_EXEC_WRAPPER names /opt/keystart-env, which only the layer brings: the function cannot start.",
        ],
    }


def test_status_names_a_function_that_cannot_be_read_and_lists_the_others(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function(layers=(layer,))
    code, out, error = keystart("status", "nobody", name)
    assert (code, name in out) == (1, True)
    assert error.startswith("keystart: nobody: ResourceNotFoundException: ")


def test_status_lists_functions_by_tag_with_the_layer_or_without_it(account: Account, listed: Listed) -> None:
    app = randomness.token_hex(4)
    name = account.function(Tags={"app": app})
    assert {function: row["configuration"] for function, row in listed("--tag", f"app={app}").items()} == {
        name: "none"
    }


def test_status_without_a_permission_names_it(keystart: Keystart, account: Account) -> None:
    account.refuse = lambda _: refusal(403, "AccessDeniedException", "User is not authorized.")
    code, out, error = keystart("status")
    assert (code, out) == (1, "")
    assert error == (
        "keystart: AccessDeniedException: User is not authorized. Allow lambda:ListFunctions; the resource policy and "
        "the KMS key can deny it too.\n"
    )


@pytest.mark.parametrize("answer", ["{}", "[]", '{"Functions": [{"FunctionArn": "a", "Layers": [{}]}]}'])
def test_status_refuses_an_answer_that_is_not_whole(
    keystart: Keystart, account: Account, answer: str
) -> None:
    account.refuse = lambda request: Answer(body=answer.encode()) if "/functions" in request.path else None
    code, out, error = keystart("status")
    assert (code, out) == (1, "")
    assert "is not one that AWS sends" in error
