"""Runs commands about functions with a standard stream that was closed, as some schedulers start them."""

from __future__ import annotations

import subprocess

import pytest

from tests.fakes.accounts import Account

from .conftest import COMMAND, Environment

pytestmark = pytest.mark.long

NO_TERMINAL = "keystart: There is no terminal to ask at. Pass --yes, or --dry-run to look first.\n"


def run(environment: Environment, command: str, *arguments: str) -> tuple[int, str]:
    """Runs a line of the shell, in which $0 is keystart; returns exit code and errors."""
    ended = subprocess.run(
        ["sh", "-c", command, COMMAND, *arguments],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stderr.decode()


@pytest.mark.parametrize("command", ['attach --layer "$2"', "detach"])
def test_without_an_input_nobody_can_agree(environment: Environment, account: Account, command: str) -> None:
    function, layer = account.function(), account.layer("keystart-x86_64")
    assert run(environment, f'"$0" {command} "$1" <&-', function, layer) == (2, NO_TERMINAL)


def test_a_list_from_a_closed_input_is_empty(environment: Environment, account: Account) -> None:
    message = "keystart: standard input names no function. Write one a line.\n"
    assert run(environment, '"$0" status --from - <&-') == (1, message)


@pytest.mark.parametrize("command", ["detach --dry-run", "status"])
def test_a_closed_output_changes_no_exit_code(
    environment: Environment, account: Account, command: str
) -> None:
    names = account.function(), account.function()
    assert run(environment, f'"$0" {command} "$1" "$2" >&-', *names) == (0, "")
    assert run(environment, f'"$0" {command} "$1" "$2" 2>&-', *names) == (0, "")
    assert run(environment, f'"$0" {command} --json "$1" "$2" 2>&-', *names) == (0, "")
