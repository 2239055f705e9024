"""Runs the layer's zip, as it is, with functions in three languages in AWS's Runtime Interface Emulator."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from pathlib import Path

import pytest

from tests.e2e.stage import Store

from .emulator import InvokeError
from .stage import LANGUAGES, environment


def assert_no_secret_is_logged(log: str, store: Store) -> None:
    for name in ("db/password", "api/stripe", "tls/key"):
        assert store.expected[name].decode().strip() not in log, f"the log holds {name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_function_lives_from_init_to_shutdown(
    tmp_path: Path, opt: Path, store: Store, language: str
) -> None:
    key = secrets.token_bytes(32)
    digests = {name: hmac.new(key, value, "sha256").hexdigest() for name, value in store.expected.items()}
    with environment(tmp_path, opt, language, store.endpoint) as emulator:
        root = emulator.tmp / "keystart"
        for _ in range(3):
            answer = emulator.invoke({"key": key.hex()})
            assert isinstance(answer, dict), answer
            assert answer.get("secrets") == digests, emulator.log()
            assert answer["reader"].startswith("/opt/"), "the layer brings the reader"
        assert json.loads((root / "state.json").read_text())["state"] == "ready"
        assert emulator.shut_down() == 0
        assert json.loads((root / "state.json").read_text())["state"] == "stopped"
        assert not [path for path in (root / "generations").rglob("*") if path.is_file()]
        assert re.search(
            r"External agent keystart \(.*\) registered, subscribed to \[SHUTDOWN\]", emulator.log()
        )
        assert_no_secret_is_logged(emulator.log(), store)


def test_with_a_ttl_the_extension_subscribes_to_invocations(tmp_path: Path, opt: Path, store: Store) -> None:
    configuration = "version: 1\nttl: 10s\nsecrets:\n  api/stripe: prod/stripe-key\n"
    with environment(tmp_path, opt, "python", store.endpoint, configuration) as emulator:
        for _ in range(3):
            emulator.invoke({"key": ""})
        assert emulator.shut_down() == 0
        assert re.search(r"registered, subscribed to \[INVOKE SHUTDOWN\]", emulator.log())
        assert_no_secret_is_logged(emulator.log(), store)


def test_a_required_secret_that_does_not_exist_ends_init_with_its_reason(
    tmp_path: Path, opt: Path, store: Store
) -> None:
    configuration = "version: 1\nsecrets:\n  gone: prod/gone\n"
    with environment(tmp_path, opt, "python", store.endpoint, configuration) as emulator:
        with pytest.raises(InvokeError):
            emulator.invoke({"key": ""})
        assert "INIT RTDONE(status: error)" in emulator.log()
        assert "[keystart] ERROR gone (secret prod/gone in " in emulator.log()
