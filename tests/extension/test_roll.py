"""Starts functions of moto's Lambda anew, as people and schedules do."""

from __future__ import annotations

import re
import secrets as randomness
from collections.abc import Callable

import pytest

from tests.fakes.accounts import Account
from tests.fakes.aws import REGION

from .conftest import Canaries, Keystart

MARKER = "KEYSTART_ROLLED"
NOW = ("--yes", "--over", "0s")


def arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:123456789012:function:{name}"


@pytest.fixture
def secret(account: Account) -> str:
    """The name of a secret that exists."""
    name = f"prod/{randomness.token_hex(4)}"
    account.secret(name)
    return name


@pytest.fixture
def user(account: Account, secret: str) -> Callable[..., str]:
    """Makes functions that use the secret."""
    return lambda variables=(), **settings: account.function(
        {"KEYSTART_SECRETS": f"db={secret}", **dict(variables)}, **settings
    )


def test_a_roll_sets_one_variable_and_keeps_all_others(
    keystart: Keystart, account: Account, user: Callable[..., str], canary: Canaries
) -> None:
    name = user({"TOKEN": canary()})
    before = account.variables_of(name)
    assert keystart("roll", name, *NOW) == (
        0,
        f"{arn(name)}\n  + variable  KEYSTART_ROLLED  the versions of 1 secret\nchanged {name}\n",
        "",
    )
    after = account.variables_of(name)
    assert re.fullmatch("[0-9a-f]{16}", after.pop(MARKER))
    assert after == before
    (change,) = account.changes
    assert set(change.body) == {"Environment"}


def test_only_a_moved_label_rolls_again(
    keystart: Keystart, account: Account, user: Callable[..., str], secret: str
) -> None:
    name = user()
    assert keystart("roll", name, *NOW)[0] == 0
    assert keystart("roll", name, *NOW) == (0, f"{arn(name)}\n    nothing to change\n", "")
    first = account.variables_of(name)[MARKER]
    account.move(secret)
    code, out, _ = keystart("roll", name, *NOW)
    assert (code, "  ~ variable  KEYSTART_ROLLED  the versions of 1 secret\n" in out) == (0, True)
    assert account.variables_of(name)[MARKER] != first
    assert len(account.changes) == 2


def test_no_value_is_asked_for(keystart: Keystart, account: Account, user: Callable[..., str]) -> None:
    assert keystart("roll", user(), *NOW)[0] == 0
    assert not [request for request in account.requests if "GetSecretValue" in (request.action or "")]
