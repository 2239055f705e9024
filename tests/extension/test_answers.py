"""Answers about something that was not asked for: none may be published under the name of the entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.aws import REGION, Cloud, secret
from tests.fakes.http import Answer, Request

from .conftest import Canaries, Prefetch, Serve, Store

ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:prod/db-a1B2c3"
PARAMETER = f"arn:aws:ssm:{REGION}:123456789012:parameter"
CURE = "Check AWS_ENDPOINT_URL."


def answered(action: str, what: str) -> tuple[str, str]:
    return "InvalidAnswer", f"The endpoint answered {action} with another {what}. {CURE}"


def of_secret(asked: str, what: str) -> tuple[str, str]:
    return answered(f"secretsmanager:GetSecretValue on {asked}", what)


@pytest.mark.parametrize("asked", ["prod/db", ARN, ARN[:-7]])
@pytest.mark.parametrize(
    "changes",
    [
        {"Name": "prod/other"},
        {"ARN": ARN.replace("prod/db", "prod/other")},
        {"ARN": ARN.replace("prod/db", "prod/other"), "Name": "prod/other"},
        {"ARN": ARN.replace(REGION, "us-east-1")},
        {"ARN": ARN.replace("secretsmanager", "ssm")},
        {"ARN": ARN.replace("-a1B2c3", "-of-others-a1B2c3"), "Name": "prod/db-of-others"},
        {"ARN": ""},
        {"ARN": "prod/db"},
    ],
)
def test_the_answer_for_another_secret_is_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, asked: str, changes: dict[str, str]
) -> None:
    value = canary()
    aws = serve(lambda _: secret(value, **changes))
    assert prefetch({"db": asked}) is not None
    assert store.failures == {"db": of_secret(asked, "secret")}
    assert aws.actions() == ["GetSecretValue"], "asking again would be answered in the same way"


@pytest.mark.parametrize("asked", [ARN, ARN[:-7]])
def test_the_secret_of_another_account_is_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, asked: str
) -> None:
    value = canary()
    serve(lambda _: secret(value, ARN=ARN.replace("123456789012", "999999999999")))
    assert prefetch({"db": asked}) is not None
    assert store.failures == {"db": of_secret(asked, "secret")}


@pytest.mark.parametrize("missing", ["ARN", "Name", "VersionId"])
def test_an_answer_that_does_not_say_what_it_is_about_is_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, missing: str
) -> None:
    value = canary()
    serve(lambda _: secret(value, **{missing: None}))
    assert prefetch({"db": "prod/db"}) is not None
    message = (
        f"The endpoint's answer to secretsmanager:GetSecretValue on prod/db is not one that AWS sends. {CURE}"
    )
    assert store.failures == {"db": ("InvalidAnswer", message)}


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        ({}, {"VersionStages": ["AWSPENDING"]}),
        ({"stage": "AWSPREVIOUS"}, {"VersionStages": ["AWSCURRENT"]}),
        ({"version_id": "a" * 32}, {"VersionId": "b" * 32}),
    ],
)
def test_another_version_is_refused(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    canary: Canaries,
    entry: dict[str, str],
    changes: dict[str, Any],
) -> None:
    value = canary()
    serve(lambda _: secret(value, **changes))
    assert prefetch({"db": {"secret": "prod/db", **entry}}) is not None
    assert store.failures == {"db": of_secret("prod/db", "version")}


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        ({}, {"VersionStages": ["AWSCURRENT", "AWSPENDING"]}),
        ({}, {"VersionStages": []}),
        ({"stage": "blue"}, {"VersionStages": ["green", "blue"]}),
        ({"version_id": "a" * 32}, {"VersionStages": ["AWSPREVIOUS"]}),
    ],
)
def test_a_version_that_has_other_stages_too_is_published(
    prefetch: Prefetch, serve: Serve, store: Store, entry: dict[str, str], changes: dict[str, Any]
) -> None:
    serve(lambda _: secret("x", **changes))
    assert prefetch({"db": {"secret": "prod/db", **entry}}) is None
    assert store.values == {"db": b"x"}


def test_two_answers_that_were_swapped_are_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries
) -> None:
    values = {"prod/one": canary(), "prod/two": canary()}
    other = {"prod/one": "prod/two", "prod/two": "prod/one"}

    def answer(request: Request) -> Answer:
        name = other[request.json["SecretId"]]
        return secret(values[name], Name=name, ARN=ARN.replace("prod/db", name))

    serve(answer)
    assert prefetch({"one": "prod/one", "two": "prod/two"}) is not None
    assert store.failures == {name: of_secret(f"prod/{name}", "secret") for name in ("one", "two")}


def parameter(name: str, value: str, **changes: Any) -> dict[str, Any]:
    slash = "" if name.startswith("/") else "/"
    known = {"Name": name, "ARN": f"{PARAMETER}{slash}{name}", "Value": value, "Version": 3}
    return {key: value for key, value in {**known, **changes}.items() if value is not None}


def parameters(*found: Mapping[str, Any]) -> Answer:
    return Answer(body=json.dumps({"Parameters": list(found), "InvalidParameters": []}).encode())


def of_parameter(asked: str, what: str, action: str = "GetParameters") -> tuple[str, str]:
    return answered(f"ssm:{action} on {asked}, and kms:Decrypt on the key of a SecureString", what)


@pytest.mark.parametrize(
    ("asked", "found", "what"),
    [
        ("/app/flag", [parameter("/app/other", "CANARY")], "parameter"),
        ("/app/flag", [parameter("/app/flag", "x"), parameter("/app/other", "CANARY")], "parameter"),
        ("/app/flag", [parameter("/app/flag", "CANARY", ARN=f"{PARAMETER}/app/other")], "parameter"),
        (
            "/app/flag",
            [parameter("/app/flag", "CANARY", ARN=f"{PARAMETER}/app/flag".replace(REGION, "us-east-1"))],
            "parameter",
        ),
        (
            f"{PARAMETER}/app/flag",
            [parameter("/app/flag", "CANARY", ARN=f"{PARAMETER}/app/flag".replace("1234", "9999"))],
            "parameter",
        ),
        ("/app/flag:2", [parameter("/app/flag", "CANARY", Selector=":3")], "parameter"),
        ("/app/flag:2", [parameter("/app/flag", "CANARY", Selector=":2")], "parameter"),
        ("/app/flag", [parameter("/app/flag", "x"), parameter("/app/flag", "CANARY")], "value"),
    ],
)
def test_the_answer_for_another_parameter_is_refused(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    canary: Canaries,
    asked: str,
    found: list[dict[str, Any]],
    what: str,
) -> None:
    body = parameters(*found).body.replace(b"CANARY", canary().encode())
    serve(lambda _: Answer(body=body))
    assert prefetch({"flag": {"parameter": asked}}) is not None
    assert store.failures == {"flag": of_parameter(asked, what)}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/app/flag", parameter("/app/flag", "x")),
        ("/app/flag", parameter("/app/flag", "x", ARN=None)),
        ("flag", parameter("flag", "x")),
        ("/app/flag:3", parameter("/app/flag", "x", Selector=":3")),
        ("/app/flag:live", parameter("/app/flag", "x", Selector=":live")),
        (f"{PARAMETER}/app/flag", parameter("/app/flag", "x")),
        # The id of a parameter of another account is its ARN.
        (f"{PARAMETER}/app/flag", parameter(f"{PARAMETER}/app/flag", "x", ARN=f"{PARAMETER}/app/flag")),
    ],
)
def test_the_parameter_that_was_requested_is_published(
    prefetch: Prefetch, serve: Serve, store: Store, asked: str, found: dict[str, Any]
) -> None:
    serve(lambda _: parameters(found))
    assert prefetch({"flag": {"parameter": asked}}) is None
    assert store.values == {"flag": b"x"}


@pytest.mark.parametrize(
    "found",
    [
        [parameter("/other/flag", "CANARY")],
        [parameter("/apple/flag", "CANARY")],
        [parameter("/app/", "CANARY")],
        [parameter("/app/flag", "x"), parameter("flag", "CANARY")],
        [parameter("/app/flag", "CANARY", ARN=f"{PARAMETER}/app/other")],
    ],
)
def test_a_parameter_that_does_not_lie_below_the_path_is_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, found: list[dict[str, Any]]
) -> None:
    body = parameters(*found).body.replace(b"CANARY", canary().encode())
    serve(lambda _: Answer(body=body))
    assert prefetch({"app": {"parameters": "/app"}}) is not None
    assert store.failures == {"app": of_parameter("/app", "parameter", "GetParametersByPath")}


def test_a_parameter_that_comes_twice_below_a_path_is_refused_also_where_it_is_optional(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    twice = parameters(parameter("/app/flag", canary()), parameter("/app/flag", canary()))
    serve(lambda request: twice if request.action == "GetParametersByPath" else secret("x"))
    assert prefetch({"app": {"parameters": "/app", "optional": True}, "db": "prod/db"}) is None
    assert store.unavailable == {"app": of_parameter("/app", "value", "GetParametersByPath")}
    assert store.values == {"db": b"x"}


def test_everything_below_the_root_is_published(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    serve(lambda _: parameters(parameter("/app/flag", "1"), parameter("plain", "2")))
    assert prefetch({"all": {"parameters": "/"}}) is None
    assert store.values == {"all/app/flag": b"1", "all/plain": b"2"}


def test_names_that_differ_by_the_first_slash_alone_are_refused_also_where_they_are_optional(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    both = parameters(parameter("/flag", "1", ARN=None), parameter("flag", "2", ARN=None))
    serve(lambda request: both if request.action == "GetParametersByPath" else secret("x"))
    assert prefetch({"all": {"parameters": "/", "optional": True}, "db": "prod/db"}) is None
    assert store.unavailable == {"all": ("InvalidName", '"all/flag" is there twice. Rename one of them.')}
