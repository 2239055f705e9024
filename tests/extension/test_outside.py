"""Puts the worst into the variables and files that decide which hosts are asked and which files are read."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Stub

from .conftest import Canaries, Environment, Launcher, Prefetch, Serve, Store, fetch_as_a_person

ROLE = "arn:aws:iam::123456789012:role/reader"
NO_REGION = "is not a region such as eu-west-1. Correct or unset it."
NO_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Writes the file of AWS profiles."""

    def write(text: str) -> None:
        (tmp_path / "aws-config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))

    return write


class FailedStart:
    """Starts the process, which must end by itself, and returns the failures that it reported."""

    def __init__(self, launch: Launcher, api: Lambda, store: Store) -> None:
        self._launch, self._api, self._store = launch, api, store

    def __call__(
        self, secrets: Mapping[str, Any] | None = None, /, **variables: str
    ) -> dict[str, tuple[str, str]]:
        entries = {"db": "prod/db"} if secrets is None else secrets
        code, _ = self._launch(self._api, entries, **variables).ended()
        assert code == 1
        return self._store.failures


@pytest.fixture
def failures(launch: Launcher, lambda_api: Lambda, store: Store) -> FailedStart:
    return FailedStart(launch, lambda_api, store)


HOSTS = [
    "evil.test/#",
    "127.0.0.1:PORT/#",
    "evil.test",
    "eu-west-1.evil.test#",
    "us-east-1a",
    "EU-WEST-1",
    "a\nb",
]


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("region", HOSTS)
def test_a_region_that_is_a_host_is_refused_and_not_repeated(
    variable: str, region: str, failures: FailedStart, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = serve(lambda _: secret("x"))
    monkeypatch.delenv("AWS_REGION")
    failed = failures(**{variable: region.replace("PORT", aws.address.partition(":")[2])})
    assert failed == {"db": ("InvalidRegion", f"{variable} {NO_REGION}")}
    assert aws.requests == []


def test_a_region_of_a_profile_that_is_a_host_is_refused(
    failures: FailedStart, serve: Serve, config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = serve(lambda _: secret("x"))
    monkeypatch.delenv("AWS_REGION")
    config("[default]\nregion = evil.test/x\n")
    assert failures() == {"db": ("InvalidRegion", f"`region` of the AWS profile default {NO_REGION}")}
    assert aws.requests == []


NO_SCHEME = "must begin with http:// or https://"
NO_QUERY = "must have no query and no fragment"
NO_USER = "must have no user and no password"
NO_URL = "is not a URL"
NO_HOST = "must name a host, and a port from 1 to 65535 if any"
ENDPOINTS = {
    "127.0.0.1:4566": NO_SCHEME,
    "ftp://127.0.0.1": NO_SCHEME,
    "http://127.0.0.1/?CANARY": NO_QUERY,
    "http://127.0.0.1/#CANARY": NO_QUERY,
    "http://user:CANARY@127.0.0.1": NO_USER,
    "http://127.0.0.1/\nCANARY": NO_URL,
    "http://": NO_URL,
    "http://127.0.0.1:0": NO_HOST,
    "http://127.0.0.1:": NO_HOST,
}


@pytest.mark.parametrize("url", ENDPOINTS)
@pytest.mark.parametrize(
    "variable",
    [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "AWS_ENDPOINT_URL_SSM",
        "AWS_ENDPOINT_URL_STS",
    ],
)
def test_a_variable_that_is_not_an_endpoint_is_refused_before_the_first_request(
    variable: str, url: str, failures: FailedStart, serve: Serve, canary: Canaries
) -> None:
    aws = serve(lambda _: secret("x"))
    entries = {"db": {"secret": "prod/db", "role": ROLE}, "flag": "ssm:/prod/flag"}
    why = ("InvalidVariable", f"{variable} {ENDPOINTS[url]}. Correct or unset it.")
    assert failures(entries, **{variable: url.replace("CANARY", canary())}) == {"db": why, "flag": why}
    assert aws.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "[default]\nendpoint_url = http://user:{}@127.0.0.1\n",
        "[default]\nservices = s\n[services s]\nssm =\n  endpoint_url = http://user:{}@127.0.0.1\n",
    ],
)
def test_an_endpoint_of_a_profile_that_is_none_is_refused(
    text: str,
    failures: FailedStart,
    config: Callable[[str], None],
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    config(text.format("password"))
    why = ("InvalidVariable", f"`endpoint_url` of the AWS profile default {NO_USER}. Correct or unset it.")
    assert failures() == {"db": why}


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "yes", "must be true or false"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "1", "must be true or false"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "on", "must be true or false"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "global", "must be regional or legacy"),
        ("HTTPS_PROXY", "http://user:{}@pro xy:3128", "is not the URL of a proxy"),
        ("HTTPS_PROXY", "http://user:a@{}@proxy:3128", 'must write an "@" of its user or password as %40'),
        ("https_proxy", "socks5://{}", "must begin with http:// or https://"),
        ("HTTP_PROXY", "proxy:{}", NO_HOST),
        ("ALL_PROXY", "http://user:{}@proxy:0", NO_HOST),
    ],
)
def test_another_variable_that_decides_who_is_asked_is_refused(
    variable: str, value: str, what: str, failures: FailedStart, serve: Serve, canary: Canaries
) -> None:
    aws = serve(lambda _: secret("x"))
    why = ("InvalidVariable", f"{variable} {what}. Correct or unset it.")
    # A proxy counts only for the scheme of a request.
    scheme = "https" if variable.lower() == "https_proxy" else "http"
    settings = {"AWS_ENDPOINT_URL": f"{scheme}://{aws.address}", variable: value.format(canary())}
    assert failures(**settings) == {"db": why}
    assert aws.requests == []


@pytest.mark.parametrize(
    "variables",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": "*"},
        {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": "127.0.0.1"},
        {"ALL_PROXY": "socks5://127.0.0.1:1080", "HTTP_PROXY": "{aws}"},
        {"http_proxy": "{aws}", "HTTP_PROXY": "socks5://127.0.0.1:1080"},
        {"HTTPS_PROXY": "socks5://127.0.0.1:1080"},
    ],
)
@pytest.mark.parametrize("by", ["the process", "a person"])
def test_a_proxy_that_no_request_asks_may_be_any(
    prefetch: Prefetch,
    environment: Environment,
    tmp_path: Path,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    by: str,
) -> None:
    aws = serve(lambda _: secret("x"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(aws=aws.url))
    fetch = prefetch if by == "the process" else Prefetch(tmp_path, environment, fetch_as_a_person)
    assert fetch({"db": "prod/db"}) is None
    assert len(aws.requests) == 1


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "127.0.0.1/{}", NO_SCHEME),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://user:{}@evil.test/", NO_USER),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/#{}", NO_QUERY),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.test/{}", "must be a path that begins with /"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a\n{}", "must be a path that begins with /"),
    ],
)
def test_a_container_endpoint_that_is_none_is_refused(
    variable: str,
    value: str,
    what: str,
    failures: FailedStart,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in NO_KEYS:
        monkeypatch.delenv(name)
    why = ("InvalidVariable", f"{variable} {what}. Correct or unset it.")
    assert failures(**{variable: value.format(canary())}) == {"db": why}


def test_empty_switches_are_unset(prefetch: Prefetch, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(lambda _: secret("x"))
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "")
    assert prefetch({"db": "prod/db"}) is None


@contextmanager
def unreadable(what: str, folder: Path) -> Iterator[Path]:
    """Makes a file that hangs, has no end, or is too large."""
    path = folder / "named"
    with ExitStack() as stack:
        match what:
            case "a FIFO":
                os.mkfifo(path)
            case "a device":
                path.symlink_to("/dev/zero")
            case "a folder":
                path.mkdir()
            case "a large file":
                path.write_bytes(b"#" * (1024 * 1024 + 1))
            case "a sparse file":
                with path.open("wb") as file:
                    file.truncate(1 << 40)
            case "a socket":
                listener = stack.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(str(path))
        yield path
    if what == "a sparse file":
        path.unlink()  # so that a search of all files does not hang


WRONG = {
    "a FIFO": "names something that is not a regular file",
    "a device": "names something that is not a regular file",
    "a folder": "names something that is not a regular file",
    "a large file": "names a file that has more than 1048576 bytes",
    "a sparse file": "names a file that has more than 1048576 bytes",
    "a socket": "names a file that cannot be read: ",
}
FILES = {
    "AWS_CA_BUNDLE": "InvalidCaBundle",
    "AWS_CONFIG_FILE": "InvalidFile",
    "AWS_SHARED_CREDENTIALS_FILE": "InvalidFile",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "InvalidFile",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "InvalidFile",
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("variable", FILES)
def test_a_file_that_is_none_is_refused_at_once(
    variable: str,
    what: str,
    failures: FailedStart,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    aws = serve(lambda _: secret("x"))
    if "TOKEN" in variable:
        for name in NO_KEYS:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
    with unreadable(what, tmp_path) as path:
        code, message = failures(**{variable: str(path)})["db"]
    if what == "a socket" and "TOKEN" in variable:
        assert code == "CredentialsUnavailable"  # the caller that needs it reports it
        return
    assert code == FILES[variable]
    folder = "names a folder without certificates under the names that openssl rehash makes"
    wrong = folder if (variable, what) == ("AWS_CA_BUNDLE", "a folder") else WRONG[what]
    assert message.startswith(f"{variable} {wrong}")
    assert message.endswith(". Correct or unset it.")
    assert aws.requests == []


def test_a_token_file_of_a_profile_that_is_a_device_is_refused(
    failures: FailedStart, config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NO_KEYS:
        monkeypatch.delenv(name)
    config(f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = /dev/zero\n")
    what = "`web_identity_token_file` of an AWS profile names something that is not a regular file"
    assert failures() == {"db": ("InvalidFile", f"{what}. Correct or unset it.")}


@pytest.mark.parametrize("what", ["a FIFO", "a device", "a large file"])
@pytest.mark.parametrize("variable", FILES)
def test_pull_refuses_a_file_that_is_none(
    variable: str,
    what: str,
    environment: Environment,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    aws = serve(lambda _: secret("x"))
    prefetch = Prefetch(tmp_path, environment, fetch_as_a_person)
    with unreadable(what, tmp_path) as path:
        monkeypatch.setenv(variable, str(path))
        assert prefetch({"db": "prod/db"}, deadline="2s") is not None
    assert store.failures == {"db": (FILES[variable], f"{variable} {WRONG[what]}. Correct or unset it.")}
    assert aws.requests == []


def test_pull_asks_no_other_host_for_credentials(
    environment: Environment,
    store: Store,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in NO_KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", canary())
    with Stub(lambda _: Answer(404)) as other:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", f"@{other.address}/")
        assert Prefetch(tmp_path, environment, fetch_as_a_person)({"db": "prod/db"}) is not None
        assert other.requests == []
    variable = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    why = ("InvalidVariable", f"{variable} must be a path that begins with /. Correct or unset it.")
    assert store.failures == {"db": why}
