"""Restarts functions of moto's Lambda, as people and schedules do."""

from __future__ import annotations

import json
import os
import re
import secrets as randomness
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from keystart_extension.aws.session import Clients
from keystart_extension.deploy.terms import DeployError
from keystart_extension.deploy.update import starts, waits
from keystart_extension.deploy.versions import Source, Versions
from keystart_extension.plan import Plan

from tests.fakes.accounts import Account
from tests.fakes.aws import REGION, Cloud, refusal
from tests.fakes.http import Answer, Request
from tests.interrupt import interrupt

from .conftest import COMMAND, Canaries, Environment, Keystart

User = Callable[..., str]
MARKER = "KEYSTART_ROLLED"
ROOT = Path(__file__).parents[2]
NOW = ("--yes", "--over", "0s")


def arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:123456789012:function:{name}"


@pytest.fixture
def secret(account: Account) -> str:
    """The name of a secret that exists."""
    name = f"prod/{randomness.token_hex(4)}"
    account.secret(name)
    return name


@pytest.fixture
def user(account: Account, secret: str) -> User:
    """Makes functions that use the secret."""
    return lambda variables=(), **settings: account.function(
        {"KEYSTART_SECRETS": f"db={secret}", **dict(variables)}, **settings
    )


def test_a_roll_sets_one_variable_and_keeps_all_others(
    keystart: Keystart, account: Account, user: User, canary: Canaries
) -> None:
    name = user({"TOKEN": canary()})
    before = account.variables_of(name)
    assert keystart("roll", name, *NOW) == (
        0,
        f"{arn(name)}\n  + variable  KEYSTART_ROLLED  the versions of 1 secret\nchanged {name}\n",
        "",
    )
    after = account.variables_of(name)
    assert re.fullmatch("[0-9a-f]{16}", after.pop(MARKER))
    assert after == before
    (change,) = account.changes
    assert set(change.body) == {"Environment"}


def test_only_a_moved_label_rolls_again(
    keystart: Keystart, account: Account, user: User, secret: str
) -> None:
    name = user()
    assert keystart("roll", name, *NOW)[0] == 0
    assert keystart("roll", name, *NOW) == (0, f"{arn(name)}\n    nothing to change\n", "")
    first = account.variables_of(name)[MARKER]
    account.move(secret)
    code, out, _ = keystart("roll", name, *NOW)
    assert (code, "  ~ variable  KEYSTART_ROLLED  the versions of 1 secret\n" in out) == (0, True)
    assert account.variables_of(name)[MARKER] != first
    assert len(account.changes) == 2


SECRET = randomness.token_hex(16)  # that somebody has pasted
# What prevents the roll of one function: what GetFunction reports of it, and the reason.
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "pending": (
        {"State": "Pending", "StateReason": "It starts."},
        "It is not Active but Pending: It starts. Wait until it is Active.",
    ),
    "failed": ({"State": "Failed"}, "It is not Active but Failed. Correct what failed."),
    "updating": (
        {"LastUpdateStatus": "InProgress"},
        "Another update of it is in progress. Wait for its end.",
    ),
    "unreadable": (
        {"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "no"}}},
        "Its variables cannot be read, so they cannot be changed. Allow kms:Decrypt on the key that encrypts them.",
    ),
    "snapstart": (
        {"SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}},
        "SnapStart serves published versions, each from its snapshot. If the code of $LATEST may be released, publish",
    ),
    "managed": (
        {"CapacityProviderConfig": {}},
        "It runs on Managed Instances, which serve published versions. If the code of $LATEST may be released, publish",
    ),
    "image": (
        {"PackageType": "Image", "Environment": {"Variables": {}}},
        "Its configuration is in no variable, and its package cannot be read. Pass its configuration with --config "
        "FILE.",
    ),
    "elsewhere": (
        {"Environment": {"Variables": {"KEYSTART_CONFIG": "/opt/keystart.yaml"}}},
        "Its configuration is in no variable, and its package cannot be read. Pass its configuration with --config "
        "FILE.",
    ),
    "nothing": (
        {"Environment": {"Variables": {"KEYSTART_CONFIG": "/var/task/x.yaml"}}},
        "It has no configuration, neither in a variable nor in its package.",
    ),
    "invalid": (
        {"Environment": {"Variables": {"KEYSTART_SECRETS": f"db=canary {SECRET} pasted"}}},
        "Its configuration is not valid: ",
    ),
}


def test_each_reason_to_refuse_is_reported_and_the_other_functions_roll(
    keystart: Keystart, account: Account, user: User, canary: Canaries, secret: str
) -> None:
    good = user()
    refused = {user(): what for what in REFUSALS.values()}
    account.edit = lambda name, told: told.update(refused[name][0]) if name in refused else None
    foreign, large, aliased = user({MARKER: canary()}), user({"LONG": "x" * 4030}), user()
    account.api.publish_version(FunctionName=aliased)
    account.api.create_alias(FunctionName=aliased, Name="live", FunctionVersion="1")
    size = len(
        json.dumps(
            {"KEYSTART_SECRETS": f"db={secret}", "LONG": "x" * 4030, MARKER: "0" * 16}, separators=(",", ":")
        )
    )
    reasons = {
        **{name: reason for name, (_, reason) in refused.items()},
        foreign: f"Its variable {MARKER} is not one that roll has written. Remove that variable.",
        large: f"Its variables would have {size:,} bytes, and Lambda takes 4,096. Shorten or remove one of them.",
        aliased: "Aliases run published versions of it, which nothing changes: live (version 1). If the code of "
        "$LATEST may be released, publish",
        "nobody": "ResourceNotFoundException: ",
    }
    code, out, error = keystart("roll", *reasons, good, *NOW)
    assert SECRET not in out + error
    assert (code, out.splitlines()[-1]) == (1, f"changed {good}")
    *lines, last = error.splitlines()
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        assert line.startswith(f"keystart: {name}: {reason}")
    assert last == f"keystart: {len(reasons)} of {len(reasons) + 1} functions failed."
    assert [change.path for change in account.changes] == [f"/2015-03-31/functions/{arn(good)}/configuration"]


def test_functions_roll_although_the_words_about_another_are_lost(
    environment: Environment, account: Account, user: User
) -> None:
    good = user()
    with open("/dev/full", "w") as full:  # noqa: PTH123 (not a file)
        done = subprocess.run(
            [COMMAND, "roll", "nobody", good, *NOW], env=environment(), stdout=subprocess.DEVNULL, stderr=full
        )
    assert done.returncode == 1
    assert [change.path for change in account.changes] == [f"/2015-03-31/functions/{arn(good)}/configuration"]


def test_a_refusal_of_published_versions_prints_commands_that_lambda_has(
    keystart: Keystart, account: Account, user: User
) -> None:
    name = user()
    account.api.publish_version(FunctionName=name)
    for alias in ("live", "canary"):
        account.api.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    _, _, error = keystart("roll", name, *NOW)
    assert error.count("\n") == 1
    sha = account.api.get_function_configuration(FunctionName=name)["CodeSha256"]
    commands = [
        shlex.split(command)[1:] for command in re.findall(r"aws (lambda [^;]*?)(?:;|\. N |\n)", error)
    ]
    assert [operation for operation, *_ in commands] == [
        *("update-function-configuration", "wait", "publish-version", "wait", "update-alias", "update-alias")
    ]
    api: Any = account.api  # the stubs know literal names alone
    for operation, *options in commands:
        if operation == "wait":
            waiter = api.get_waiter(options.pop(0).replace("-", "_"))
            called = api.meta.service_model.operation_model(waiter.config.operation)
        else:
            called = api.meta.service_model.operation_model(operation.title().replace("-", ""))
        pairs = dict(zip(options[::2], options[1::2], strict=True))
        assert pairs["--function-name"] == arn(name)
        assert pairs.get("--code-sha256", sha) == sha
        known = {f"--{xform_name(member, '-')}" for member in called.input_shape.members}
        assert set(pairs) <= known


def test_a_refusal_lays_out_its_commands_at_a_terminal(
    environment: Environment, account: Account, user: User
) -> None:
    name = user()
    account.api.publish_version(FunctionName=name)
    account.api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    ours, theirs = os.openpty()
    subprocess.run([COMMAND, "roll", name, *NOW], env=environment(), stdout=subprocess.DEVNULL, stderr=theirs)
    lines = os.read(ours, 65_536).decode().splitlines()
    for end in (ours, theirs):
        os.close(end)
    first = "    aws lambda update-function-configuration --function-name"
    assert [line.partition(" arn:")[0] for line in lines][:3] == [
        f"keystart: {name}: Aliases run published versions of it, which nothing changes: live (version 1).",
        "  If the code of $LATEST may be released, publish a new version, and move the alias:",
        first,
    ]
    assert sum(line.startswith("    aws lambda ") for line in lines) == 5
    assert "  N is the Version that this prints:" in lines


def test_a_version_is_not_rolled(keystart: Keystart, account: Account, user: User) -> None:
    name = user()
    account.api.publish_version(FunctionName=name)
    code, _, error = keystart("roll", f"{name}:1", *NOW)
    assert (code, account.changes) == (1, [])
    assert "This is its version 1, which cannot be changed. Name the function alone" in error


def test_a_function_without_environments_or_new_versions_stays(
    keystart: Keystart, account: Account, user: User
) -> None:
    idle = user()
    pinned = account.function({"KEYSTART_SECRETS": "db=ssm:/a/b:3"})
    account.edit = lambda name, told: told.update({"State": "Inactive"}) if name == idle else None
    code, out, error = keystart("roll", idle, pinned, *NOW)
    assert (code, error, account.changes) == (0, "", [])
    assert out == (
        f"{arn(idle)}\n    nothing to change\n  ! It is Inactive: its next environment is a new one.\n"
        f"{arn(pinned)}\n    nothing to change\n"
        "  ! Its configuration names each version, so none can be newer.\n"
    )


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(
    keystart: Keystart, account: Account, user: User
) -> None:
    raced, good = user(), user()

    def refuse(request: Request) -> None:
        if request.method == "PUT" and raced in request.path:
            account.somebody_else_changes(raced)

    account.refuse = refuse
    code, out, error = keystart("roll", raced, good, *NOW)
    assert (code, out.splitlines()[-1]) == (1, f"changed {good}")
    assert error.splitlines()[0].startswith(f"keystart: {raced}: PreconditionFailedException: ")
    assert MARKER not in account.variables_of(raced)


def test_a_throttled_change_is_made_later(keystart: Keystart, account: Account, user: User) -> None:
    name = user()
    left = [1, 1]

    def refuse(request: Request) -> Answer | None:
        if request.method == "PUT" and left:
            left.pop()
            return refusal(429, "TooManyRequestsException", "Rate Exceeded.")
        return None

    account.refuse = refuse
    assert keystart("roll", name, *NOW)[0] == 0
    assert MARKER in account.variables_of(name)
    assert left == []


def test_a_change_that_lambda_cannot_apply_is_reported(
    keystart: Keystart, account: Account, user: User
) -> None:
    name = user()

    def edit(_: str, told: dict[str, Any]) -> None:
        if account.changes:
            told.update(
                LastUpdateStatus="Failed",
                LastUpdateStatusReasonCode="InvalidSubnet",
                LastUpdateStatusReason="It is gone.",
            )

    account.edit = edit
    code, _, error = keystart("roll", name, *NOW)
    assert code == 1
    assert error.splitlines()[0] == (
        f"keystart: {name}: It was changed, and perhaps does not run with the change yet. InvalidSubnet: It is gone."
    )


def test_a_function_whose_last_update_failed_is_not_taken_for_rolled(
    keystart: Keystart, account: Account, user: User
) -> None:
    name = user()
    assert keystart("roll", name, *NOW)[0] == 0

    def edit(_: str, told: dict[str, Any]) -> None:
        told["LastUpdateStatus"] = "Failed"

    account.edit = edit
    code, _, error = keystart("roll", name, *NOW)
    assert code == 1
    assert "Its last update failed, so its environments may be old ones." in error


@pytest.mark.parametrize("begins", ["", "x\nsecond line"], ids=["whole", "lines"])
def test_a_value_in_the_reason_of_a_failed_update_is_not_shown(
    keystart: Keystart, account: Account, user: User, canary: Canaries, begins: str
) -> None:
    value = canary() + begins
    name = user({"TOKEN": value})

    def edit(_: str, told: dict[str, Any]) -> None:
        if account.changes:
            told.update(LastUpdateStatus="Failed", LastUpdateStatusReason=f"{value} is odd.")

    account.edit = edit
    code, _, error = keystart("roll", name, *NOW)
    assert code == 1
    assert "***" in error


def test_an_interrupted_roll_names_what_lambda_was_asked_to_change(
    account: Account, user: User, environment: Environment
) -> None:
    names = [user() for _ in range(3)]
    asked, released = threading.Event(), threading.Event()

    def refuse(request: Request) -> None:
        if request.method == "PUT" and len(account.changes) == 2:
            asked.set()
            released.wait(20)

    account.refuse = refuse
    roll = subprocess.Popen(
        [COMMAND, "roll", *names, *NOW],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asked.wait(60)
    interrupt(roll)
    _, error = roll.communicate(timeout=60)
    released.set()
    assert roll.returncode == 130
    changed = {change.path.split(":")[-1].split("/")[0] for change in account.changes}
    found = re.fullmatch(r"\nkeystart: Interrupted. Lambda was asked to change (\S+), (\S+)\.\n", error)
    assert found is not None
    assert set(found.groups()) == changed


def test_functions_are_found_by_the_secret_that_their_configuration_names(
    keystart: Keystart, account: Account, user: User, secret: str
) -> None:
    layer = account.layer("keystart-x86_64")
    inline = user()
    other = account.function({"KEYSTART_SECRETS": f"db={secret}-other"})
    configuration = json.dumps({"version": 1, "secrets": {"db": account.secret(secret)}}).encode()
    packaged = account.function(layers=(layer,), contents={"keystart.json": configuration, "app.py": b"x"})
    named = account.function(
        {"KEYSTART_CONFIG": "/var/task/conf/prod.yaml"}, contents={"conf/prod.yaml": configuration}
    )
    account.function()
    code, out, error = keystart("roll", "--uses", account.secret(secret), "--dry-run", "--detailed-exitcode")
    assert (code, error) == (3, "")
    shown = {line for line in out.splitlines() if line.startswith("arn:")}
    assert shown == {arn(inline), arn(packaged), arn(named)}
    assert arn(other) not in out
    assert account.changes == []
    code, out, error = keystart("roll", "--uses", "prod/nothing", *NOW)
    assert (code, out) == (1, "")
    assert error == (
        "keystart: No function of eu-west-1 has a configuration that names this secret. Correct the secret or the "
        "region.\n"
    )


def test_a_file_is_the_configuration_of_an_image(
    keystart: Keystart, account: Account, secret: str, tmp_path: Path
) -> None:
    (tmp_path / "keystart.yaml").write_text(f"version: 1\nsecrets: {{db: '{secret}'}}\n")
    name = account.function()
    account.edit = lambda _, told: told.update({"PackageType": "Image"})
    code, _, error = keystart("roll", name, "--config", "keystart.yaml", *NOW)
    assert (code, error) == (0, "")
    assert list(account.variables_of(name)) == [MARKER]


def test_scripts_get_json_and_exit_codes(keystart: Keystart, account: Account, user: User) -> None:
    name = user()
    code, _, error = keystart("roll", name)
    assert (code, error) == (
        2,
        "keystart: There is no terminal to ask at. Pass --yes, or --dry-run to look first.\n",
    )
    code, out, _ = keystart("roll", name, *NOW, "--json")
    assert code == 0
    (result,) = json.loads(out)
    assert (result["function"], result["result"], result["errors"]) == (arn(name), "changed", [])
    assert keystart("roll", name, "--dry-run", "--detailed-exitcode")[0] == 0


def test_a_person_is_asked_and_may_refuse(keystart: Keystart, account: Account, user: User) -> None:
    names = [user(), user()]
    code, out, error = keystart.at_terminal("n", "roll", *names, "--over", "10s")
    assert (code, account.changes) == (1, [])
    assert "Change these 2 functions, one after the other in 5 seconds? [y/N] " in out
    assert error.endswith("keystart: Nothing is changed.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["orders", "--uses", "prod/db"],
        ["--uses", ""],
        ["orders", "--over", "soon"],
        ["orders", "--over", "25h"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2(keystart: Keystart, arguments: list[str]) -> None:
    code, out, error = keystart("roll", *arguments)
    assert (code, out) == (2, "")
    assert error.startswith("usage: keystart roll ")


def test_detach_removes_the_marker(keystart: Keystart, account: Account, user: User) -> None:
    name = user(layers=(account.layer("keystart-x86_64"),))
    assert keystart("roll", name, *NOW)[0] == 0
    code, out, _ = keystart("detach", name, "--yes")
    assert (code, f"  - variable  {MARKER}\n" in out) == (0, True)
    assert list(account.variables_of(name)) == ["KEYSTART_SECRETS"]


@pytest.mark.long
def test_of_a_hundred_functions_one_that_fails_in_the_middle_stops_none(
    account: Account, user: User, environment: Environment, tmp_path: Path
) -> None:
    names = [user({}, Tags={"team": "orders"}) for _ in range(100)]
    bad = []

    def refuse(request: Request) -> Answer | None:
        if request.method != "PUT":
            return None
        path = request.path
        if len({change.path for change in account.changes}) == 50:
            bad.append(path)
        return refusal(409, "ResourceConflictException", "It is being updated.") if path in bad else None

    account.refuse = refuse
    slept = tmp_path / "slept"
    command: list[str | Path] = [sys.executable, "-m", "tests.extension.paced_command", slept]
    roll = [*command, "roll", "--tag", "team=orders", *NOW]
    ended = subprocess.run(
        roll, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 1
    assert 0 < float(slept.read_text()) <= 99 * 0.2, "requests take a part of the time between two changes"
    assert ended.stderr.splitlines()[-1] == "keystart: 1 of 100 functions failed."
    rolled = [
        line.removeprefix("changed ") for line in ended.stdout.splitlines() if line.startswith("changed ")
    ]
    assert len(set(rolled)) == 99
    assert set(rolled) < set(names)
    assert rolled != sorted(rolled)  # the order is random


def test_changes_are_spread_evenly_and_never_faster_than_lambda_takes_them() -> None:
    assert starts(1, 300) == [0]
    assert starts(5, 300) == [0, 60, 120, 180, 240]
    assert starts(1000, 300)[-1] == pytest.approx(299.7)
    assert starts(3000, 300)[-1] == pytest.approx(2999 / 5)
    assert starts(3, 0) == pytest.approx([0, 0.2, 0.4])


def test_changes_keep_their_distance_after_one_that_takes_long() -> None:
    now, begun = [0.0], []
    for pause in waits(starts(5, 0), lambda: now[0]):
        now[0] += pause
        begun.append(now[0])
        now[0] += 10 if len(begun) == 2 else 0.05
    assert begun == pytest.approx([0, 0.2, 10.2, 10.4, 10.6])


@pytest.fixture
def marker(environment: Environment) -> Callable[[str], str]:
    """Returns the marker of the value of KEYSTART_SECRETS."""
    environment()

    def marker(secrets: str) -> str:
        found = Versions(Clients(REGION, None)).marker(Plan.variable(secrets, {}), REGION)
        assert found is not None
        return found[0]

    return marker


def test_a_marker_changes_with_each_kind_of_version(marker: Callable[[str], str], cloud: Cloud) -> None:
    path = cloud.parameters(db__user="x", flag="x")
    name = cloud.secret("x")
    steps: dict[str, Callable[[], object]] = {
        f"ssm:{path}/flag": lambda: cloud.parameter(f"{path}/flag", "y"),
        f"ssm:{path}/db/user": lambda: cloud.parameter(f"{path}/db/user", "y"),
        name: lambda: cloud.secrets.put_secret_value(SecretId=name, SecretString="y"),
        f"ssm:/aws/reference/secretsmanager/{name.split(':', 6)[6][:-7]}": lambda: (
            cloud.secrets.put_secret_value(SecretId=name, SecretString="z")
        ),
    }
    for id_, change in steps.items():
        every = json.dumps({"one": id_})
        before = marker(every)
        assert marker(every) == before
        change()
        assert marker(every) != before
    folder = json.dumps({"all": {"parameters": path}})
    before = marker(folder)
    cloud.parameter(f"{path}/new", "x")
    assert marker(folder) != before


def test_a_parameter_that_was_made_again_is_another_one(
    marker: Callable[[str], str], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cloud.parameters(flag="x")
    every = (f"flag=ssm:{path}/flag", json.dumps({"all": {"parameters": path}}))
    before = [marker(one) for one in every]
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        elsewhere = [marker(one) for one in every]
    time.tzset()
    assert elsewhere == before, "the time zone does not count"
    cloud.ssm.delete_parameter(Name=f"{path}/flag")
    cloud.parameter(f"{path}/flag", "y")
    assert all(marker(one) != old for one, old in zip(every, before, strict=True))


def test_a_label_counts_where_it_is_named(marker: Callable[[str], str], cloud: Cloud) -> None:
    path = cloud.parameters(flag="x")
    cloud.ssm.label_parameter_version(Name=f"{path}/flag", ParameterVersion=1, Labels=["live"])
    before = marker(f"flag=ssm:{path}/flag:live")
    cloud.parameter(f"{path}/flag", "y")
    assert marker(f"flag=ssm:{path}/flag:live") == before
    cloud.ssm.label_parameter_version(Name=f"{path}/flag", ParameterVersion=2, Labels=["live"])
    assert marker(f"flag=ssm:{path}/flag:live") != before


def test_what_would_not_start_is_not_rolled(marker: Callable[[str], str], cloud: Cloud) -> None:
    gone = cloud.secret("x")
    cloud.secrets.delete_secret(SecretId=gone)
    for id_, reason in {
        "prod/nothing": "can't find the specified secret",
        gone: "It is scheduled for deletion.",
        "ssm:/nothing": "There is no such parameter.",
    }.items():
        with pytest.raises(DeployError) as raised:
            marker(json.dumps({"db": id_}))
        assert reason in str(raised.value)
        assert str(raised.value).endswith(" New environments would not start.")
    optional = {"db": {"secret": "prod/nothing", "optional": True}}
    assert marker(json.dumps(optional))
    with pytest.raises(DeployError, match="no version with the stage AWSPREVIOUS"):
        marker(json.dumps({"db": {"secret": cloud.secret("x"), "stage": "AWSPREVIOUS"}}))


ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:"


@pytest.mark.parametrize(
    ("entry", "text", "is_named"),
    [
        ("prod/db", "prod/db", True),
        ("prod/db", f"{ARN}prod/db-a1B2c3", True),
        (f"{ARN}prod/db-a1B2c3", "prod/db", True),
        (f"{ARN}prod/db", f"{ARN}prod/db-a1B2c3", True),
        ("client-secret", "client-secret", True),
        ("client-secret", f"{ARN}client-secret-a1B2c3", True),
        ("client", "client-secret", False),
        ("prod/db", "prod/db2", False),
        ("prod/db", f"{ARN}prod/db-a1B2c3".replace(REGION, "us-east-1"), False),
        ("ssm:/a/b", "ssm:/a/b", True),
        ("ssm:/a/b:live", "ssm:/a/b", True),
        ("ssm:/a/b", "/a/b", False),
        ("prod/db", "ssm:prod/db", False),
        ("ssm:/a/b", f"arn:aws:ssm:{REGION}:123456789012:parameter/a/b", True),
        ("ssm:/aws/reference/secretsmanager/prod/db", "prod/db", True),
        ({"parameters": "/a"}, "ssm:/a/b/c", True),
        ({"parameters": "/a"}, "ssm:/ab", False),
    ],
    ids=str,
)
def test_a_secret_is_meant_by_its_name_or_its_arn(entry: object, text: str, is_named: bool) -> None:
    (facts,) = Plan.variable(json.dumps({"db": entry}), {}).facts["entries"]
    source = Source.of(facts, REGION)
    assert source is not None
    assert source.is_named(text, REGION) == is_named
