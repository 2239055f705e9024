"""Attaches the layer to functions of moto's Lambda and detaches it, as people and scripts do."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.accounts import Account, Change
from tests.fakes.aws import refusal
from tests.fakes.http import Answer, Request
from tests.interrupt import interrupt

from .conftest import COMMAND, Canaries, Environment, Keystart

pytestmark = pytest.mark.long

SECRETS = {"db": "prod/orders/db", "tls": {"secret": "prod/mtls", "expand": True}}
INLINE = '{"db":"prod/orders/db","tls":{"secret":"prod/mtls","expand":true}}'
MISSING = "arn:aws:lambda:eu-west-1:123456789012:layer:keystart-x86_64:999"


@pytest.fixture
def layer(account: Account) -> str:
    for secret in ("prod/orders/db", "prod/mtls"):
        account.secret(secret)
    return account.layer("keystart-x86_64", CompatibleArchitectures=["x86_64"])


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    return configure(tmp_path, SECRETS)


def configure(folder: Path, secrets: dict[str, Any], **settings: Any) -> Path:
    file = folder / "keystart.yaml"  # JSON is YAML too
    file.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
    return file


def noted(layer: str, **variables: str) -> dict[str, str]:
    """Returns the variables, and the one with attach's note about them and the layer."""
    digests = [
        f"{name}:{hashlib.sha256(variables[name].encode()).hexdigest()[:16]}" for name in sorted(variables)
    ]
    return {**variables, "KEYSTART_ATTACHED": ",".join([layer.rpartition(":")[0], *digests])}


def path(name: str) -> str:
    return f"/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:{name}/configuration"


def test_attach_adds_the_layer_behind_the_others_and_touches_nothing_else(
    keystart: Keystart, account: Account, layer: str, canary: Canaries
) -> None:
    other = account.layer("other")
    name = account.function({"TOKEN": canary()}, (other,))
    before = account.variables_of(name)
    assert keystart("attach", name, "--layer", layer, "--yes") == (
        0,
        f"arn:aws:lambda:eu-west-1:123456789012:function:{name}\n"
        f"    layer     {other}\n"
        f"  + layer     {layer}\n"
        f"changed {name}\n",
        "",
    )
    assert account.changes == [Change(path(name), {"Layers": [other, layer]})]
    assert account.layers_of(name) == [other, layer]
    assert account.variables_of(name) == before


def test_attach_puts_a_version_in_the_place_of_another_one(
    keystart: Keystart, account: Account, layer: str
) -> None:
    first, last, arm = account.layer("a"), account.layer("b"), account.layer("keystart-arm64")
    newer = account.layer("keystart-x86_64")
    name = account.function(layers=(first, layer, last, arm))
    code, out, error = keystart("attach", name, "--layer", newer, "--yes")
    assert (code, error) == (0, "")
    assert out.splitlines()[1:-1] == [
        f"    layer     {first}",
        f"  - layer     {layer}",
        f"  + layer     {newer}",
        f"    layer     {last}",
        f"  - layer     {arm}",
    ]
    assert account.layers_of(name) == [first, newer, last]


def test_a_layer_of_another_name_is_replaced_by_its_own_versions(
    keystart: Keystart, account: Account
) -> None:
    older, newer = account.layer("our-keys"), account.layer("our-keys")
    name = account.function(layers=(older,))
    assert keystart("attach", name, "--layer", newer, "--yes")[0] == 0
    assert account.layers_of(name) == [newer]
    assert keystart("detach", name, "--yes")[1].endswith("nothing to change\n")
    assert keystart("detach", name, "--yes", "--layer", "our-keys")[0] == 0
    assert account.layers_of(name) == []


def test_attach_compiles_the_configuration_into_a_variable(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    name = account.function({"TOKEN": canary(), "KEYSTART_LOG_LEVEL": "DEBUG"})
    before = account.variables_of(name)
    code, out, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    assert (code, error) == (0, "")
    assert f"  + variable  KEYSTART_SECRETS  2 of `secrets:` in keystart.yaml, {len(INLINE)} bytes\n" in out
    assert "  + variable  KEYSTART_ATTACHED  what detach removes\n" in out
    variables = {**before, **noted(layer, KEYSTART_SECRETS=INLINE)}
    assert account.changes == [
        Change(path(name), {"Layers": [layer], "Environment": {"Variables": variables}})
    ]
    assert account.variables_of(name) == variables


def test_attach_again_changes_nothing(
    keystart: Keystart, account: Account, layer: str, configuration: Path
) -> None:
    name = account.function()
    options = ["--layer", layer, "--config", str(configuration), "--wrapper", "--yes"]
    assert keystart("attach", name, *options)[0] == 0
    code, out, error = keystart("attach", name, *options)
    assert (code, error) == (0, "")
    assert out.splitlines()[1:] == [f"    layer     {layer}", "    nothing to change"]
    assert len(account.changes) == 1


def test_attach_replaces_the_configuration_that_it_has_set(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    name = account.function({"STAGE": "prod"})
    for secret in ("prod/old", "prod/new"):
        file = configure(tmp_path, {"db": secret})
        code, out, _ = keystart("attach", name, "--layer", layer, "--config", file, "--yes")
        assert code == 0
    assert "\n  ~ variable  KEYSTART_SECRETS  1 of" in out
    assert account.variables_of(name) == {"STAGE": "prod", **noted(layer, KEYSTART_SECRETS="db=prod/new")}
    assert keystart("detach", name, "--yes")[0] == 0
    assert account.variables_of(name) == {"STAGE": "prod"}


def test_a_configuration_that_somebody_else_has_set_is_not_replaced_and_not_shown(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    name = account.function({"KEYSTART_SECRETS": f"db={canary()}"})
    code, _, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    assert code == 1
    assert error.splitlines() == [
        f"keystart: {name}: Its variable KEYSTART_SECRETS was set by somebody else, and attach replaces only what it "
        "has set. Remove that variable, or attach without --config.",
        "keystart: Nothing is changed.",
    ]
    assert account.changes == []


def test_a_configuration_that_somebody_has_changed_since_is_neither_replaced_nor_removed(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    name = account.function()
    keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    theirs = {"KEYSTART_SECRETS": f"db=prod/{canary()}"}
    account.set_variables(name, {**account.variables_of(name), **theirs})
    code, _, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    assert (code, "KEYSTART_SECRETS was set by somebody else" in error) == (1, True)
    code, out, _ = keystart("detach", name, "--yes")
    assert code == 0
    assert "    variable  KEYSTART_SECRETS  stays: attach did not set this value\n" in out
    assert (account.layers_of(name), account.variables_of(name)) == ([], theirs)


def test_a_note_that_attach_did_not_write_is_refused_and_stays(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    theirs = {"KEYSTART_ATTACHED": canary()}
    name = account.function(theirs)
    code, _, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    assert code == 1
    assert error.splitlines()[0] == (
        f"keystart: {name}: Its variable KEYSTART_ATTACHED is not one that attach has written. Remove that variable."
    )
    assert keystart("detach", name, "--yes")[0] == 0
    assert account.variables_of(name) == theirs


def test_a_wrapper_that_somebody_else_has_set_keeps_the_layer_that_brings_it(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    theirs = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/keystart-env"}
    name = account.function(theirs)
    assert keystart("attach", name, "--layer", layer, "--wrapper", "--yes")[0] == 0
    assert account.variables_of(name) == theirs
    code, _, error = keystart("detach", name, "--yes")
    assert code == 1
    assert error.splitlines()[0] == (
        f"keystart: {name}: Its variable AWS_LAMBDA_EXEC_WRAPPER names /opt/keystart-env, and attach did not set it. "
        "Without the layer the function would not start. Remove that variable first."
    )
    assert (account.layers_of(name), account.variables_of(name)) == ([layer], theirs)


def test_detach_removes_the_layer_that_attach_has_noted_whatever_its_name(
    keystart: Keystart, account: Account, configuration: Path
) -> None:
    older, newer = account.layer("our-keys"), account.layer("keystart-x86_64")
    name = account.function({"STAGE": "prod"})
    for layer in (older, newer, older):  # each takes the place of the one before
        code, _, _ = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
        assert (code, account.layers_of(name)) == (0, [layer])
        assert account.variables_of(name) == {"STAGE": "prod", **noted(layer, KEYSTART_SECRETS=INLINE)}
    assert keystart("detach", name, "--yes")[0] == 0
    assert (account.layers_of(name), account.variables_of(name)) == ([], {"STAGE": "prod"})


def of_another_account(account: Account, *names: str) -> list[str]:
    """Sets ARNs of another account's layers, which every function of this account then has."""
    arns = [f"arn:aws:lambda:eu-west-1:210987654321:layer:{name}:3" for name in names]

    def edit(_: str, configuration: dict[str, Any]) -> None:
        configuration["Layers"] = [
            *({"Arn": arn, "CodeSize": 1} for arn in arns),
            *(configuration.get("Layers") or []),
        ]

    account.edit = edit
    return arns


@pytest.mark.parametrize("other", ["keystart", "keystart-x86_64", "keystart-arm64"])
def test_a_layer_of_another_account_that_has_keystarts_name_is_not_replaced(
    keystart: Keystart, account: Account, layer: str, other: str
) -> None:
    name = account.function()
    (arn,) = of_another_account(account, other)
    whose = f"keystart: {name}: Its layer {arn} has Keystart's name, and is of another account."
    named = f"--layer {arn.removesuffix(':3')}"
    code, _, error = keystart("attach", name, "--layer", layer, "--yes")
    assert (code, error.splitlines()[0]) == (1, f"{whose} Remove it first: keystart detach {named}")
    code, _, error = keystart("detach", name, "--yes")
    assert (code, error.splitlines()[0]) == (1, f"{whose} If it is the one to remove, name it: {named}")
    assert account.changes == []


@pytest.mark.parametrize("suffix", ["", ":3", ":2"])
def test_detach_removes_the_layer_of_another_account_that_is_named(
    keystart: Keystart, account: Account, suffix: str
) -> None:
    own = account.layer("keystart-x86_64")
    name = account.function(layers=(own,))
    arn, other = of_another_account(account, "keystart-x86_64", "tracing")
    code, out, error = keystart("detach", name, "--dry-run", "--layer", arn.removesuffix(":3") + suffix)
    assert (code, error) == (0, "")
    assert out.splitlines()[1:] == [f"  - layer     {arn}", f"    layer     {other}", f"    layer     {own}"]


def test_the_wrapper_is_set_when_it_is_requested(keystart: Keystart, account: Account, layer: str) -> None:
    name = account.function()
    code, out, _ = keystart("attach", name, "--layer", layer, "--wrapper", "--yes")
    assert code == 0
    assert "\n  + variable  AWS_LAMBDA_EXEC_WRAPPER  /opt/keystart-env\n" in out
    assert account.variables_of(name) == noted(layer, AWS_LAMBDA_EXEC_WRAPPER="/opt/keystart-env")


def test_the_wrapper_is_set_where_a_secret_asks_for_a_variable(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    file = configure(tmp_path, {"db": {"secret": "prod/db", "env": "DB_PASSWORD"}})
    name = account.function()
    assert keystart("attach", name, "--layer", layer, "--config", file, "--yes")[0] == 0
    assert account.variables_of(name) == noted(
        layer,
        AWS_LAMBDA_EXEC_WRAPPER="/opt/keystart-env",
        KEYSTART_SECRETS='{"db":{"secret":"prod/db","env":"DB_PASSWORD"}}',
    )


def test_detach_is_the_reverse(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    other = account.layer("other")
    name = account.function({"TOKEN": canary(), "KEYSTART_LOG_LEVEL": "DEBUG"}, (other,))
    before = account.variables_of(name)
    keystart("attach", name, "--layer", layer, "--config", configuration, "--wrapper", "--yes")
    assert keystart("detach", name, "--yes") == (
        0,
        f"arn:aws:lambda:eu-west-1:123456789012:function:{name}\n"
        f"    layer     {other}\n"
        f"  - layer     {layer}\n"
        f"  - variable  AWS_LAMBDA_EXEC_WRAPPER\n"
        f"  - variable  KEYSTART_ATTACHED\n"
        f"  - variable  KEYSTART_SECRETS\n"
        f"changed {name}\n",
        "",
    )
    assert (account.layers_of(name), account.variables_of(name)) == ([other], before)


def test_detach_leaves_the_wrapper_of_somebody_else(keystart: Keystart, account: Account, layer: str) -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
    name = account.function(variables, (layer,))
    assert keystart("detach", name, "--yes")[0] == 0
    assert (account.layers_of(name), account.variables_of(name)) == ([], variables)


@pytest.mark.parametrize("command", ["attach", "detach"])
def test_a_dry_run_shows_and_changes_nothing(
    keystart: Keystart, account: Account, layer: str, command: str
) -> None:
    older = account.layer("keystart")
    name = account.function(layers=(older,))
    options = ["--layer", layer] if command == "attach" else []
    code, out, error = keystart(command, name, *options, "--dry-run")
    assert (code, error) == (0, "")
    assert f"  - layer     {older}\n" in out
    assert account.changes == []


@pytest.mark.parametrize("command", ["attach", "detach"])
def test_without_a_terminal_nothing_is_done_unless_yes_is_said(
    keystart: Keystart, account: Account, layer: str, command: str
) -> None:
    options = ["--layer", layer] if command == "attach" else []
    code, out, error = keystart(command, account.function(), *options)
    assert (code, out) == (2, "")
    assert error == "keystart: There is no terminal to ask at. Pass --yes, or --dry-run to look first.\n"
    assert account.requests == []


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("yes", True), ("n", False), ("", False)])
def test_at_a_terminal_it_asks(
    keystart: Keystart, account: Account, layer: str, answer: str, agreed: bool
) -> None:
    name = account.function()
    code, out, error = keystart.at_terminal(answer, "attach", name, "--layer", layer)
    assert f"Change {name}? [y/N] " in out
    assert f"\033[32m  + layer     {layer}\033[0m\n" in out
    assert account.layers_of(name) == ([layer] if agreed else [])
    assert (code, error) == ((0, "") if agreed else (1, "keystart: Nothing is changed.\n"))


@pytest.mark.parametrize(("options", "variables"), [(["--json"], {}), ([], {"NO_COLOR": "1"})])
def test_colours_are_for_people_who_want_them(
    keystart: Keystart, account: Account, layer: str, options: list[str], variables: dict[str, str]
) -> None:
    command = ["attach", account.function(), "--layer", layer, *options]
    code, out, error = keystart.at_terminal("n", *command, **variables)
    assert (code, "\033" in out + error) == (1, False)
    assert f"  + layer     {layer}\n" in out + error


def test_a_script_reads_everything_as_json(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    name, ready = account.function({"TOKEN": canary()}), account.function(layers=(layer,))
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:"
    code, out, _ = keystart("attach", name, ready, "--layer", layer, "--yes", "--json")
    assert (code, json.loads(out)) == (
        0,
        [
            {
                "function": arn + name,
                "result": "changed",
                "changes": [{"sign": "+", "kind": "layer", "name": layer, "detail": ""}],
                "warnings": [],
                "errors": [],
            },
            {"function": arn + ready, "result": "unchanged", "changes": [], "warnings": [], "errors": []},
        ],
    )
    code, out, _ = keystart("detach", name, "--dry-run", "--json")
    assert (code, [one["result"] for one in json.loads(out)]) == (0, ["planned"])


def test_a_function_that_is_named_twice_is_changed_once(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function()
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    assert keystart("attach", name, arn, "--layer", layer, "--yes")[0] == 0
    assert len(account.changes) == 1


def test_what_cloudformation_made_is_reported(keystart: Keystart, account: Account, layer: str) -> None:
    name = account.function(Tags={"aws:cloudformation:stack-name": "shop"})
    _, out, _ = keystart("attach", name, "--layer", layer, "--dry-run")
    assert (
        "    CloudFormation's stack shop made it, and may undo the change when it is deployed again." in out
    )


FIVE = "It has 5 layers, and Lambda takes 5. Remove one of them."


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            {"PackageType": "Image"},
            "It is an image, and images take no layers. Unzip the layer, and COPY it to /opt",
        ),
        ({"Version": "7"}, "This is its version 7, which cannot be changed. Name the function alone"),
        ({"State": "Pending"}, "It is not Active but Pending. Wait until it is Active."),
        ({"State": "Inactive"}, "It is not Active but Inactive. Invoke it once"),
        (
            {"State": "Failed", "StateReason": "The subnet is gone."},
            "It is not Active but Failed: The subnet is gone. Correct what failed.",
        ),
        ({"LastUpdateStatus": "InProgress"}, "Another update of it is in progress. Wait for its end."),
        (
            {"Architectures": ["arm64"]},
            "It runs on arm64, and this layer is for x86_64. Publish the one for arm64.",
        ),
        (
            {"CodeSize": 250 * 1024 * 1024},
            " bytes zipped, and unzipped Lambda takes 262,144,000 of them together. Make the package smaller",
        ),
        (
            {
                "Layers": [
                    {"Arn": f"arn:aws:lambda:eu-west-1:123456789012:layer:x{n}:1", "CodeSize": 1}
                    for n in range(5)
                ]
            },
            FIVE,
        ),
        (
            {
                "Environment": {
                    "Variables": {},
                    "Error": {"ErrorCode": "AccessDeniedException", "Message": "no"},
                }
            },
            "Its variables cannot be read, so they cannot be changed. Allow kms:Decrypt on the key that encrypts them.",
        ),
        (
            {"Environment": {"Variables": {"KEYSTART_CONFIG": "/var/task/prod.yaml"}}},
            "Its variable KEYSTART_CONFIG wins over KEYSTART_SECRETS. Remove that variable, or attach without",
        ),
        (
            {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}}},
            "Its variable AWS_LAMBDA_EXEC_WRAPPER names another wrapper, and Lambda starts only one.",
        ),
        ({"Runtime": "provided.al2023"}, "Its runtime provided.al2023 starts no wrapper."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_reason_to_refuse_is_reported_before_anything_changes(
    keystart: Keystart,
    account: Account,
    layer: str,
    configuration: Path,
    edit: dict[str, Any],
    expected: str,
) -> None:
    good, bad = account.function(), account.function()
    account.edit = lambda name, configuration: configuration.update(edit) if name == bad else None
    code, _, error = keystart(
        "attach", good, bad, "--layer", layer, "--config", configuration, "--wrapper", "--yes"
    )
    assert code == 1
    first, last = error.splitlines()
    assert first.startswith(f"keystart: {bad}: ")
    assert expected in first
    assert last == "keystart: Nothing is changed."
    assert account.changes == []


def test_a_layer_in_the_place_of_another_counts_once(
    keystart: Keystart, account: Account, layer: str
) -> None:
    others = [account.layer(f"other-{n}") for n in range(4)]
    name = account.function(layers=(*others, layer))
    newer = account.layer("keystart-x86_64")
    assert keystart("attach", name, "--layer", newer, "--yes")[0] == 0
    assert account.layers_of(name) == [*others, newer]


def test_variables_beyond_what_lambda_takes_are_reported_before(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    name = account.function({"TOKEN": canary(), "LONG": "x" * 3990})
    code, _, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    # Lambda measures JSON: quotes inside the variable count twice.
    variables = {**account.variables_of(name), **noted(layer, KEYSTART_SECRETS=INLINE)}
    measured = json.dumps(variables, separators=(",", ":"))
    assert code == 1
    assert error.startswith(
        f"keystart: {name}: Its variables would have {len(measured):,} bytes, and Lambda takes 4,096. Put the "
    )
    assert account.changes == []


def test_detach_refuses_when_it_cannot_see_a_wrapper_that_would_stay(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function(layers=(layer,))
    account.edit = lambda _, found: found.update(
        {"Environment": {"Error": {"ErrorCode": "x", "Message": "x"}}}
    )
    code, _, error = keystart("detach", name, "--yes")
    assert code == 1
    assert error.startswith(f"keystart: {name}: Its variables cannot be read, so they cannot be changed.")
    assert account.changes == []


def test_variables_that_cannot_be_read_do_not_matter_where_none_is_set(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function({"STAGE": "prod"})
    account.edit = lambda _, found: found.update(
        {"Environment": {"Error": {"ErrorCode": "x", "Message": "x"}}}
    )
    assert keystart("attach", name, "--layer", layer, "--yes")[0] == 0
    assert account.variables_of(name) == {"STAGE": "prod"}


def test_a_configuration_that_no_variable_holds_is_refused_with_the_cure(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    file = configure(tmp_path, SECRETS, deadline="5s")
    code, out, error = keystart("attach", account.function(), "--layer", layer, "--config", file, "--yes")
    assert (code, out) == (1, "")
    assert error == (
        f'keystart: {file}: KEYSTART_SECRETS holds only what is under "secrets", so not deadline:. '
        "Put the keystart.json that keystart compile writes into the function's package, and attach without "
        "--config.\n"
    )
    assert account.requests == []


def test_squares_file_is_refused_with_the_cure(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('{"SecretManagers": [{"secrets": [{"secretname": "db"}]}]}')
    code, _, error = keystart("attach", account.function(), "--layer", layer, "--config", file, "--yes")
    assert (code, "so not Square's file. Put the keystart.json" in error) == (1, True)


def test_a_wrong_configuration_is_reported_before_anything_is_asked(
    keystart: Keystart, account: Account, layer: str, tmp_path: Path
) -> None:
    file = configure(tmp_path, {})
    code, _, error = keystart("attach", account.function(), "--layer", layer, "--config", file, "--yes")
    assert (code, "There are no secrets. Name at least one." in error) == (1, True)
    assert account.requests == []


def test_an_unknown_function_is_reported_with_the_others_untouched(
    keystart: Keystart, account: Account, layer: str
) -> None:
    code, _, error = keystart("attach", account.function(), "nobody", "--layer", layer, "--yes")
    assert (code, account.changes) == (1, [])
    first, _ = error.splitlines()
    assert first.startswith("keystart: nobody: ResourceNotFoundException: Function not found: ")
    assert first.endswith(" Correct the name or the region.")


def test_an_unknown_layer_is_reported_before_a_function_is_requested(
    keystart: Keystart, account: Account
) -> None:
    code, out, error = keystart("attach", account.function(), "--layer", MISSING, "--yes")
    assert (code, out) == (1, "")
    assert error.startswith(f"keystart: {MISSING}: ResourceNotFoundException: ")
    assert not [request for request in account.requests if "/functions/" in request.path]


@pytest.mark.parametrize(
    ("method", "part", "action"),
    [
        ("GET", "/layers/", "lambda:GetLayerVersion on arn:aws:lambda:"),
        ("GET", "/functions/", "lambda:GetFunction on orders-"),
        ("PUT", "/configuration", "lambda:UpdateFunctionConfiguration on arn:aws:lambda:"),
    ],
)
def test_a_denied_call_names_what_to_allow(
    keystart: Keystart, account: Account, layer: str, method: str, part: str, action: str
) -> None:
    def refuse(request: Request) -> Answer | None:
        denied = request.method == method and part in request.path
        return refusal(403, "AccessDeniedException", "User is not authorized.") if denied else None

    account.refuse = refuse
    code, _, error = keystart("attach", account.function(), "--layer", layer, "--yes")
    assert code == 1
    assert f"AccessDeniedException: User is not authorized. Allow {action}" in error


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(
    keystart: Keystart, account: Account, layer: str
) -> None:
    raced, good = account.function(), account.function()

    def refuse(request: Request) -> None:
        if request.method == "PUT" and raced in request.path:
            account.somebody_else_changes(raced)

    account.refuse = refuse
    code, out, error = keystart("attach", raced, good, "--layer", layer, "--yes")
    assert (code, out.splitlines()[-1]) == (1, f"changed {good}")
    assert error.splitlines() == [
        f"keystart: {raced}: PreconditionFailedException: The Revision Id provided does not match the latest Revision "
        "Id. Somebody else has changed it in the meantime. Run the command again.",
        "keystart: 1 of 2 functions failed.",
    ]
    assert (account.layers_of(raced), account.layers_of(good)) == ([], [layer])


def test_an_endpoint_that_reports_no_revision_is_not_trusted_with_a_change(
    keystart: Keystart, account: Account, layer: str, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = account.function()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)  # without the server in front of it
    code, _, error = keystart("attach", name, "--layer", layer, "--yes")
    assert code == 1
    assert error.startswith(
        f"keystart: {name}: NoRevision: The endpoint reports no revision of the function, so this could overwrite "
        "what somebody else changes in the meantime. For an emulator add --no-revision-check.\n"
    )
    assert account.layers_of(name) == []
    attached = keystart("attach", name, "--layer", layer, "--yes", "--no-revision-check")
    assert (attached[0], account.layers_of(name)) == (0, [layer])
    assert keystart("detach", name, "--yes", "--no-revision-check")[0] == 0
    assert account.layers_of(name) == []


def test_a_revision_that_is_known_is_checked_in_any_case(
    keystart: Keystart, account: Account, layer: str
) -> None:
    raced = account.function()

    def refuse(request: Request) -> None:
        if request.method == "PUT":
            account.somebody_else_changes(raced)

    account.refuse = refuse
    code, _, error = keystart("attach", raced, "--layer", layer, "--yes", "--no-revision-check")
    assert code == 1
    assert "PreconditionFailedException" in error


def test_lambdas_own_words_are_shown_without_the_values_that_they_repeat(
    keystart: Keystart, account: Account, layer: str, configuration: Path, canary: Canaries
) -> None:
    secret, quoted = canary(), f'"{canary()}"\\'
    variables = {"TOKEN": secret, "QUOTED": quoted}
    name = account.function(variables)

    def refuse(request: Request) -> Answer | None:
        if request.method != "PUT":
            return None
        message = (
            f"The value {secret} of TOKEN is odd, {json.dumps(quoted)} too, and beyond the 4KB limit. String measured: "
            f"{json.dumps(variables)}"
        )
        return refusal(400, "InvalidParameterValueException", message)

    account.refuse = refuse
    code, _, error = keystart("attach", name, "--layer", layer, "--config", configuration, "--yes")
    assert code == 1
    assert error.splitlines()[0].rstrip() == (
        f"keystart: {name}: InvalidParameterValueException: The value *** of TOKEN is odd, "
        '"***" too, and beyond the 4KB limit.'
    )


@pytest.mark.parametrize("begins", ["x\nsecond line", "x" * 2_000], ids=["lines", "cut off"])
def test_a_part_of_a_value_in_lambdas_words_is_not_shown(
    keystart: Keystart, account: Account, layer: str, canary: Canaries, begins: str
) -> None:
    value = canary() + begins
    name = account.function({"TOKEN": value})

    def refuse(request: Request) -> Answer | None:
        if request.method != "PUT":
            return None
        return refusal(400, "ValidationException", f"Value '{{TOKEN={value}}}' is wrong")

    account.refuse = refuse
    code, _, error = keystart("attach", name, "--layer", layer, "--yes")
    assert code == 1
    assert error.startswith(f"keystart: {name}: ValidationException: Value '{{TOKEN=***")
    assert "xxxx" not in error


def test_attach_waits_until_lambda_has_taken_the_change_over(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function()
    statuses: list[str] = []

    def edit(_: str, configuration: dict[str, Any]) -> None:
        if account.changes:
            configuration["LastUpdateStatus"] = "InProgress" if len(statuses) < 2 else "Successful"
            statuses.append(configuration["LastUpdateStatus"])

    account.edit = edit
    assert keystart("attach", name, "--layer", layer, "--yes")[0] == 0
    assert statuses == [
        "InProgress",
        "InProgress",
        "Successful",
    ]  # the update itself, and two waits


def test_a_change_that_lambda_cannot_take_over_is_reported(
    keystart: Keystart, account: Account, layer: str
) -> None:
    name = account.function()

    def edit(_: str, configuration: dict[str, Any]) -> None:
        if account.changes:
            configuration["LastUpdateStatus"] = "Failed"
            configuration["LastUpdateStatusReasonCode"] = "SubnetOutOfIPAddresses"
            configuration["LastUpdateStatusReason"] = "No address is free."

    account.edit = edit
    code, _, error = keystart("attach", name, "--layer", layer, "--yes")
    assert code == 1
    assert error.splitlines()[0] == (
        f"keystart: {name}: It was changed, and perhaps does not run with the change yet. "
        "SubnetOutOfIPAddresses: No address is free."
    )


@pytest.mark.parametrize(("method", "changed"), [("GET", False), ("PUT", True)])
def test_an_interrupted_attach_says_what_may_be_changed(
    account: Account, layer: str, environment: Environment, method: str, changed: bool
) -> None:
    first, second = account.function(), account.function()
    asked, released = threading.Event(), threading.Event()

    def refuse(request: Request) -> None:
        if request.method == method and second in request.path:
            asked.set()
            released.wait(20)

    account.refuse = refuse
    attach = subprocess.Popen(
        [COMMAND, "attach", first, second, "--layer", layer, "--yes"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asked.wait(20)
    interrupt(attach)
    _, error = attach.communicate(timeout=20)
    released.set()
    assert attach.returncode == 130
    what = f"Lambda was asked to change {first}, {second}." if changed else "Nothing is changed."
    assert error == f"\nkeystart: Interrupted. {what}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["attach", "orders"],
        ["attach", "orders", "--layer", "keystart"],
        ["attach", "orders", "--layer", "arn:aws:lambda:eu-west-1:123456789012:layer:keystart"],
        ["attach", "--layer", MISSING],
        ["attach", "orders", "--tag", "app=orders", "--layer", MISSING],
        ["attach", "--tag", "orders", "--layer", MISSING],
        ["detach"],
        ["layer"],
        ["layer", "publish", "--name", "a b"],
        ["layer", "publish", "--regions", "eu-west-1,moon"],
        ["layer", "publish", "--organization", "ours"],
        ["iam-policy", "--account", "1234"],
    ],
)
def test_wrong_use_ends_with_2(keystart: Keystart, arguments: list[str]) -> None:
    code, out, error = keystart(*arguments)
    assert (code, out) == (2, "")
    assert error.startswith("usage: keystart ")


def test_the_profile_and_the_region_are_taken(keystart: Keystart, account: Account) -> None:
    code, _, error = keystart("detach", account.function(), "--yes", "--profile", "nobody")
    assert (code, error) == (
        1,
        "keystart: ProfileNotFound: The AWS profile nobody, or one that its `source_profile` names, does not exist. "
        "Correct AWS_PROFILE or the profile.\n",
    )
    code, _, error = keystart("detach", account.function(), "--yes", "--region", "us-east-1")
    assert (code, "function not found" in error.lower()) == (1, True)
