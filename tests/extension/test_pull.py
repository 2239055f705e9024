"""Pulls with people's credentials: profiles, processes, roles with an MFA code, and endpoints of a profile."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.aws.login import Login
from keystart_extension.core import ffi

from tests.fakes.aws import secret
from tests.fakes.http import Answer, Request, Stub
from tests.fakes.proxy import Proxy

from .conftest import COMMAND, Canaries, Environment, Keystart, Prefetch, Serve, Store, fetch_as_a_person

ROLE = "arn:aws:iam::123456789012:role/reader"
Profiles = Callable[..., None]


@pytest.fixture
def profiles(environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Profiles:
    """Writes the file of AWS profiles, and removes the keys from the environment."""
    assert environment()["AWS_ACCESS_KEY_ID"]
    folder = tmp_path / "secrets"  # where a canary may be
    folder.mkdir()

    def write(**sections: dict[str, str]) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        text = "".join(
            f"[{'' if name == 'default' else 'profile '}{name}]\n"
            + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for name, keys in sections.items()
        )
        (folder / "config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))

    return write


@pytest.fixture
def pull(keystart: Keystart, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Pulls the secret prod/db, or another one, with options."""

    def run(*options: str, entry: Any = "prod/db", **settings: Any) -> tuple[int, str, str]:
        document = {"version": 1, **settings, "secrets": {"db": entry}}
        (tmp_path / "keystart.json").write_text(json.dumps(document))
        return keystart("pull", *options)

    return run


Pull = Callable[..., tuple[int, str, str]]


def keys(value: str) -> dict[str, str]:
    return {"aws_access_key_id": f"id-{value}", "aws_secret_access_key": value, "aws_session_token": value}


def signer(request: Request) -> tuple[str, str]:
    """Returns the access key and the region that signed a request."""
    scope = request.headers["Authorization"].partition("Credential=")[2].split("/")
    return scope[0], scope[2]


def test_the_keys_and_the_region_of_a_profile_are_taken_and_shown_nowhere(
    profiles: Profiles,
    pull: Pull,
    serve: Serve,
    store: Store,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("KEYSTART_LOG_LEVEL", "DEBUG")
    key = canary()
    profiles(default=keys("other"), mine={**keys(key), "region": "eu-north-1"})
    answers = iter([Answer(500), secret("x"), secret("x"), secret("x")])
    aws = serve(lambda _: next(answers))
    assert pull("--profile", "mine")[0] == 0
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert pull()[0] == 0
    assert pull(region="eu-west-3")[0] == 0
    mine = f"id-{key}"
    assert [signer(request) for request in aws.requests] == [
        *((mine, "eu-north-1"), (mine, "eu-north-1"), (mine, "eu-north-1"), (mine, "eu-west-3"))
    ]
    assert {request.headers["X-Amz-Security-Token"] for request in aws.requests} == {key}
    assert store.values == {"db": b"x"}


def test_a_profile_that_is_named_wins_over_the_keys_of_the_environment(
    profiles: Profiles, pull: Pull, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles(mine=keys("mine"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    aws = serve(lambda _: secret("x"))
    assert pull("--profile", "mine")[0] == 0
    assert pull()[0] == 0
    assert [signer(request)[0] for request in aws.requests] == ["id-mine", "id-environment"]


def test_a_profile_that_does_not_exist_is_reported_although_the_environment_has_keys(
    pull: Pull, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws = serve(lambda _: secret("x"))
    assert pull()[0] == 1
    reason = "The AWS profile nobody, or one that its `source_profile` names, does not exist."
    why = ("ProfileNotFound", f"{reason} Correct AWS_PROFILE or the profile.")
    assert store.failures == {"db": why}
    assert aws.requests == []


def test_the_login_has_more_time_than_the_deadline(
    profiles: Profiles, pull: Pull, serve: Serve, store: Store, canary: Canaries, tmp_path: Path
) -> None:
    key = canary()
    credentials = {"Version": 1, "AccessKeyId": "id", "SecretAccessKey": key, "SessionToken": key}
    program = tmp_path / "secrets/program.py"
    program.write_text(f"import time\ntime.sleep(1.2)\nprint({json.dumps(json.dumps(credentials))})\n")
    profiles(default={"credential_process": f"{sys.executable} {program}"})
    aws = serve(lambda _: secret("x"))
    assert pull(deadline="1s")[0] == 0
    assert [request.headers["X-Amz-Security-Token"] for request in aws.requests] == [key]
    assert store.values == {"db": b"x"}


# A test that pulls inside of pytest forbids core files to every process that pytest starts later.
@pytest.mark.alone
def test_nobody_looks_into_pull_before_it_holds_credentials(
    profiles: Profiles, pull: Pull, serve: Serve, store: Store, canary: Canaries, tmp_path: Path
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    assert most != 0, "core files are forbidden here, so that nothing shows who forbids them"
    credentials = {"Version": 1, "AccessKeyId": "id", "SecretAccessKey": canary()}
    seen = tmp_path / "seen"
    program = tmp_path / "secrets/program.py"
    program.write_text(
        "import os, pathlib\n"
        "pull = pathlib.Path(f'/proc/{os.getppid()}')\n"
        "(limit,) = [line for line in (pull / 'limits').read_text().splitlines() if 'core file' in line]\n"
        f"pathlib.Path({str(seen)!r}).write_text(f'{{pull.stat().st_uid}} {{limit}}')\n"
        f"print({json.dumps(json.dumps(credentials))})\n"
    )
    profiles(default={"credential_process": f"{sys.executable} {program}"})
    serve(lambda _: secret("x"))
    assert pull()[0] == 0
    assert store.values == {"db": b"x"}
    # If others may not inspect a process, its files in /proc belong to root.
    owner, *limit = seen.read_text().split()
    assert owner == "0"
    assert limit[4:6] == ["0", "0"]


def test_a_process_that_returns_a_broken_token_is_named_and_the_token_is_not_shown(
    profiles: Profiles, pull: Pull, serve: Serve, store: Store, canary: Canaries, tmp_path: Path
) -> None:
    credentials = {"Version": 1, "AccessKeyId": "id", "SecretAccessKey": "x", "SessionToken": f"{canary()}\n"}
    program = tmp_path / "secrets/program.py"
    program.write_text(f"print({json.dumps(json.dumps(credentials))})\n")
    profiles(default={"credential_process": f"{sys.executable} {program}"})
    aws = serve(lambda _: secret("x"))
    assert pull()[0] == 1
    reason = "The session token from the process that the AWS profile default names holds a line break, which none has."
    assert store.failures == {"db": ("InvalidCredentials", f"{reason} Correct it there.")}
    assert aws.requests == []


ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>id-of-{number}</AccessKeyId><SecretAccessKey>made-up</SecretAccessKey><SessionToken>made-up</SessionToken>
<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def test_a_code_of_mfa_is_typed_before_anything_is_fetched_and_the_role_of_an_entry_is_assumed_with_the_login(
    profiles: Profiles, environment: Environment, serve: Serve, store: Store, tmp_path: Path
) -> None:
    serial = "arn:aws:iam::123456789012:mfa/someone"
    profiles(base=keys("base"), default={"role_arn": ROLE, "source_profile": "base", "mfa_serial": serial})
    roles: list[tuple[str, bytes]] = []

    def answer(request: Request) -> Answer:
        if request.action != "AssumeRole":
            return secret(signer(request)[0])
        roles.append((signer(request)[0], request.body))
        return Answer(200, ASSUMED.format(number=len(roles)).encode(), {"Content-Type": "text/xml"})

    serve(answer)
    wanted = {"ours": "prod/ours", "theirs": {"secret": "prod/theirs", "role": f"{ROLE}-2"}}
    (tmp_path / "keystart.json").write_text(json.dumps({"version": 1, "secrets": wanted}))
    ours, theirs = os.openpty()
    # In a session without a terminal, so that the code is read from standard input.
    pull = subprocess.Popen(
        [COMMAND, "pull"],
        env=environment(),
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert pull.stderr is not None
    said = b""
    while b"MFA code" not in said and (more := os.read(pull.stderr.fileno(), 65_536)):
        said += more
    assert not roles, "nobody is asked before the code is typed"
    os.write(ours, b"123456\n")
    _, error = pull.communicate(timeout=20)
    os.close(ours)
    os.close(theirs)
    assert pull.returncode == 0, error
    assert [key for key, _ in roles] == ["id-base", "id-of-1"], "first the profile's role, then the entry's"
    assert b"TokenCode=123456" in roles[0][1]
    assert store.values == {"ours": b"id-of-1", "theirs": b"id-of-2"}


def test_the_endpoint_that_a_profile_names_is_asked_and_checked(
    profiles: Profiles, pull: Pull, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with Stub(lambda _: secret("x")) as aws:
        profiles(mine={**keys("mine"), "endpoint_url": aws.url})
        assert pull("--profile", "mine")[0] == 0
        assert aws.actions() == ["GetSecretValue"]
    profiles(mine={**keys("mine"), "endpoint_url": "http://user:password@127.0.0.1"})
    code, _, error = pull("--profile", "mine")
    assert code == 1
    reason = "`endpoint_url` of the AWS profile mine must have no user and no password. Correct or unset it."
    assert f"): InvalidVariable: {reason}" in error


def test_the_authorities_that_a_profile_names_are_believed(
    profiles: Profiles,
    environment: Environment,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    pull = Prefetch(tmp_path, environment, fetch_as_a_person)
    body = json.dumps(
        {
            "ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3",
            "Name": "prod/db",
            "VersionId": "1",
            "SecretString": "x",
        }
    )
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with Proxy(tmp_path, lambda *_: answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        profiles(default={**keys("x"), "ca_bundle": str(proxy.authority)})
        assert pull({"db": "prod/db"}) is None
        assert store.values == {"db": b"x"}
        profiles(default={**keys("x"), "ca_bundle": "/nowhere"})
        assert pull({"db": "prod/db"}) is not None
    code, message = store.failures["db"]
    assert code == "InvalidCaBundle"
    assert message.startswith("`ca_bundle` of the AWS profile default names a file that cannot be read: ")


def test_a_token_file_of_a_profile_that_is_a_device_is_not_given_to_boto3(
    profiles: Profiles, pull: Pull, store: Store
) -> None:
    profiles(default={"role_arn": ROLE, "web_identity_token_file": "/dev/zero"})
    assert pull()[0] == 1
    what = "`web_identity_token_file` of an AWS profile names something that is not a regular file"
    assert store.failures == {"db": ("InvalidFile", f"{what}. Correct or unset it.")}


def test_optional_secrets_without_a_login_are_published_as_unavailable(
    environment: Environment, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefetch = Prefetch(tmp_path, environment, fetch_as_a_person)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert prefetch({"db": {"secret": "prod/db", "optional": True, "env": "THE_DB"}}) is None
    assert {name: code for name, (code, _) in store.unavailable.items()} == {"db": "ProfileNotFound"}
    assert store.manifest["env"] == {"THE_DB": {"secret": "db", "overwrite": False}}


def test_what_the_core_was_lent_is_zeroed_and_a_login_shows_no_credential(canary: Canaries) -> None:
    key = canary()
    login = Login(key, key, key, None, "mine")
    canary.hear(repr(login))
    lending: Any = login.lent()
    lent = lending.__enter__()
    held = list(lending.gen.gi_frame.f_locals["members"].values())
    assert [bytes(data) for data in held] == [key.encode()] * 3 + [b"mine"]
    assert (lent.session_token_len, lent.origin) == (len(key), ffi.NULL)
    lending.__exit__(None, None, None)
    assert [bytes(data) for data in held] == [bytes(len(key))] * 3 + [bytes(4)]


SQUARE = "SecretManagers: [{secrets: [%s]}]\nSecretsHome: %s\n"


def test_a_pull_that_cannot_make_its_links_changes_nothing(
    keystart: Keystart, serve: Serve, store: Store, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    aws = serve(lambda _: secret("old"))
    (tmp_path / "config.yaml").write_text(SQUARE % ("{secretname: prod/db, filename: db}", home))
    assert keystart("pull")[0] == 0
    assert (home / "db").read_text() == "old"
    serve(lambda _: secret("new"))
    (home / "other").write_text("mine")
    both = "{secretname: prod/db, filename: db}, {secretname: prod/other, filename: other}"
    (tmp_path / "config.yaml").write_text(SQUARE % (both, home))
    code, _, error = keystart("pull")
    assert code == 1
    assert error.endswith(
        f"keystart: {home}/other is in the way of the link to a secret. Move it away, or choose another SecretsHome.\n"
        "  - What was published before stays.\n"
    )
    assert (store.state["state"], store.values, (home / "db").read_text()) == ("ready", {"db": b"old"}, "old")
    assert len(aws.requests) == 1, "nothing is fetched that cannot be published"
    (home / "other").unlink()


@pytest.mark.usefixtures("private_mounts")
def test_a_pull_onto_a_full_disk_keeps_what_was_published(
    environment: Environment, serve: Serve, tmp_path: Path
) -> None:
    values = iter(["old", "x" * 65_536, "new"])
    serve(lambda _: secret(next(values)))
    (tmp_path / "store").mkdir(mode=0o700)
    home = tmp_path / "home"
    for name, file in (("first", "db"), ("second", "other")):
        one = f"{{secretname: prod/db, filename: {file}}}"
        (tmp_path / f"{name}.yaml").write_text(SQUARE % (one, home))
    script = f"""
mount -t tmpfs -o size=48k,mode=0700 tmpfs {tmp_path}/store || exit
export KEYSTART_DIR={tmp_path}/store
{COMMAND} pull first.yaml >/dev/null 2>&1; echo $?; cat {home}/db; echo
{COMMAND} pull second.yaml 2>&1 >/dev/null | tail -2; cat {home}/db; ls {home}; cat $KEYSTART_DIR/state.json
{COMMAND} pull second.yaml >/dev/null 2>&1; echo $?; cat {home}/other; ls $KEYSTART_DIR/generations
"""
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    lines = ended.stdout.splitlines()
    assert lines[:2] == ["0", "old"]
    assert "cannot be written: ENOSPC at generations/.new-2/secrets/other" in lines[2]
    assert lines[3:5] == ["  - What was published before stays.", "olddb"]
    assert '"state": "ready", "generation": 2' in lines[5]
    assert lines[7:] == ["0", "new3"]
