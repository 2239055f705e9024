"""Runs the function that each recipe deploys, with the variables that the recipe sets."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.e2e.lambda_simulator import Environment, InitError

from .stand_in import StandIn

Start = Callable[[str], AbstractContextManager[Environment]]


@pytest.mark.parametrize("recipe", ["sam", "aws-python", "slim-python"])
def test_the_python_function_asks_its_partner_over_mutual_tls(
    start: Start, cloud: StandIn, recipe: str
) -> None:
    for currency in ("EUR", "SEK"):  # its own, and then from the optional parameter
        with start(recipe) as environment:
            price = {"item": "7", "currency": currency, "for": "orders"}
            assert environment.invoke({"item": 7}).value == {"status": 200, "price": price}
        cloud.parameter("/prod/orders/currency", "SEK")
    cloud.ssm.delete_parameter(Name="/prod/orders/currency")


@pytest.mark.parametrize("recipe", ["cdk", "aws-node"])
def test_the_node_function_takes_only_what_was_signed(start: Start, cloud: StandIn, recipe: str) -> None:
    body = json.dumps({"id": 42})

    def signed(key: str) -> dict[str, object]:
        return {
            "body": body,
            "headers": {"x-signature": hmac.digest(key.encode(), body.encode(), "sha256").hex()},
        }

    taken = {"statusCode": 200, "body": '{"received":42}'}
    before = cloud.new_webhook_key()
    with start(recipe) as environment:
        assert environment.invoke(signed(before)).value == taken
        assert environment.invoke(signed("another key")).value == {"statusCode": 401}
        assert environment.invoke({"body": body, "headers": {}}).value == {"statusCode": 401}
        assert environment.invoke({"body": "x" * 101, "headers": {}}).value == {"statusCode": 413}
    current = cloud.rotate_webhook_key()
    with start(recipe) as environment:
        assert environment.invoke(signed(current)).value == taken
        assert environment.invoke(signed(before)).value == taken
        assert environment.invoke(signed("another key")).value == {"statusCode": 401}


@pytest.mark.parametrize("recipe", ["terraform", "serverless"])
@pytest.mark.parametrize(("settings", "seconds"), [('{"seconds": 60}', 60), ("60 seconds", 300)])
def test_the_ruby_function_returns_tokens(
    start: Start, cloud: StandIn, recipe: str, settings: str, seconds: int
) -> None:
    cloud.parameter("/prod/token-settings", settings)
    with start(recipe) as environment:
        answer: Any = environment.invoke({"client": "shop"}).value
    text, _, signature = answer["token"].rpartition(".")
    assert _decoded(signature) == hmac.digest(cloud.token_key.encode(), text.encode(), "sha256")
    claims: Mapping[str, object] = json.loads(_decoded(text.partition(".")[2]))
    assert claims == {"sub": "shop", "exp": answer["expires"]}
    assert abs(answer["expires"] - time.time() - seconds) < 30
    said = 'The secret "token/settings" is not valid JSON'
    assert (said in environment.log_text()) == (seconds == 300)


def test_the_layers_reader_comes_before_that_of_this_checkout(layer: Any) -> None:
    if not layer.built:
        pytest.skip("dist holds no layer: it is built on Debian 12")
    code = "import keystart; print(keystart.__file__)"
    variables = {"PYTHONPATH": f"{layer.opt}/python"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.stdout == f"{layer.opt}/python/keystart/__init__.py\n"


def test_a_function_without_its_secret_does_not_start(start: Start, cloud: StandIn) -> None:
    cloud.ssm.delete_parameter(Name="/prod/token-settings")
    # The extension reports it, or the function, which learns it from its reader first.
    with pytest.raises(InitError, match=r"Extension\.SecretsUnavailable|PrefetchFailed"), start("terraform"):
        pass


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
