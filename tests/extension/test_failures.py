"""Lets AWS refuse, throttle, hang and vanish, and checks the messages in the log and for readers."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.fakes.aws import Cloud, parameters, refusal, secret
from tests.fakes.front import Exchange, Fault, response
from tests.fakes.http import Answer, Request

from .conftest import Canaries, Prefetch, Serve, ServeTls, Store

FOREIGN = "A proxy, a firewall or a load balancer answered, not AWS. Check HTTPS_PROXY and AWS_ENDPOINT_URL."
QUOTA = (
    "Secrets Manager answers 10,000 GetSecretValue a second for an account in a region, and AWS does not raise that "
    "(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html): send fewer requests."
)
ALLOW = "the resource policy and the KMS key can deny it too."
KEY_OF_DB = (
    "Allow kms:Decrypt on the key of prod/db, in the role's policy (keystart iam-policy --kms-key) and in the key's, "
    "and look whether the key is enabled."
)


def test_a_required_secret_that_is_absent_publishes_nothing(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    failed = prefetch({"db": "prod/absent", "good": cloud.secret("x")})
    message = "Secrets Manager can't find the specified secret. Correct the id, the region, the account or the stage."
    assert failed is not None
    assert failed.error_type == "Extension.SecretsUnavailable"
    assert failed.lines() == [
        "Required secrets could not be fetched.",
        f"db (secret prod/absent in eu-west-1): ResourceNotFoundException: {message}",
    ]
    assert store.state["state"] == "failed"
    assert store.state["message"] == "Required secrets could not be fetched."
    assert store.failures == {"db": ("ResourceNotFoundException", message)}
    assert not store.is_published()
    assert store.leftovers() == []


@pytest.mark.parametrize("settings", [{}, {"batch": True}])
def test_a_path_that_is_not_a_secret_offers_the_parameter(
    prefetch: Prefetch, cloud: Cloud, store: Store, settings: dict[str, bool]
) -> None:
    failed = prefetch({"flags": "/prod/flags", "db": "prod/absent", "good": cloud.secret("x")}, **settings)
    assert failed is not None
    assert store.failures["flags"][1].endswith(" If it is a parameter, write ssm:/prod/flags.")
    assert "ssm:" not in store.failures["db"][1]


def test_a_name_that_is_not_a_parameter_offers_the_secret(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    assert prefetch({"db": "ssm:prod-db", "good": cloud.secret("x")}) is not None
    offer = "If it is a secret of Secrets Manager, write prod-db without ssm:, or with `secret`."
    assert store.failures["db"][1].endswith(f"Correct the id or the region. {offer}")


def test_an_optional_secret_that_is_absent_is_listed_and_logged(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    wanted = {"flags": {"secret": "prod/absent", "optional": True}, "good": cloud.secret(canary())}
    assert prefetch(wanted) is None
    message = "Secrets Manager can't find the specified secret. Correct the id, the region, the account or the stage."
    assert store.unavailable == {"flags": ("ResourceNotFoundException", message)}
    warning, published = canary.said().splitlines()
    assert warning == (
        "[keystart] WARN  The optional secret flags (secret prod/absent in eu-west-1) is not available: "
        f"ResourceNotFoundException: {message}"
    )
    assert published.startswith("[keystart] INFO  published 1 secret as generation 1 in ")


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            refusal(400, "AccessDeniedException", "User: u is not authorized"),
            "AccessDeniedException",
            f"User: u is not authorized. Allow secretsmanager:GetSecretValue on prod/db; {ALLOW}",
        ),
        (
            refusal(400, "ExpiredTokenException", "The security token included in the request is expired"),
            "ExpiredTokenException",
            "The security token included in the request is expired. On your own machine log in again. In a new "
            "environment of Lambda something sets other credentials than the role's: look for AWS_ in the "
            "function's variables and in what starts the extension.",
        ),
        (
            refusal(400, "DecryptionFailure", ""),
            "DecryptionFailure",
            f"The service named no reason. {KEY_OF_DB}",
        ),
        (
            Answer(body=b"<html>Log in to the network: CANARY</html>"),
            "InvalidAnswer",
            "The endpoint's answer to secretsmanager:GetSecretValue on prod/db is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
        (
            Answer(body=b'{"SecretString": "CANARY"}'),
            "InvalidAnswer",
            "The endpoint's answer to secretsmanager:GetSecretValue on prod/db is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
    ],
)
def test_what_asking_again_cannot_cure_is_asked_once(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, answer: Answer, code: str, message: str
) -> None:
    body = answer.body.replace(b"CANARY", canary().encode())
    aws = serve(lambda _: Answer(answer.status, body, answer.headers))
    assert prefetch({"db": "prod/db"}) is not None
    assert store.failures == {"db": (code, message)}
    assert aws.actions() == ["GetSecretValue"]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            refusal(400, "ThrottlingException", "Rate exceeded"),
            "ThrottlingException",
            f"Rate exceeded. {QUOTA}",
        ),
        (refusal(500, "InternalServiceError", "We failed."), "InternalServiceError", "We failed."),
        (Answer(503, b"<html>busy</html>"), "503", f"Service Unavailable. {FOREIGN}"),
        (None, "ConnectionFailed", "{host} closed the connection before it had sent its whole answer."),
    ],
)
def test_what_asking_again_may_cure_is_asked_until_the_deadline(
    prefetch: Prefetch, serve: Serve, store: Store, answer: Answer | None, code: str, message: str
) -> None:
    aws = serve(lambda _: answer)
    began = time.monotonic()
    assert prefetch({"db": "prod/db"}, deadline="3s") is not None
    assert time.monotonic() - began < 8, "the deadline is 3 seconds"
    assert store.failures == {"db": (code, message.format(host=aws.address))}
    assert len(aws.requests) > 1


def test_an_endpoint_that_is_throttled_and_then_hangs_is_reported_by_what_it_said(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    released = threading.Event()
    refusals = iter([refusal(400, "ThrottlingException", "Rate exceeded")])

    def answer(_: Request) -> Answer | None:
        refused = next(refusals, None)
        if refused is None:
            released.wait()
        return refused

    serve(answer)
    assert prefetch({"db": "prod/db", "same": "prod/db"}, deadline="3s") is not None
    released.set()
    why = ("ThrottlingException", f"Rate exceeded. {QUOTA}")
    assert store.failures == {"db": why, "same": why}


def test_a_secret_that_is_throttled_twice_is_published(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries
) -> None:
    value = canary()
    refusals = iter([refusal(400, "ThrottlingException", "Rate exceeded"), Answer(500)])
    aws = serve(lambda _: next(refusals, secret(value)))
    assert prefetch({"db": "prod/db"}) is None
    assert store.values == {"db": value.encode()}
    assert len(aws.requests) == 3


def test_after_an_error_of_a_server_another_connection_is_opened(
    prefetch: Prefetch, cloud: Cloud, serve_tls: ServeTls, store: Store, canary: Canaries
) -> None:
    """Behind a load balancer, a connection leads to one server as long as it lasts."""
    value = canary()
    first: list[socket.socket] = []

    def fail_on_the_first(exchange: Exchange) -> None:
        first.append(exchange.connection)
        is_first = exchange.connection is first[0]
        exchange.send(response(503, b"busy", "text/html") if is_first else exchange.answer())

    serve_tls(Fault(fail_on_the_first))
    assert prefetch({"db": cloud.secret(value)}) is None, store.failures
    assert store.values == {"db": value.encode()}
    assert first.count(first[0]) == 1


@pytest.mark.alone
def test_a_refused_connection_is_reported_with_the_cure(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes the port, and it refuses
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    host = url.removeprefix("http://")
    message = f"{host} cannot be reached: Connection refused. Check AWS_ENDPOINT_URL."
    assert store.failures == {"db": ("ConnectionFailed", message)}


def test_an_endpoint_that_never_answers_takes_no_longer_than_the_deadline(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        host = f"127.0.0.1:{black_hole.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
        began = time.monotonic()
        assert prefetch({"db": "prod/db"}, deadline="300ms") is not None
        assert time.monotonic() - began < 5, "the deadline is 0.3 seconds"
    message = f"No answer from {host} within the deadline of 0.3 s. Check AWS_ENDPOINT_URL."
    assert store.failures == {"db": ("DeadlineExceeded", message)}


def test_a_role_that_hangs_holds_up_nobody_else(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    released = threading.Event()

    def answer(request: Request) -> Answer | None:
        if request.action == "AssumeRole":
            released.wait()
            return None
        return secret("x")

    aws = serve(answer)
    role = "arn:aws:iam::123456789012:role/reader"
    theirs = {"secret": "theirs", "role": role, "optional": True}
    assert prefetch({"theirs": theirs, "ours": "ours"}, deadline="2s") is None
    released.set()
    assert store.values == {"ours": b"x"}
    assert store.unavailable == {
        "theirs": (
            "DeadlineExceeded",
            f"No answer from {aws.address} within the deadline of 2 s. Check AWS_ENDPOINT_URL.",
        )
    }


def test_a_role_that_may_not_be_assumed_is_reported_with_the_permission(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    error = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>No</Message></Error></ErrorResponse>"
    aws = serve(lambda _: Answer(403, error, {"Content-Type": "text/xml"}))
    role = "arn:aws:iam::123456789012:role/reader"
    assert prefetch({"db": {"secret": "prod/db", "role": role}}) is not None
    assert store.failures == {"db": ("AccessDenied", f"No. Allow sts:AssumeRole on {role}; {ALLOW}")}
    assert aws.actions() == ["AssumeRole"]


def test_one_denied_parameter_does_not_take_the_others_down(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    def answer(request: Request) -> Answer:
        names: list[str] = request.json["Names"]
        if "/p3" in names:
            return refusal(400, "AccessDeniedException", "User: u is not authorized")
        return parameters({name: name for name in names})

    aws = serve(answer)
    wanted = {f"p{number}": {"parameter": f"/p{number}", "optional": True} for number in range(10)}
    assert prefetch(wanted) is None
    assert sorted(store.values) == [name for name in wanted if name != "p3"]
    message = (
        "User: u is not authorized. Allow ssm:GetParameters on /p3, and kms:Decrypt on the key of a SecureString; "
        + ALLOW
    )
    assert store.unavailable == {"p3": ("AccessDeniedException", message)}
    assert len(aws.requests) == 11


def test_nothing_is_asked_after_the_deadline(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    released = threading.Event()

    def answer(_request: Request) -> Answer | None:
        released.wait()
        return None

    aws = serve(answer)
    # Long enough for a busy machine to begin everything that may be in flight at once.
    assert prefetch({f"s{number}": f"id-{number}" for number in range(80)}, deadline="4s") is not None
    released.set()
    assert len(store.failures) == 80
    assert {code for code, _ in store.failures.values()} == {"DeadlineExceeded"}
    assert len({request.json["SecretId"] for request in aws.requests}) == 64


def test_without_a_region_the_cure_is_reported(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert prefetch({"db": "prod/db"}) is not None
    assert store.failures == {"db": ("NoRegion", "No region is known. Set `region:` or AWS_REGION.")}


def test_an_optional_secret_that_is_too_large_ends_no_start(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    serve(lambda request: secret("x" * (1_048_577 if request.json["SecretId"] == "large" else 1)))
    large = {"secret": "large"}
    reason = 'The secret "large" has 1048577 bytes, and 1048576 is the most that can be stored.'
    why = ("SecretTooLarge", f"{reason} Make it smaller, or split it.")
    assert prefetch({"large": {**large, "optional": True}, "small": "small"}) is None
    assert (store.values, store.unavailable) == ({"small": b"x"}, {"large": why})
    assert prefetch({"large": large, "small": "small"}) is not None
    assert store.failures == {"large": why}


def test_an_optional_secret_that_no_variable_can_hold_ends_no_start(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    serve(lambda _: secret("x\0"))
    entry = {"secret": "key", "env": "THE_KEY"}
    assert prefetch({"key": {**entry, "optional": True}, "plain": "plain"}) is None
    assert store.values == {"plain": b"x\0"}
    reason = 'The secret "key" holds a NUL byte, which no variable can: THE_KEY cannot be set.'
    assert store.unavailable == {"key": ("NoVariable", f"{reason} Remove its env: and read it as bytes.")}
    # The exec wrapper refuses a required one. Whoever reads it as bytes needs no variable.
    assert prefetch({"key": entry, "plain": "plain"}) is None


@pytest.mark.alone
@pytest.mark.parametrize("refused", [Answer(429), refusal(400, "ThrottlingException", "Rate exceeded")])
def test_while_there_are_too_many_requests_one_asks_for_all(
    prefetch: Prefetch, serve: Serve, store: Store, refused: Answer
) -> None:
    began: list[float] = []

    def answer(_: Request) -> Answer:
        began.append(time.monotonic())
        return refused if began[-1] - began[0] < 0.5 else secret("x")

    aws = serve(answer)
    assert prefetch({f"s{number}": f"id-{number}" for number in range(30)}, deadline="20s") is None
    assert len(store.values) == 30
    in_vain = len(aws.requests) - 30
    assert 30 <= in_vain < 45, "each by itself would ask 30 times more after each pause"


GET = "secretsmanager:GetSecretValue on prod/db"
USER = "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: "
PERHAPS_MISSING = (
    "AWS names no ARN, so perhaps there is no such secret in this region and account: look there first. If there is, "
    f"allow {GET}."
)
# What AWS says of a denial, and what to do.
DENIALS = [
    ("AccessDeniedException", "Access to KMS is not allowed", KEY_OF_DB),
    (
        "AccessDeniedException",
        f"{USER}kms:Decrypt on resource: arn:aws:kms:eu-west-1:123456789012:key/x because no identity-based policy "
        "allows the kms:Decrypt action",
        KEY_OF_DB,
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/KMS/db because no identity-based policy allows the "
        "secretsmanager:GetSecretValue action",
        PERHAPS_MISSING,
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
        "prod/db-a1B2c3 because no identity-based policy allows it",
        f"Allow {GET}; {ALLOW}",
    ),
    ("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text", KEY_OF_DB),
    ("KMSInvalidStateException", "The key is disabled", KEY_OF_DB),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/db with an explicit deny in a service control policy",
        "A Deny in the policy that AWS names is stronger than any Allow. Remove it there.",
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/db because no VPC endpoint policy allows it",
        f"Allow {GET} in the policy of the VPC endpoint.",
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/db because no permissions boundary allows it",
        f"Allow {GET} in the permissions boundary of the role.",
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/db because no service control policy allows it",
        f"Allow {GET} in the service control policy of the organization.",
    ),
    (
        "AccessDeniedException",
        f"{USER}secretsmanager:GetSecretValue on resource: prod/db because no identity-based policy allows it",
        PERHAPS_MISSING,
    ),
]


@pytest.mark.parametrize(("code", "said", "cure"), DENIALS)
def test_a_denial_names_the_action_that_is_missing(
    prefetch: Prefetch, serve: Serve, store: Store, code: str, said: str, cure: str
) -> None:
    serve(lambda _: refusal(400, code, said))
    assert prefetch({"db": "prod/db"}) is not None
    assert store.failures == {"db": (code, f"{said}. {cure}")}
