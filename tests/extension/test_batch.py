"""Fetches with `batch: true`: fewer calls, and the same store, codes and messages as without it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import REGION, Cloud, batch, refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Request, Stub, forward

from .conftest import Canaries, Launcher, Prefetch, Serve, Store

ALLOW = "the resource policy and the KMS key can deny it too."
CONFUSED = "Check AWS_ENDPOINT_URL, or set `batch: false`."
THROTTLED = refusal(400, "ThrottlingException", "Rate exceeded")


def arn(name: str, account: str = "123456789012") -> str:
    return f"arn:aws:secretsmanager:{REGION}:{account}:secret:{name}-a1B2c3"


def error(secret_id: str, code: str, message: str = "It is so") -> dict[str, str]:
    return {"SecretId": secret_id, "ErrorCode": code, "Message": message}


def changed(**changes: Any) -> Answer:
    """Returns an answer for the secret `db`, with some members changed or, with None, missing."""
    members = json.loads(batch({arn("db"): "CANARY"}).body)["SecretValues"][0] | changes
    kept = {name: value for name, value in members.items() if value is not None}
    return Answer(body=json.dumps({"SecretValues": [kept]}).encode())


def asked(stub: Stub) -> list[list[str]]:
    """Returns the ids of each call of BatchGetSecretValue."""
    calls = [request for request in stub.requests if request.action == "BatchGetSecretValue"]
    return [request.json["SecretIdList"] for request in calls]


def alone(stub: Stub) -> list[str]:
    """Returns the ids in the calls of GetSecretValue."""
    calls = [request for request in stub.requests if request.action == "GetSecretValue"]
    return sorted(request.json["SecretId"] for request in calls)


def without_times(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: {**entry, "fetched_at": None} for name, entry in manifest["secrets"].items()}


def test_secrets_are_requested_twenty_at_a_time(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, moto: str
) -> None:
    values = {f"s{number}": f"value {number}" for number in range(41)}
    wanted = {name: cloud.secret(value) for name, value in values.items()}
    counting = serve(lambda request: forward(request, moto))
    assert prefetch(wanted, batch=True) is None
    assert sorted(len(ids) for ids in asked(counting)) == [20, 20]
    assert len(alone(counting)) == 1, "a batch of one would need one permission more"
    assert store.values == {name: value.encode() for name, value in values.items()}


def test_the_store_is_the_one_that_single_calls_give(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, moto: str, canary: Canaries
) -> None:
    text, members = cloud.secret(f"{canary()}ß\n"), cloud.secret('{"user": "u", "port": 5432}')
    known = [
        cloud.secrets.describe_secret(SecretId=made)["Name"]
        for made in (cloud.secret("a"), cloud.secret("b"))
    ]
    wanted = {
        "text": text,
        "again": text,
        "partial": cloud.secret("by partial ARN")[:-7],
        "binary": cloud.secret(b"\0\xff"),
        "all": {"secret": members, "expand": True},
        "port": {"secret": members, "field": "port"},
        "wrong": {"secret": members, "field": "absent", "optional": True},
        "first": known[0],
        "second": known[1],
    }
    assert prefetch(wanted, region=REGION) is None
    single = store.values, without_times(store.manifest), store.unavailable
    counting = serve(lambda request: forward(request, moto))
    assert prefetch(wanted, batch=True, region=REGION) is None
    assert (store.values, without_times(store.manifest), store.unavailable) == single
    assert sorted(len(ids) for ids in asked(counting)) == [2, 4], "names and ARNs are two batches"
    assert alone(counting) == []


def test_what_a_batch_cannot_request_is_requested_alone(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, moto: str
) -> None:
    older, here, role = cloud.secret("old"), cloud.secret("here"), "arn:aws:iam::123456789012:role/reader"
    version = cloud.secrets.put_secret_value(SecretId=older, SecretString="new")["VersionId"]
    wanted = {
        "now": older,
        "here": here,
        "before": {"secret": older, "stage": "AWSPREVIOUS"},
        "pinned": {"secret": older, "version_id": version},
        "theirs": {"secret": here, "role": role},
        "theirs-too": {"secret": older, "role": role},
        "elsewhere": {"secret": "elsewhere", "optional": True},
    }
    counting = serve(lambda request: forward(request, moto))
    assert prefetch(wanted, batch=True, region="us-east-1") is None
    assert [sorted(ids) for ids in asked(counting)] == [sorted([older, here])] * 2, "one for each role"
    assert alone(counting) == sorted([older, older, "elsewhere"])
    assert store.values == {
        "now": b"new",
        "here": b"here",
        "before": b"old",
        "pinned": b"new",
        "theirs": b"here",
        "theirs-too": b"new",
    }


def test_the_process_asks_so_with_a_compiled_configuration(
    launch: Launcher,
    lambda_api: Lambda,
    prefetch: Prefetch,
    serve: Serve,
    cloud: Cloud,
    store: Store,
    moto: str,
    tmp_path: Path,
) -> None:
    wanted = {"db": cloud.secret("1"), "key": cloud.secret("2")}
    file = tmp_path / "compiled.json"
    file.write_text(prefetch.plan(wanted, batch=True).compiled())
    counting = serve(lambda request: forward(request, moto))
    extension = launch(lambda_api, {}, KEYSTART_CONFIG=str(file))
    lambda_api.wait_for("/event/next")
    assert store.values == {"db": b"1", "key": b"2"}
    assert counting.actions() == ["BatchGetSecretValue"]
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


def test_one_name_in_two_accounts_is_two_batches(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    ours, theirs = "123456789012", "999999999999"

    def answer(request: Request) -> Answer:
        asked = [one if one.startswith("arn:") else arn(one, ours) for one in request.json["SecretIdList"]]
        return batch({one: f"of {ours if ours in one else theirs}" for one in asked})

    aws = serve(answer)
    wanted = {"db": "db", "key": "key", "their-db": arn("db", theirs), "their-key": arn("key", theirs)}
    assert prefetch(wanted, batch=True, region=REGION) is None
    assert store.values == {
        "db": b"of 123456789012",
        "key": b"of 123456789012",
        "their-db": b"of 999999999999",
        "their-key": b"of 999999999999",
    }
    assert aws.actions() == ["BatchGetSecretValue"] * 2


@pytest.mark.parametrize("optional", [True, False])
def test_what_is_absent_is_reported_as_without_a_batch(
    prefetch: Prefetch, cloud: Cloud, store: Store, optional: bool
) -> None:
    deleted = cloud.secret("x")
    cloud.secrets.delete_secret(SecretId=deleted)
    absent = {"name": "test/absent", "arn": arn("test/absent"), "deleted": deleted}
    wanted = {name: {"secret": one, "optional": optional} for name, one in absent.items()}
    reasons = []
    for whether in (False, True):
        assert (prefetch({"good": cloud.secret("x"), **wanted}, batch=whether) is None) == optional
        reasons.append(store.unavailable if optional else store.failures)
    assert reasons[0] == reasons[1]
    assert [reasons[1][name][0] for name in absent] == [
        "ResourceNotFoundException",
        "ResourceNotFoundException",
        "InvalidRequestException",
    ]


def test_a_denied_batch_names_its_own_permission(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    aws = serve(lambda _: refusal(400, "AccessDeniedException", "User: u is not authorized"))
    assert prefetch({"db": "prod/db", "key": "prod/key"}, batch=True) is not None
    message = (
        "User: u is not authorized. Allow secretsmanager:BatchGetSecretValue on *; "
        "the policy of a VPC endpoint can deny it too."
    )
    why = ("AccessDeniedException", message)
    assert store.failures == {"db": why, "key": why}
    assert aws.actions() == ["BatchGetSecretValue"]


def test_a_secret_that_is_denied_in_a_batch_is_reported_as_without_one(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return refusal(400, "AccessDeniedException", "User: u is not authorized")
        return batch(
            {arn("good"): "x"}, [error("denied", "AccessDeniedException", "User: u is not authorized")]
        )

    aws = serve(answer)
    wanted = {"good": "good", "denied": {"secret": "denied", "optional": True}}
    assert prefetch(wanted, batch=True) is None
    message = f"User: u is not authorized. Allow secretsmanager:GetSecretValue on denied; {ALLOW}"
    assert store.values == {"good": b"x"}
    assert store.unavailable == {"denied": ("AccessDeniedException", message)}
    assert aws.actions() == ["BatchGetSecretValue", "GetSecretValue"]


def test_a_secret_of_another_account_which_no_batch_reads_is_published(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    theirs = [arn(name, "999999999999") for name in ("db", "key")]

    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return secret("theirs")
        return batch({}, [error(one, "AccessDeniedException") for one in theirs])

    serve(answer)
    assert prefetch(dict(zip(("db", "key"), theirs, strict=True)), batch=True) is None
    assert store.values == {"db": b"theirs", "key": b"theirs"}


@pytest.mark.parametrize(
    "first",
    [
        THROTTLED,
        refusal(500, "InternalServiceError", "We failed."),
        Answer(503),
        None,
    ],
)
def test_a_batch_that_fails_is_requested_again(
    prefetch: Prefetch, serve: Serve, store: Store, first: Answer | None
) -> None:
    answers = iter([first, first])
    good = batch({arn("db"): "1", arn("key"): "2"})
    aws = serve(lambda _: next(answers, good))
    assert prefetch({"db": "db", "key": "key"}, batch=True) is None
    assert store.values == {"db": b"1", "key": b"2"}
    assert aws.actions() == ["BatchGetSecretValue"] * 3


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServiceError"])
def test_a_secret_that_fails_in_a_batch_is_requested_again(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    code: str,
) -> None:
    monkeypatch.setenv("KEYSTART_LOG_LEVEL", "DEBUG")
    value, throttled = canary(), iter([THROTTLED])

    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return next(throttled, secret(value))
        return batch({arn("db"): "1"}, [error("key", code)])

    aws = serve(answer)
    assert prefetch({"db": "db", "key": "key"}, batch=True) is None
    assert store.values == {"db": b"1", "key": value.encode()}
    assert aws.actions() == ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue"]
    first, second, _ = canary.said().splitlines()
    assert first.startswith(f"[keystart] DEBUG key: {code}; asking for it alone in ")
    assert second.startswith("[keystart] DEBUG key: ThrottlingException; asking again in ")


def test_what_is_throttled_forever_is_reported_at_the_deadline(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    aws = serve(lambda _: THROTTLED)
    assert prefetch({"db": "db", "key": "key"}, batch=True, deadline="3s") is not None
    why = (
        "ThrottlingException",
        "Rate exceeded. Secrets Manager answers 100 BatchGetSecretValue a second for an account in a region, and AWS "
        "does not raise that (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html): send "
        "fewer requests, or write `batch: false`.",
    )
    assert store.failures == {"db": why, "key": why}
    assert len(aws.requests) > 1


def test_one_that_hangs_after_a_batch_takes_no_other_down(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    released = threading.Event()

    def answer(request: Request) -> Answer | None:
        if request.action == "GetSecretValue":
            released.wait()
            return None
        return batch({arn("db"): "1"}, [error("slow", "InternalServiceError", "We failed.")])

    serve(answer)
    wanted = {"db": "db", "slow": {"secret": "slow", "optional": True}}
    assert prefetch(wanted, batch=True, deadline="3s") is None
    released.set()
    assert store.values == {"db": b"1"}
    assert store.unavailable == {"slow": ("InternalServiceError", "We failed.")}


@pytest.mark.parametrize(
    "code",
    [
        "DecryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
    ],
)
def test_one_that_spoils_a_whole_batch_does_not_take_the_others_down(
    prefetch: Prefetch, serve: Serve, store: Store, code: str
) -> None:
    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue" and request.json["SecretId"] != "bad":
            return secret("x")
        return refusal(400, code, "It is bad")

    aws = serve(answer)
    wanted = {"a": "a", "b": "b", "bad": {"secret": "bad", "optional": True}}
    assert prefetch(wanted, batch=True) is None
    assert store.values == {"a": b"x", "b": b"x"}
    reason, message = store.unavailable["bad"]
    assert (reason, message.partition(".")[0]) == (code, "It is bad")
    assert (len(asked(aws)), alone(aws)) == (1, ["a", "b", "bad"])


def test_the_pages_of_a_batch_are_put_together(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    pages: Mapping[str, Answer] = {
        "": batch({arn("a"): "1"}, token="second"),
        "second": batch({}, [error("c", "InternalServiceError")], token="third"),
        "third": batch({arn("b"): "2", arn("a"): "1"}),
    }

    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return secret("3")
        assert request.json["SecretIdList"] == ["a", "b", "c"]
        return pages[request.json.get("NextToken", "")]

    serve(answer)
    assert prefetch({"a": "a", "b": "b", "c": "c"}, batch=True) is None
    assert store.values == {"a": b"1", "b": b"2", "c": b"3"}


def test_a_secret_that_a_batch_passes_over_is_requested_alone(
    prefetch: Prefetch, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch, canary: Canaries
) -> None:
    monkeypatch.setenv("KEYSTART_LOG_LEVEL", "DEBUG")
    aws = serve(
        lambda request: secret("2") if request.action == "GetSecretValue" else batch({arn("db"): "1"})
    )
    assert prefetch({"db": "db", "key": "key"}, batch=True) is None
    assert store.values == {"db": b"1", "key": b"2"}
    assert alone(aws) == ["key"]
    assert canary.said().splitlines()[0] == "[keystart] DEBUG key: not answered; asking for it alone"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            batch({arn("db"): "CANARY", arn("stranger"): "CANARY"}),
            f"secretsmanager:BatchGetSecretValue returned a secret that was not requested. {CONFUSED}",
        ),
        (
            # Longer than the suffix of a partial ARN, and the name of another secret.
            batch({arn("db-of-others"): "CANARY"}),
            f"secretsmanager:BatchGetSecretValue returned a secret that was not requested. {CONFUSED}",
        ),
        (
            batch({arn("db"): "CANARY", arn("db", "999999999999"): "CANARY"}),
            f"secretsmanager:BatchGetSecretValue returned two secrets for db. {CONFUSED}",
        ),
        (
            changed(ARN="db"),
            f"secretsmanager:BatchGetSecretValue returned a secret that was not requested. {CONFUSED}",
        ),
        (
            changed(Name="other"),
            f"secretsmanager:BatchGetSecretValue returned a secret that was not requested. {CONFUSED}",
        ),
        (
            changed(ARN=arn("db").replace(REGION, "us-east-1")),
            f"secretsmanager:BatchGetSecretValue returned a secret that was not requested. {CONFUSED}",
        ),
        (
            changed(VersionStages=["AWSPENDING"]),
            f"secretsmanager:BatchGetSecretValue returned a version that was not requested. {CONFUSED}",
        ),
        (
            Answer(body=b'{"SecretValues": [{"Name": "db", "VersionId": "1", "SecretString": "CANARY"}]}'),
            "The endpoint's answer to secretsmanager:BatchGetSecretValue on * is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
        (
            changed(VersionId=None),
            "The endpoint's answer to secretsmanager:BatchGetSecretValue on * is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
        (
            changed(SecretString=None),
            "The endpoint's answer to secretsmanager:BatchGetSecretValue on * is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
        (
            Answer(body=b"{}"),
            "The endpoint's answer to secretsmanager:BatchGetSecretValue on * is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
        (
            Answer(body=b"<html>Log in to the network: CANARY</html>"),
            "The endpoint's answer to secretsmanager:BatchGetSecretValue on * is not one that AWS sends. "
            "Check AWS_ENDPOINT_URL.",
        ),
    ],
)
def test_an_answer_that_is_ambiguous_publishes_nothing(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, answer: Answer, message: str
) -> None:
    body = answer.body.replace(b"CANARY", canary().encode())
    aws = serve(lambda _: Answer(answer.status, body))
    assert prefetch({"db": "db", "key": "key"}, batch=True) is not None
    why = ("InvalidAnswer", message)
    assert store.failures == {"db": why, "key": why}
    assert not store.is_published()
    assert aws.actions() == ["BatchGetSecretValue"]


def test_a_partial_arn_takes_no_secret_whose_name_only_begins_so(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    wanted = {"db": arn("db")[:-7], "other": arn("db-of-others")}
    serve(lambda _: batch({arn("db-of-others"): "others", arn("db"): "ours"}))
    assert prefetch(wanted, batch=True) is None
    assert store.values == {"db": b"ours", "other": b"others"}
