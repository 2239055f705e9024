"""Takes credentials from every source that Lambda has, and checks which requests use which."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fakes.aws import REGION, container_credentials, refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Stub

from .conftest import EACH_WAY, Canaries, Launcher, Prefetch, Serve, Store

NONE = (
    "NoCredentials",
    "There are no AWS credentials. In Lambda something removed its AWS_ variables before the extension started, such "
    "as a script in an image; on your own machine log in, or set AWS_PROFILE.",
)

EXPIRED = (
    "ExpiredTokenException",
    "The credentials have expired. On your own machine log in again. In a new environment of Lambda something sets "
    "other credentials than the role's: look for AWS_ in the function's variables and in what starts the extension.",
)


def signer(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Returns the key id, the region and the session token of a request."""
    scope = headers["Authorization"].partition("Credential=")[2].split("/")
    return scope[0], scope[2], headers["X-Amz-Security-Token"]


@EACH_WAY
def test_they_come_from_the_environment_of_lambda(
    prefetch: Prefetch, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-from-environment")
    aws = serve(lambda _: secret("x"))
    with Stub(lambda _: container_credentials("unused")) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        assert prefetch({"db": "prod/db"}) is None
        assert container.requests == []
    assert signer(aws.requests[0].headers) == ("from-environment", REGION, "token-from-environment")


@EACH_WAY
@pytest.mark.parametrize("as_file", [False, True])
def test_under_snapstart_they_come_from_the_container_endpoint(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    without_keys: None,
    tmp_path: Path,
    as_file: bool,
) -> None:
    token, key = canary(), canary()
    if as_file:
        file = tmp_path / "secrets" / "token"  # where a canary may be
        file.parent.mkdir()
        file.write_text(token)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
    else:
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
    with Stub(lambda _: container_credentials(key)) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        aws = serve(lambda _: secret("x"))
        assert prefetch({"db": "prod/db", "other": "prod/other"}) is None
        asked = [(request.path, request.headers["Authorization"]) for request in container.requests]
        assert asked == [("/credentials", token)]
    signers = {signer(request.headers) for request in aws.requests}
    assert signers == {("from-container", REGION, "token-from-container")}
    assert store.values == {"db": b"x", "other": b"x"}


@EACH_WAY
@pytest.mark.parametrize(
    "answer", [(403, "{}"), (500, "KEY"), (200, "KEY"), (200, '{"SecretAccessKey": "KEY"}')]
)
def test_a_container_endpoint_that_returns_none_is_reported_without_its_answer(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    without_keys: None,
    canary: Canaries,
    answer: tuple[int, str],
) -> None:
    body = answer[1].replace("KEY", canary()).encode()
    with Stub(lambda _: Answer(answer[0], body, {"Content-Type": "application/json"})) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        assert prefetch({"db": "prod/db"}) is not None
        assert container.requests
    assert store.failures["db"][0] == "CredentialsUnavailable"
    assert not store.is_published()


@EACH_WAY
def test_expired_ones_of_the_container_endpoint_are_reported_and_nobody_is_asked_with_them(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    without_keys: None,
    canary: Canaries,
) -> None:
    key = canary()
    with Stub(lambda _: container_credentials(key, Expiration="2016-01-01T00:00:00Z")) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        aws = serve(lambda _: secret("x"))
        assert prefetch({"db": "prod/db", "other": "prod/other"}) is not None
        assert container.requests
    assert store.failures == {"db": EXPIRED, "other": EXPIRED}
    assert aws.requests == []


@EACH_WAY
def test_expired_ones_of_the_environment_are_reported(
    prefetch: Prefetch, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only boto3 reads this variable. For the process, the service reports it.
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2016-01-01T00:00:00Z")
    serve(lambda _: refusal(400, EXPIRED[0], "The credentials have expired"))
    assert prefetch({"db": "prod/db"}) is not None
    assert store.failures == {"db": EXPIRED}


@pytest.mark.alone
@EACH_WAY
def test_a_container_endpoint_of_another_machine_is_not_asked_without_tls(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch, without_keys: None, canary: Canaries
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", canary())
    began = time.monotonic()
    assert prefetch({"db": "prod/db"}, deadline="8s") is not None
    assert time.monotonic() - began < 2, "nothing was waited for"
    assert store.failures["db"][0] == "CredentialsUnavailable"


def test_in_lambda_missing_ones_are_reported_at_once_and_no_metadata_is_requested(
    launch: Launcher,
    lambda_api: Lambda,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    without_keys: None,
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with Stub(lambda _: Answer(404)) as metadata:
        extension = launch(
            lambda_api,
            {"db": "prod/db"},
            AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url,
        )
        code, lines = extension.ended()
        assert metadata.requests == []
    assert code == 1
    assert lines == [
        "[keystart] ERROR Required secrets could not be fetched.",
        f"[keystart] ERROR db (secret prod/db in eu-west-1): {NONE[0]}: {NONE[1]}",
    ]
    assert store.failures == {"db": NONE}


@EACH_WAY
def test_half_of_a_key_is_none(prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert prefetch({"db": "prod/db"}) is not None
    assert store.failures == {"db": NONE}


@pytest.mark.alone
def test_a_credentials_endpoint_that_never_answers_takes_no_longer_than_the_deadline(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch, without_keys: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"http://127.0.0.1:{black_hole.getsockname()[1]}/"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        began = time.monotonic()
        assert prefetch({"a": "a", "b": "b"}, deadline="300ms") is not None
        assert time.monotonic() - began < 1.9, "the deadline is 0.3 seconds"
    host = url.removeprefix("http://").rstrip("/")
    reason = f"No answer from {host} within the deadline of 0.3 s. Check AWS_CONTAINER_CREDENTIALS_FULL_URI."
    why = ("DeadlineExceeded", reason)
    assert store.failures == {"a": why, "b": why}
