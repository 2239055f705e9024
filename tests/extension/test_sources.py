"""Fetches from moto everything that Secrets Manager and Parameter Store can hold, and reads the published store."""

from __future__ import annotations

import json
import secrets as randomness
from typing import Any

import pytest
from keystart_extension.store import Draft, Writer

from tests.fakes.aws import REGION, Cloud, refusal, secret
from tests.fakes.http import Answer, forward

from .conftest import Canaries, Prefetch, Serve, Store

RULE = (
    'A name is 1 to 8 segments separated by "/", at most 255 bytes in all; a segment starts with a letter, a digit or '
    '"_" and goes on with letters, digits, "_", "." or "-".'
)


def refused(count: str, first: str) -> str:
    return (
        f'{count} members of {{id}} cannot be published below "tls", because their names are not valid there. '
        f"The first is member {first} characters. {RULE} Take each under a valid name with `rename`."
    )


def test_text_is_published_as_its_bytes_with_where_it_came_from(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    value = f"{canary()}\r\nß€=$'\"\n"
    arn = cloud.secret(value)
    assert prefetch({"db": arn}) is None
    assert store.values == {"db": value.encode()}
    entry = store.manifest["secrets"]["db"]
    assert (entry["size"], entry["encoding"]) == (len(value.encode()), "utf-8")
    source = entry["source"]
    assert source.pop("version_id")
    assert source == {
        "provider": "secretsmanager",
        "id": arn,
        "region": REGION,
        "version_stages": ["AWSCURRENT"],
        "field": None,
    }


def test_binary_is_decoded_once(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    keytab = b"\x05\x02\0\n" + randomness.token_bytes(4088) + b"YWJj"
    assert prefetch({"keytab": cloud.secret(keytab), "base64": cloud.secret(b"YWJj")}) is None
    assert store.values == {"keytab": keytab, "base64": b"YWJj"}
    assert store.manifest["secrets"]["keytab"]["encoding"] == "binary"


def test_the_longest_secret_of_the_service_is_published(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    value = "x" * 65_536
    assert prefetch({"long": cloud.secret(value)}) is None
    assert store.values == {"long": value.encode()}


@pytest.mark.parametrize(
    ("json_text", "published"),
    [
        ('"plain"', "plain"),
        ('""', ""),
        (r'"ß \u20ac \ud83d\ude00 \n \" \/"', 'ß € 😀 \n " /'),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1E300", "1E300"),
        ("9" * 300, "9" * 300),
        ("[" * 63 + "]" * 63, "[" * 63 + "]" * 63),
        ("true", "true"),
        ("null", "null"),
        ('{ "b": 1.10,\n "a": [1, 2 ] }', '{ "b": 1.10,\n "a": [1, 2 ] }'),
        ("[ ]", "[ ]"),
    ],
)
def test_a_field_is_its_text_or_its_json(
    prefetch: Prefetch, cloud: Cloud, store: Store, json_text: str, published: str
) -> None:
    arn = cloud.secret(f' {{"other" : "}}", "wanted"\t: {json_text}\n, "last": 1}} ')
    assert prefetch({"one": {"secret": arn, "field": "wanted"}}) is None
    assert store.values == {"one": published.encode()}
    assert store.manifest["secrets"]["one"]["source"]["field"] == "wanted"


def test_of_equal_members_the_last_wins(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    arn = cloud.secret(r'{"k": "first", "\u006b": "last"}')
    assert prefetch({"one": {"secret": arn, "field": "k"}, "all": {"secret": arn, "expand": True}}) is None
    assert store.values == {"one": b"last", "all/k": b"last"}


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (
            '"CANARY' + "[" * 9000,
            "NotJson",
            "{id} is not valid JSON, which `field` and `expand` need. Correct the secret.",
        ),
        ("CANARY", "NotJson", "{id} is not valid JSON, which `field` and `expand` need. Correct the secret."),
        (
            '{"k": CANARY}',
            "NotJson",
            "{id} is not valid JSON, which `field` and `expand` need. Correct the secret.",
        ),
        (
            '{"k": NaN}',
            "NotJson",
            "{id} is not valid JSON, which `field` and `expand` need. Correct the secret.",
        ),
        (
            '["CANARY"]',
            "NotAnObject",
            "{id} is not a JSON object, so it has no members to take. Correct the secret.",
        ),
        ('{"other": "CANARY"}', "FieldNotFound", '{id} has no member "k". Correct `field` or the secret.'),
        *(
            (value, "NotJson", "{id} is not valid JSON, which `field` and `expand` need. Correct the secret.")
            for value in (
                r'{"k": "CANARY\ud800"}',
                r'{"other": {"\udc00": 1}, "k": "CANARY"}',
                r'{"k": "CANARY\ud800", "k": "x"}',
                '{"k": "CANARY", "other": 1E400}',
                '{"k": "CANARY", "other": ' + "9" * 5000 + "}",
                '{"k": "CANARY", "other": ' + "[" * 64 + "]" * 64 + "}",
            )
        ),
    ],
)
def test_a_field_that_cannot_be_taken_says_why(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries, value: str, code: str, message: str
) -> None:
    arn = cloud.secret(value.replace("CANARY", canary()))
    failed = prefetch({"one": {"secret": arn, "field": "k"}})
    assert failed is not None
    assert failed.error_type == "Extension.SecretsUnavailable"
    assert store.state["message"] == "Required secrets could not be fetched."
    assert store.failures == {"one": (code, message.format(id=arn))}
    assert not store.is_published()


def test_the_manifest_says_which_variable_a_secret_goes_into(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    db, path = cloud.secret('{"password": "x"}'), cloud.parameters(flag="x")
    entries = {
        "db/password": {"secret": db, "field": "password", "env": "DB_PASSWORD"},
        "flags": {"parameter": f"{path}/flag", "env": "FLAGS"},
        "missing": {"secret": "test/absent", "optional": True, "env": "MISSING"},
        "none": db,
    }
    for settings in ({}, {"env_overwrite": True}):
        assert prefetch(entries, **settings) is None
        names = {"DB_PASSWORD": "db/password", "FLAGS": "flags", "MISSING": "missing"}
        overwrite = bool(settings)
        expected = {variable: {"secret": name, "overwrite": overwrite} for variable, name in names.items()}
        assert store.manifest["env"] == expected
        assert set(store.unavailable) == {"missing"}
    assert prefetch({"none": db}) is None
    assert "env" not in store.manifest


def test_expand_publishes_each_member(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    arn = cloud.secret('{"cert": "PEM", "key": "PEM2", "port": 5432, "__proto__": {"a": 1}}')
    assert prefetch({"tls": {"secret": arn, "expand": True}}) is None
    assert store.values == {
        "tls/cert": b"PEM",
        "tls/key": b"PEM2",
        "tls/port": b"5432",
        "tls/__proto__": b'{"a": 1}',
    }


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("{}", "NothingToExpand", "{id} is an object without members. Correct the secret."),
        ("3", "NotAnObject", "{id} is not a JSON object, so it has no members to take. Correct the secret."),
        ('{"a b": 1}', "InvalidName", refused("1 of 1", "1, with a name of 3")),
        ('{"": 1}', "InvalidName", refused("1 of 1", "1, with a name of 0")),
        (
            json.dumps({f" {number}": 1 for number in range(2000)}),
            "InvalidName",
            refused("2000 of 2000", "1, with a name of 2"),
        ),
    ],
)
def test_what_cannot_be_expanded_fails_whole(
    prefetch: Prefetch, cloud: Cloud, store: Store, value: str, code: str, message: str
) -> None:
    arn = cloud.secret(value)
    why = (code, message.replace("{id}", arn))
    entry = {"secret": arn, "expand": True}
    assert prefetch({"tls": {**entry, "optional": True}, "good": cloud.secret("x")}) is None
    assert (store.values, store.unavailable) == ({"good": b"x"}, {"tls": why})
    assert prefetch({"tls": entry, "good": cloud.secret("x")}) is not None
    assert store.failures == {"tls": why}
    assert not store.is_published()


NET = '{"ConnectionStrings:Default": "x", "API Key": "y", "password": "z", "a": "1", "a/b": "2"}'


def warnings(canary: Canaries) -> list[str]:
    lines = canary.said().splitlines()
    return [line.removeprefix("[keystart] WARN  ") for line in lines if " WARN " in line]


def test_members_that_cannot_be_published_are_skipped_with_a_warning_each(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    arn = cloud.secret(NET.replace('"z"', f'"{canary()}"'))
    assert prefetch({"app": {"secret": arn, "expand": True}}) is None
    assert set(store.values) == {"app/password", "app/a/b"}
    cure = "Take it with `rename`, or leave it out with `except`."
    assert warnings(canary) == [
        f'The member 1 of {arn} is skipped: its name of 25 characters is not valid below "app". {cure}',
        f'The member 2 of {arn} is skipped: its name of 7 characters is not valid below "app". {cure}',
        f'The member "app/a" is skipped: it is the folder of "app/a/b". {cure}',
    ]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"only": ["password"]}, {"password": "z"}),
        ({"only": ["password"], "rename": {"API Key": "key"}}, {"password": "z", "key": "y"}),
        ({"except": ["API Key", "ConnectionStrings:Default", "a"]}, {"password": "z", "a/b": "2"}),
        ({"only": ["a"]}, {"a": "1"}),
        (
            {"rename": {"ConnectionStrings:Default": "connection/default", "API Key": "key", "a": "one"}},
            {"password": "z", "connection/default": "x", "key": "y", "one": "1", "a/b": "2"},
        ),
    ],
)
def test_members_are_chosen_and_renamed_without_a_warning(
    prefetch: Prefetch,
    cloud: Cloud,
    store: Store,
    canary: Canaries,
    choice: dict[str, Any],
    names: dict[str, str],
) -> None:
    assert prefetch({"app": {"secret": cloud.secret(NET), "expand": True, **choice}}) is None
    assert store.values == {f"app/{name}": value.encode() for name, value in names.items()}
    assert warnings(canary) == []


@pytest.mark.parametrize(
    ("choice", "code", "message"),
    [
        (
            {"only": ["pasword"]},
            "FieldNotFound",
            '{id} has no member "pasword". Correct the configuration or the secret.',
        ),
        (
            {"only": ["password"], "rename": {"x y": "r", "q": "s", "z": "t"}},
            "FieldNotFound",
            "{id} has no member with the 3 characters of `only` or `rename` and 2 more that `only` and `rename` name. "
            "Correct the configuration or the secret.",
        ),
        (
            {"rename": {"API Key": "password"}},
            "InvalidName",
            '"app/password" is there twice. Rename one of them.',
        ),
        (
            {"except": ["ConnectionStrings:Default", "API Key", "password", "a", "a/b"]},
            "NothingToExpand",
            "{id} has only what `except` names. Correct the configuration.",
        ),
    ],
)
def test_what_the_configuration_asks_for_and_cannot_have_fails(
    prefetch: Prefetch, cloud: Cloud, store: Store, choice: dict[str, Any], code: str, message: str
) -> None:
    arn = cloud.secret(NET)
    assert prefetch({"app": {"secret": arn, "expand": True, **choice}}) is not None
    assert store.failures == {"app": (code, message.replace("{id}", arn))}


def test_a_field_may_be_a_path_into_the_secret(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    arn = cloud.secret('{"hubspot": {"accessToken": "t", "ids": [1.50, 2]}, "plain.dot": "d", "/x": "y"}')
    fields = {
        "a": "/hubspot/accessToken",
        "b": "/hubspot/ids/0",
        "c": "plain.dot",
        "d": "/x",
        "e": "/hubspot/ids",
    }
    assert prefetch({name: {"secret": arn, "field": field} for name, field in fields.items()}) is None
    assert store.values == {"a": b"t", "b": b"1.50", "c": b"d", "d": b"y", "e": b"[1.50, 2]"}
    assert store.manifest["secrets"]["a"]["source"]["field"] == "/hubspot/accessToken"
    assert prefetch({"one": {"secret": arn, "field": "hubspot.accessToken"}}) is not None
    assert store.failures["one"] == (
        "FieldNotFound",
        f'{arn} has no member "hubspot.accessToken". `field` takes members at the top, or a path: write '
        '"/hubspot/accessToken".',
    )


def test_stage_and_version_choose_an_older_value(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    arn = cloud.secret("old")
    old = cloud.secrets.describe_secret(SecretId=arn)["VersionIdsToStages"].keys()
    cloud.secrets.put_secret_value(SecretId=arn, SecretString="new")
    wanted = {
        "now": arn,
        "before": {"secret": arn, "stage": "AWSPREVIOUS"},
        "pinned": {"secret": arn, "version_id": next(iter(old))},
    }
    assert prefetch(wanted) is None
    assert store.values == {"now": b"new", "before": b"old", "pinned": b"old"}
    assert store.manifest["secrets"]["before"]["source"]["version_stages"] == ["AWSPREVIOUS"]


def test_the_region_in_an_arn_wins(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    arn = cloud.secret("here")
    assert prefetch({"db": arn}, region="us-east-1") is None
    assert store.manifest["secrets"]["db"]["source"]["region"] == REGION
    name = cloud.secrets.describe_secret(SecretId=arn)["Name"]
    assert prefetch({"db": name}, region="us-east-1") is not None
    assert store.failures["db"][0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("id_", "region", "said"),
    [
        ("prod/absent", "us-east-1", " `region:` names us-east-1, and AWS_REGION is eu-west-1."),
        ("ssm:/prod/absent", "us-east-1", " `region:` names us-east-1, and AWS_REGION is eu-west-1."),
        ("ssm:/prod/absent", REGION, "Correct the id or the region."),
        (
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/absent",
            REGION,
            " Its ARN names us-east-1, and AWS_REGION is eu-west-1.",
        ),
        ("prod/absent", REGION, "Correct the id, the region, the account or the stage."),
    ],
)
def test_a_secret_that_is_missing_in_another_region_is_said_with_both_regions(
    prefetch: Prefetch, cloud: Cloud, store: Store, id_: str, region: str, said: str
) -> None:
    assert prefetch({"db": id_}, region=region) is not None
    assert store.failures["db"][1].endswith(said)


@pytest.mark.parametrize(
    ("resource", "is_said"),
    [("prod/db", True), ("arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-a1B2c3", False)],
)
def test_a_denial_that_may_be_a_missing_secret_is_said_with_both_regions(
    prefetch: Prefetch, serve: Serve, store: Store, resource: str, is_said: bool
) -> None:
    action = "secretsmanager:GetSecretValue"
    denied = (
        f"User: u is not authorized to perform: {action} on resource: {resource} because no policy allows it"
    )
    serve(lambda _: refusal(400, "AccessDeniedException", denied))
    assert prefetch({"db": "prod/db"}, region="us-east-1") is not None
    both = " `region:` names us-east-1, and AWS_REGION is eu-west-1."
    assert store.failures["db"][1].endswith(both) is is_said


def test_equal_secrets_are_requested_once_and_a_role_is_assumed_once(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, moto: str
) -> None:
    role = "arn:aws:iam::123456789012:role/reader"
    arn = cloud.secret('{"a": 1, "b": 2}')
    others = {f"other-{number}": {"secret": cloud.secret("x"), "role": role} for number in range(4)}
    same = {name: {"secret": arn, "field": name} for name in ("a", "b")}
    counting = serve(lambda request: forward(request, moto))
    assert prefetch({**others, **same}) is None
    assert sorted(counting.actions()) == ["AssumeRole"] + ["GetSecretValue"] * 5
    keys = {request.headers["Authorization"].partition("Credential=")[2][:7] for request in counting.requests}
    assert len(keys) == 2, "the role's own credentials were used for what asks for the role"
    assert len(store.values) == 6


def test_the_external_id_and_the_session_name_go_to_sts(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, moto: str, canary: Canaries
) -> None:
    counting = serve(lambda request: forward(request, moto))
    entry = {"secret": cloud.secret("x"), "role": "arn:aws:iam::123456789012:role/reader"}
    external = randomness.token_hex(8)
    assert prefetch({"db": {**entry, "external_id": external, "session_name": "orders"}}) is None
    (body,) = [request.body.decode() for request in counting.requests if b"AssumeRole" in request.body]
    assert f"ExternalId={external}" in body
    assert "RoleSessionName=orders" in body
    assert external not in canary.said()


def test_parameters_are_fetched_in_groups_of_ten(
    prefetch: Prefetch, serve: Serve, cloud: Cloud, store: Store, moto: str
) -> None:
    path = cloud.parameters(**{f"p{number}": f"value {number}" for number in range(23)})
    counting = serve(lambda request: forward(request, moto))
    wanted = {f"p{number}": {"parameter": f"{path}/p{number}"} for number in range(23)}
    assert prefetch(wanted) is None
    assert sorted(len(request.json["Names"]) for request in counting.requests) == [3, 10, 10]
    assert store.values == {f"p{number}": f"value {number}".encode() for number in range(23)}
    assert store.manifest["secrets"]["p1"]["source"] == {
        "provider": "ssm",
        "id": f"{path}/p1",
        "region": REGION,
        "version_id": "1",
        "version_stages": [],
        "field": None,
    }


def test_a_parameter_can_be_chosen_by_version(prefetch: Prefetch, cloud: Cloud, store: Store) -> None:
    path = cloud.parameters(p="old")
    cloud.ssm.put_parameter(Name=f"{path}/p", Value="new", Type="SecureString", Overwrite=True)
    assert prefetch({"now": {"parameter": f"{path}/p"}, "old": {"parameter": f"{path}/p:1"}}) is None
    assert store.values == {"now": b"new", "old": b"old"}
    assert store.manifest["secrets"]["old"]["source"]["id"] == f"{path}/p:1"


def test_everything_below_a_path_is_published_page_by_page(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    values = {f"p{number}": str(number) for number in range(24)}
    path = cloud.parameters(**values, deep__er__p="nested")
    assert prefetch({"app": {"parameters": f"{path}/"}}) is None
    expected = {f"app/{name}": value.encode() for name, value in values.items()}
    assert store.values == {**expected, "app/deep/er/p": b"nested"}


def test_a_parameter_that_is_a_folder_too_does_not_stop_the_others(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    path = cloud.parameters(x="1", x__y="2", good="3")
    assert prefetch({"app": {"parameters": path}}) is None
    assert store.values == {"app/x/y": b"2", "app/good": b"3"}
    assert warnings(canary) == [
        'The parameter "app/x" is skipped: it is the folder of "app/x/y". '
        "Take it with `rename`, or leave it out with `except`."
    ]
    assert prefetch({"app": {"parameters": path, "rename": {"x": "x-itself"}}}) is None
    assert store.values == {"app/x-itself": b"1", "app/x/y": b"2", "app/good": b"3"}
    assert prefetch({"app": {"parameters": path, "only": ["x", "absent"]}}) is not None
    assert store.failures["app"] == (
        "ParameterNotFound",
        f'{path} has no parameter "absent". Correct the configuration or the secret.',
    )


@pytest.mark.parametrize(
    ("inner", "names"),
    [
        ({"app/db": {"secret": '{"host": 2}', "expand": True}}, ["app/db/host"]),
        ({"app/db/host": {"secret": "2"}}, ["app/db/host"]),
        ({"app/db/host/name": {"secret": "2"}}, ["app/db/host"]),
    ],
)
def test_a_name_that_is_in_the_way_of_another_entry_fails_the_entry_that_was_to_be_expanded(
    prefetch: Prefetch, cloud: Cloud, store: Store, inner: dict[str, dict[str, Any]], names: list[str]
) -> None:
    why = " ".join(
        f'"{name}" is in the way of another entry, or another entry of it. Rename one of them.'
        for name in names
    )
    app = {"parameters": cloud.parameters(db__host="1", other="3")}
    others = {name: {**entry, "secret": cloud.secret(entry["secret"])} for name, entry in inner.items()}
    assert prefetch({"app": {**app, "optional": True}, **others}) is None
    assert store.unavailable == {"app": ("InvalidName", why)}
    assert list(store.values.values()) == [b"2"]
    failed = prefetch({"app": app, **others})
    assert failed is not None
    assert failed.error_type == "Extension.SecretsUnavailable"
    assert store.failures == {"app": ("InvalidName", why)}
    assert not store.is_published()


def test_nothing_below_a_path_and_no_such_parameter_are_reported(
    prefetch: Prefetch, cloud: Cloud, store: Store
) -> None:
    path = cloud.parameters(here="x")
    assert (
        prefetch(
            {
                "app": {"parameters": "/nothing/here", "optional": True},
                "absent": {"parameter": f"{path}/absent", "optional": True},
                "here": {"parameter": f"{path}/here"},
            }
        )
        is None
    )
    assert store.values == {"here": b"x"}
    assert store.unavailable == {
        "app": (
            "ParameterNotFound",
            "There is no parameter below /nothing/here. Correct the path or the region.",
        ),
        "absent": (
            "ParameterNotFound",
            f"There is no parameter {path}/absent. Correct the id or the region.",
        ),
    }


def test_a_manifest_of_more_than_a_mebibyte_is_not_published(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    # More members than one secret of the service can hold, spread over several.
    long = json.dumps({f"m{number}{'x' * 200}": 1 for number in range(1900)})
    serve(lambda _: secret(long))
    failed = prefetch({"all": {"secret": "long", "expand": True}})
    assert failed is not None
    assert failed.error_type == "Extension.SecretsUnavailable"
    assert failed.message.startswith("The manifest of 1900 secrets would have ")
    assert failed.message.endswith(
        " bytes, and 1048576 is the most that can be published. Configure fewer secrets."
    )
    assert store.state["message"] == failed.message
    assert not store.is_published()


@pytest.mark.usefixtures("environment")
def test_no_value_at_all_is_published(store: Store) -> None:
    assert Writer.open().publish(Draft()) == 1
    assert store.values == {}


def test_an_empty_value_is_published(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    serve(lambda _: secret(""))
    assert prefetch({"empty": "empty"}) is None
    assert store.values == {"empty": b""}


@pytest.mark.parametrize("selector", ["", ":3"])
def test_an_arn_of_a_public_parameter_is_requested_by_its_name_in_its_region(
    prefetch: Prefetch, serve: Serve, store: Store, selector: str
) -> None:
    name = "/aws/service/ami-amazon-linux-latest/al2023"
    arn = f"arn:aws:ssm:us-east-1::parameter{name}"
    parameter = {"Name": name, "ARN": arn, "Value": "ami-1", "Version": 3, "Type": "String"}
    aws = serve(
        lambda _: Answer(body=json.dumps({"Parameters": [parameter], "InvalidParameters": []}).encode())
    )
    entries = {"image": f"{arn}{selector}", "same": {"parameter": f"{arn}{selector}"}}
    plan = prefetch.plan(entries)
    assert [entry["region"] for entry in plan.facts["entries"]] == ["us-east-1"] * 2
    assert prefetch(entries) is None
    assert json.loads(aws.requests[0].body)["Names"] == [f"{name}{selector}"]
    assert store.values == {"image": b"ami-1", "same": b"ami-1"}


def test_each_member_has_its_variable(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    members = {"user-name": "u", "hostName": "h", "nul": "a\0b", "a.b": "1", "a/b": "2", "PRELOAD": "x"}
    arn, path = cloud.secret(json.dumps(members)), cloud.parameters(x="1", y__z="2")
    entries = {
        "db": {"secret": arn, "expand": True, "env": "DB_*"},
        "app": {"parameters": path, "env": "DB_APP_*"},
        "own": {"secret": arn, "field": "hostName", "env": "DB_HOSTNAME"},
    }
    assert prefetch(entries, env_overwrite=True) is None
    assert {name: to["secret"] for name, to in store.manifest["env"].items()} == {
        "DB_A_B": "db/a.b",
        "DB_USER_NAME": "db/user-name",
        "DB_PRELOAD": "db/PRELOAD",
        "DB_APP_X": "app/x",
        "DB_APP_Y_Z": "app/y/z",
        "DB_HOSTNAME": "own",
    }
    assert all(to["overwrite"] for to in store.manifest["env"].values())
    assert warnings(canary) == [
        '"db/hostName" gets no variable: DB_HOSTNAME is that of "own". Rename one of them.',
        '"db/nul" gets no variable: it holds a NUL byte, which no variable can. Read it as bytes instead of DB_NUL.',
        '"db/a/b" gets no variable: DB_A_B is that of "db/a.b". Rename one of them.',
    ]


def test_no_member_chooses_a_variable_that_is_refused(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    arn = cloud.secret('{"options": "--require /tmp/x", "env": "production"}')
    assert prefetch({"node": {"secret": arn, "expand": True, "env": "NODE_*"}}) is None
    assert list(store.manifest["env"]) == ["NODE_ENV"]
    (warning,) = warnings(canary)
    assert warning.startswith('"node/options" gets no variable: "env" cannot be NODE_OPTIONS, which ')


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("CANARY\n", "ends in a line break, as echo and editors add it"),
        ("\ufeffCANARY", "begins with a byte order mark, as some editors write it"),
        ('"CANARY"', "is in quotes, which are a part of it"),
        ("\u201cCANARY\u201d", "is in curly quotes, as text processors write them"),
        (json.dumps('{"a": "CANARY"}'), "is a JSON string that holds JSON: it was encoded twice"),
        (
            "-----BEGIN PRIVATE KEY-----\\nCANARY\\n-----END PRIVATE KEY-----\\n",
            "is PEM whose line breaks are written as \\n. Store it with real line breaks",
        ),
        ("CANARY", None),
    ],
)
def test_what_editors_and_shells_did_to_a_value_is_said_and_never_shown(
    prefetch: Prefetch, cloud: Cloud, store: Store, canary: Canaries, value: str, seen: str | None
) -> None:
    value = value.replace("CANARY", canary())
    arn = cloud.secret(json.dumps({"user": "u", "password": value}))
    assert prefetch({"whole": cloud.secret(value), "db": {"secret": arn, "expand": True}}) is None
    assert store.values == {"whole": value.encode(), "db/user": b"u", "db/password": value.encode()}
    cure = "It is published as it is. Correct the secret, or write as_is: true if it is meant so."
    names = ("whole", "db/password") if seen else ()
    assert sorted(warnings(canary)) == sorted(f'The value of "{name}" {seen}. {cure}' for name in names)
