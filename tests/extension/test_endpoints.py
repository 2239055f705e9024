"""Fetches in every region of botocore, with FIPS and dual-stack endpoints, and compares the URLs with botocore's.

The fetch runs unchanged, behind a proxy that answers for every endpoint.
"""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import EndpointVariantError
from keystart_extension.plan import Plan

from tests.fakes.front import response
from tests.fakes.proxy import Proxy

from .conftest import Environment, fetch

pytestmark = pytest.mark.long

ROLE = "arn:aws:iam::123456789012:role/reader"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "secretsmanager": ("get_secret_value", {"SecretId": "prod/db"}),
    "ssm": ("get_parameters", {"Names": ["/prod/flags"]}),
    "sts": ("assume_role", {"RoleArn": ROLE, "RoleSessionName": "keystart"}),
}
ENTRIES: dict[str, dict[str, Any]] = {
    "secretsmanager": {"secret": "prod/db"},
    "ssm": {"parameter": "/prod/flags"},
    "sts": {"secret": "prod/theirs", "role": ROLE},
}
NOBODY = "no endpoint"
# AWS added the dual-stack data of these regions late. botocore's list of endpoints has none there,
# so botocore refuses,
# although its rules have one.
BOTOCORE_REFUSES = set(itertools.product(CALLS, ["eu-isoe-west-1", "us-isof-east-1", "us-isof-south-1"]))
# The clients of these services in Cargo.lock are older than that data; the one of STS is not.
OLDER_DATA = set(
    itertools.product(
        ["secretsmanager", "ssm"],
        [
            "eu-isoe-west-1",
            "eusc-de-east-1",
            "us-iso-east-1",
            "us-iso-west-1",
            "us-isob-east-1",
            "us-isob-west-1",
            "us-isof-east-1",
            "us-isof-south-1",
        ],
    )
)


class AskedError(Exception):
    """Holds the URL that a client was about to call."""


def regions() -> list[str]:
    """Returns every region of every partition in which botocore knows one of the services."""
    session = boto3.Session()
    partitions = session.get_available_partitions()
    pairs = itertools.product(CALLS, partitions)
    return sorted({region for pair in pairs for region in session.get_available_regions(*pair)})


def botocore_asks(session: boto3.Session, service: str, region: str) -> str:
    def stop(request: AWSPreparedRequest, **_: Any) -> NoReturn:
        raise AskedError(request.url)

    make: Any = session.client  # the stubs accept only a literal service name
    operation, arguments = CALLS[service]
    try:
        with closing(make(service, region_name=region)) as client:
            client.meta.events.register("before-send", stop)
            getattr(client, operation)(**arguments)
    except AskedError as asked:
        return str(asked)
    except EndpointVariantError:
        return NOBODY
    raise AssertionError("the client asked nobody")


def core_asks(proxy: Proxy, folder: Path, service: str, region: str, deadline: str = "8s") -> str:
    file = folder / "keystart.json"
    settings = {"version": 1, "region": region, "deadline": deadline}
    file.write_text(json.dumps({**settings, "secrets": {"it": ENTRIES[service]}}))
    proxy.asked.clear()
    fetched = fetch(Plan.file(file))
    assert not fetched.count
    return proxy.asked[0] if proxy.asked else NOBODY


@pytest.mark.parametrize(
    ("fips", "dual_stack"), [("false", "false"), ("true", "false"), ("false", "true"), ("true", "true")]
)
def test_every_region_is_asked_at_the_url_of_botocore(
    fips: str, dual_stack: str, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", fips)
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    session = boto3.Session()
    cases = set(itertools.product(CALLS, regions()))
    assert len(cases) > 3 * 40
    older = OLDER_DATA if dual_stack == "true" else set()
    refused = BOTOCORE_REFUSES if dual_stack == "true" else set()
    # A refusal without a retry, because the test only needs the URL.
    with Proxy(tmp_path, lambda *_: response(400, b'{"__type": "Refused"}')) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(proxy.authority))
        asked = {case: core_asks(proxy, tmp_path, *case) for case in cases - older}
        asked |= {case: core_asks(proxy, tmp_path, *case, deadline="100ms") for case in older}
    expected = {case: botocore_asks(session, *case) for case in cases}
    assert {case for case in cases if asked[case] == NOBODY} == older
    assert {case for case in cases if expected[case] == NOBODY} == refused
    same = cases - older - refused
    assert {case: asked[case] for case in same} == {case: expected[case] for case in same}
