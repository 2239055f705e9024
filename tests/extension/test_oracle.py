"""Compares the core's fetch with a naive one in boto3, for random plans: values, codes of failures, hosts."""

from __future__ import annotations

import http.client
import json
import random
import secrets as randomness
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from keystart_extension.plan import Plan

from tests.fakes.aws import REGION, Cloud
from tests.fakes.front import response
from tests.fakes.proxy import Proxy
from tests.oracle import Oracle

from .conftest import Prefetch, Store

pytestmark = pytest.mark.sampled

ROLE = "arn:aws:iam::123456789012:role/reader"
MEMBERS = ("host", "port", "a b", "x", "x/y", "__proto__")
VALUES: tuple[Any, ...] = ("ß€\r\n", "", 5432, 1.5, None, True, ["a", {"b": 1}], {"a": [1]})
TEXTS = ("plain", "", "3", '["a"]', "{}", '{"host": "half', " \n", "ß\0€")
# The variables that decide which hosts are asked.
SETTINGS: tuple[Mapping[str, str], ...] = (
    {},
    {"AWS_USE_FIPS_ENDPOINT": "true"},
    {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    {"AWS_ENDPOINT_URL": "https://all.keystart.test"},
    {"AWS_ENDPOINT_URL": "https://all.keystart.test", "AWS_ENDPOINT_URL_SSM": "https://ssm.keystart.test"},
    {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://vault.keystart.test:8443"},
    {"AWS_ENDPOINT_URL": "https://all.keystart.test", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
)


class Plans:
    """Makes plans of secrets that it has put into the fake AWS, and of missing ones."""

    def __init__(self, seed: str, cloud: Cloud) -> None:
        self._chance = random.Random(seed)
        self._cloud = cloud

    def secrets(self) -> dict[str, dict[str, Any]]:
        made = {f"e{number}": self._entry() for number in range(self._chance.randrange(1, 12))}
        # Two entries for one secret share one request.
        return {**made, "again": dict(self._chance.choice(list(made.values())))}

    def _entry(self) -> dict[str, Any]:
        make = self._chance.choice((self._secret, self._secret, self._versions, self._parameter, self._path))
        entry = make()
        if self._chance.random() < 0.2:
            entry["role"] = ROLE
        return {**entry, "optional": True}

    def _secret(self) -> dict[str, Any]:
        if self._chance.random() < 0.15:
            return {"secret": f"absent/{randomness.token_hex(4)}"}
        kind = self._chance.choice(("text", "binary", "json", "json"))
        if kind == "binary":
            return {"secret": self._cloud.secret(self._chance.randbytes(20))}
        text = self._chance.choice(TEXTS)
        if kind == "json":
            members = self._chance.sample(MEMBERS, self._chance.randrange(1, 4))
            text = json.dumps({member: self._chance.choice(VALUES) for member in members})
        entry: dict[str, Any] = {"secret": self._cloud.secret(text or " ")}
        take = self._chance.choice(("whole", "field", "expand"))
        if take == "field":
            entry["field"] = self._chance.choice(MEMBERS)
        elif take == "expand":
            entry["expand"] = True
        return entry

    def _versions(self) -> dict[str, Any]:
        arn = self._cloud.secret("old")
        (old,) = self._cloud.secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
        self._cloud.secrets.put_secret_value(SecretId=arn, SecretString="new")
        which = self._chance.choice(({}, {"stage": "AWSPREVIOUS"}, {"stage": "NOBODY"}, {"version_id": old}))
        return {"secret": arn, **which}

    def _parameter(self) -> dict[str, Any]:
        path = self._cloud.parameters(p="old")
        self._cloud.ssm.put_parameter(Name=f"{path}/p", Value="new", Type="SecureString", Overwrite=True)
        return {"parameter": path + self._chance.choice(("/p", "/p:1", "/p:2", "/absent"))}

    def _path(self) -> dict[str, Any]:
        names = self._chance.sample(("a", "b__c", "b", "d__e__f", "g-1"), self._chance.randrange(1, 4))
        many = {f"n{number}": str(number) for number in range(self._chance.choice((0, 0, 12)))}
        path = self._cloud.parameters(**dict.fromkeys(names, "x"), **many)
        return {"parameters": path + self._chance.choice(("", "", "/absent"))}


def forwarded(moto: str, head: bytes, body: bytes) -> bytes:
    """Returns moto's answer to a request that was meant for AWS."""
    start, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    behind = http.client.HTTPConnection(moto.removeprefix("http://"))
    try:
        behind.request("POST", urlsplit(start.split()[1]).path, body, headers)
        answered = behind.getresponse()
        return response(answered.status, answered.read(), answered.headers["Content-Type"])
    finally:
        behind.close()


def asked_for(plan: Plan) -> dict[str, Any]:
    """Returns the plan with its fields, of which `facts` show only those that are certainly no secret."""
    written = json.loads(plan.compiled())["secrets"]
    return {
        **plan.facts,
        "entries": [
            {**entry, "field": written[entry["name"]].get("field")} for entry in plan.facts["entries"]
        ],
    }


@pytest.mark.parametrize("number", range(4 * len(SETTINGS)))
def test_a_random_plan_is_fetched_as_the_oracle_fetches_it(
    number: int,
    prefetch: Prefetch,
    cloud: Cloud,
    moto: str,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    plans = Plans(f"plan {number}", cloud)
    secrets, settings = plans.secrets(), SETTINGS[number % len(SETTINGS)]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with Proxy(tmp_path, lambda head, body: forwarded(moto, head, body)) as proxy:
        for name, value in {
            **settings,
            "HTTPS_PROXY": proxy.url,
            "AWS_CA_BUNDLE": str(proxy.authority),
        }.items():
            monkeypatch.setenv(name, value)
        plan = prefetch.plan(secrets, batch=number % 2 == 0, deadline="20s")
        oracle = Oracle(asked_for(plan), REGION)
        expected = {urlsplit(url).netloc for url in proxy.asked}
        proxy.asked.clear()
        assert prefetch(secrets, batch=number % 2 == 0, deadline="20s") is None
        asked = {urlsplit(url).netloc for url in proxy.asked}
    case = f"the plan {secrets} with {dict(settings)}"
    assert store.values == oracle.values, case
    assert {name: code for name, (code, _) in store.unavailable.items()} == oracle.codes, case
    assert asked == expected, case
