"""Breaks what a person's login reads: it is refused by its name, at once, before anybody is asked.

The fixture `canary` searches all output for what the broken values hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from keystart_extension.aws import AwsError, fetch, session

from tests.fakes.aws import secret

from .conftest import Canaries, Environment, Keystart, Prefetch, Serve, fetch_as_a_person

LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:keystart:1"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "pull": ("pull",),
    "attach": ("attach", "function", "--layer", LAYER, "--yes"),
    "detach": ("detach", "function", "--yes"),
}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NO_REGION = "is not a region such as eu-west-1. Correct or unset it."
Refused = Callable[..., str]


@pytest.fixture(params=["a fetch", "a client of Lambda"])
def refused(
    request: pytest.FixtureRequest, environment: Environment, serve: Serve, canary: Canaries, tmp_path: Path
) -> Refused:
    """Logs in to fetch, or to call Lambda, which must fail before anybody is asked; returns what is said."""
    aws = serve(lambda _: secret("x"))
    plan = Prefetch(tmp_path, environment, fetch_as_a_person).plan
    is_fetch = request.param == "a fetch"

    def refused(profile: str | None = None) -> str:
        if is_fetch:
            said = str(fetch.fetch(plan({"db": "prod/db"}), profile).failures()[0]).partition("): ")[2]
        else:
            with pytest.raises(AwsError) as error:
                session.Clients(None, profile)
            said = str(error.value)
        canary.hear(said)
        assert aws.requests == []
        return said

    return refused


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_logs_in_refuses_it_in_one_line(
    keystart: Keystart, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    aws = serve(lambda _: secret("x"))
    (tmp_path / "keystart.json").write_text(json.dumps({"version": 1, "secrets": {"db": "prod/db"}}))
    monkeypatch.setenv("AWS_REGION", "us-east-1a")
    code, out, error = keystart(*COMMANDS[command])
    assert (code, out) == (1, "")
    assert error.splitlines()[-1].endswith(f": InvalidRegion: AWS_REGION {NO_REGION}")
    assert aws.requests == []


@pytest.fixture
def profiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: Environment
) -> Callable[[str], None]:
    """Writes the file of AWS profiles, and removes the keys from the environment."""

    def write(text: str) -> None:
        assert environment()
        for name in KEYS:
            monkeypatch.delenv(name)
        folder = tmp_path / "secrets"  # where a canary may be
        folder.mkdir()
        (folder / "config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))

    return write


@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ("{}\n", "a line break"),
        ("\r{}", "a line break"),
        ("\x01{}", "a character that is not printable ASCII"),
        ("{}\x7f", "a character that is not printable ASCII"),
        ("{} x", "a space"),
    ],
)
def test_a_credential_with_a_wrong_character_is_refused_by_the_name_of_its_variable(
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    variable: str,
    value: str,
    flaw: str,
) -> None:
    monkeypatch.setenv(variable, value.format(canary()))
    reason = f"InvalidCredentials: {variable} holds {flaw}, which no credential has. Set it again without it."
    assert refused() == reason


@pytest.mark.parametrize("key", ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"])
@pytest.mark.parametrize("chosen", ["--profile", "AWS_PROFILE"])
def test_a_credential_with_a_wrong_character_is_refused_by_the_name_of_its_profile(
    refused: Refused,
    profiles: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    key: str,
    chosen: str,
) -> None:
    values = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", key: f"\x02{canary()}"}
    profiles("[profile dev]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    if chosen == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", "dev")
        said = refused()
    else:
        said = refused("dev")
    member = key.removeprefix("aws_").replace("_", " ")
    flaw = "holds a character that is not printable ASCII, which none has. Correct it there."
    assert said == f"InvalidCredentials: The {member} from the AWS profile dev {flaw}"


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("value", ["us-east-1a", "{}/x", "{}\n", "\x01{}", " us-east-1"])
def test_a_region_that_is_none_is_refused_by_the_name_of_its_variable(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, canary: Canaries, variable: str, value: str
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv(variable, value.format(canary()))
    assert refused() == f"InvalidRegion: {variable} {NO_REGION}"


@pytest.mark.parametrize("value", ["us-east-1a", "{}.test/x", "{}\x01"])
def test_a_region_that_is_none_is_refused_by_the_name_of_its_profile(
    refused: Refused,
    profiles: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    value: str,
) -> None:
    monkeypatch.delenv("AWS_REGION")
    profiles(f"[profile dev]\nregion = {value.format(canary())}\n")
    said = refused("dev")
    assert said == f"InvalidRegion: `region` of the AWS profile dev {NO_REGION}"


@pytest.mark.parametrize("region", ["us-east-1a", "evil.test/#"])
def test_a_region_of_the_command_line_that_is_none_is_refused(environment: Environment, region: str) -> None:
    assert environment()
    with pytest.raises(AwsError, match="InvalidRegion: --region is not a region such as eu-west-1"):
        session.Clients(region, None)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("AWS_ENDPOINT_URL", "127.0.0.1:4566", "must begin with http:// or https://"),
        ("AWS_ENDPOINT_URL_LAMBDA", "localhost", "must begin with http:// or https://"),
        ("AWS_ENDPOINT_URL_STS", "http://user:{}@127.0.0.1", "must have no user and no password"),
        ("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1/?{}", "must have no query and no fragment"),
        ("HTTP_PROXY", "socks5://{}", "must begin with http:// or https://"),
        ("https_proxy", "http://user:{}@pro xy", "is not the URL of a proxy"),
        ("AWS_USE_FIPS_ENDPOINT", "yes", "must be true or false"),
    ],
)
def test_a_variable_that_decides_who_is_asked_is_refused(
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    variable: str,
    value: str,
    what: str,
) -> None:
    if variable == "https_proxy":  # which counts only where something is asked with TLS
        monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, value.format(canary()))
    assert refused() == f"InvalidVariable: {variable} {what}. Correct or unset it."


SSO = "sso_region = eu-west-1\nsso_start_url = https://x.test/start\n"
OF_SSO = "sso_account_id = 123456789012\nsso_role_name = reader\n"
SESSION_NOT_USABLE: Mapping[str, tuple[str, str]] = {
    "SSO without a login": (
        f"[profile dev]\nsso_session = s\n{OF_SSO}[sso-session s]\n{SSO}",
        "ExpiredTokenException: Nobody is logged in for the AWS profile dev. Run: aws sso login --profile dev",
    ),
    "SSO of the old kind": (
        f"[profile dev]\n{OF_SSO}{SSO}",
        "ExpiredTokenException: Nobody is logged in for the AWS profile dev. Run: aws sso login --profile dev",
    ),
    "SSO by way of another profile": (
        "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n"
        f"[profile base]\n{OF_SSO}{SSO}",
        "ExpiredTokenException: Nobody is logged in for the AWS profile dev. Run: aws sso login --profile base",
    ),
    "a process that does not exist": (
        "[profile dev]\ncredential_process = /no/such/program\n",
        "CredentialsUnavailable: The process that the AWS profile dev names cannot be started: "
        "No such file or directory.",
    ),
    "a process that fails": (
        "[profile dev]\ncredential_process = sh -c 'echo CANARY; echo CANARY >&2; exit 3'\n",
        "CredentialsUnavailable: The process that the AWS profile dev names returned no credentials.",
    ),
    "a process that prints a page": (
        "[profile dev]\ncredential_process = echo CANARY\n",
        "CredentialsUnavailable: The process that the AWS profile dev names returned no credentials.",
    ),
    "a process that prints a list": (
        "[profile dev]\ncredential_process = echo '[\"CANARY\"]'\n",
        "CredentialsUnavailable: The process that the AWS profile dev names returned no credentials.",
    ),
    "a token file that does not exist": (
        "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = /no/such/CANARY\n",
        "CredentialsUnavailable: A file that the AWS profile dev names cannot be read: No such file or directory.",
    ),
    "a profile that leads to none": (
        "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = CANARY\n",
        "CredentialsUnavailable: The AWS profile dev names no source of credentials, or a wrong one. Correct it.",
    ),
}


@pytest.mark.parametrize("kind", SESSION_NOT_USABLE)
def test_a_profile_that_brings_no_credentials_is_named_with_the_cure(
    refused: Refused, profiles: Callable[[str], None], canary: Canaries, kind: str
) -> None:
    text, reason = SESSION_NOT_USABLE[kind]
    profiles(text.replace("CANARY", canary()))
    assert refused("dev") == reason


@pytest.mark.parametrize("command", COMMANDS)
def test_a_code_of_mfa_that_nobody_can_type_is_said_in_one_line(
    keystart: Keystart, serve: Serve, profiles: Callable[[str], None], tmp_path: Path, command: str
) -> None:
    aws = serve(lambda _: secret("x"))
    (tmp_path / "keystart.json").write_text(json.dumps({"version": 1, "secrets": {"db": "prod/db"}}))
    profiles(
        "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        "[profile base]\naws_access_key_id = made-up\naws_secret_access_key = made-up\n"
    )
    code, _, error = keystart(*COMMANDS[command], "--profile", "dev")
    assert code == 1
    assert "Traceback" not in error
    assert error.endswith(
        "CredentialsUnavailable: The AWS profile dev asks for a code of MFA, and there is no terminal to type it at. "
        "Run this at a terminal, or set the variables that `aws configure export-credentials --format env` prints.\n"
    )
    assert aws.requests == []
