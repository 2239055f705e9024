"""Searches the memory of the process, after its publish, for the values and credentials that it had."""

from __future__ import annotations

import base64
import json
import os
import time

import pytest

from tests.fakes.aws import Cloud, container_credentials, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.front import Fault
from tests.fakes.http import Answer, Request
from tests.fakes.stages import StagedSecrets
from tests.memory import copies
from tests.waiting import PATIENCE

from .conftest import Canaries, Launcher, Serve, ServeTls, Store
from .control import Control
from .test_attempts import Logins
from .test_snapstart import SNAPSTART, configuration

pytestmark = [pytest.mark.alone, pytest.mark.long]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the memory of the process")


@needs_root
def test_no_value_is_left_in_memory_after_publish(
    launch: Launcher, lambda_api: Lambda, store: Store, canary: Canaries, serve: Serve
) -> None:
    text, member, binary, parameter, below = (canary() for _ in range(5))
    encoded = base64.b64encode(binary.encode()).decode()
    answers = {
        "text": secret(text),
        "json": secret(json.dumps({"a": member, "b": "x"})),
        "binary": secret("", SecretString=None, SecretBinary=encoded),
    }

    def answer(request: Request) -> Answer:
        if request.action == "GetSecretValue":
            return answers[request.json["SecretId"]]
        value = {"GetParameters": parameter, "GetParametersByPath": below}[request.action]
        name = "/one" if request.action == "GetParameters" else "/all/one"
        page = {"Parameters": [{"Name": name, "Value": value, "Version": 1, "Type": "SecureString"}]}
        return Answer(body=json.dumps(page).encode())

    entries = {
        "text": "text",
        "member": {"secret": "json", "expand": True},
        "binary": "binary",
        "one": "ssm:/one",
        "all": {"parameters": "/all"},
    }
    serve(answer)
    extension = launch(lambda_api, entries)
    lambda_api.wait_for("/event/next")
    published = store.values["text"]
    wanted = [text, member, binary, encoded, parameter, below]
    found = copies(extension.process.pid, {str(at): value.encode() for at, value in enumerate(wanted)})
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0
    assert published == text.encode()
    assert found == {name: [] for name in found}


@needs_root
def test_no_value_is_left_in_memory_after_tls(
    launch: Launcher,
    lambda_api: Lambda,
    canary: Canaries,
    cloud: Cloud,
    serve_tls: ServeTls,
) -> None:
    value = canary()
    serve_tls(Fault())
    extension = launch(lambda_api, {"db": cloud.secret(value)})
    lambda_api.wait_for("/event/next")
    found = copies(extension.process.pid, {"value": value.encode()})
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0
    assert found == {"value": []}


@needs_root
@pytest.mark.usefixtures("without_keys")
def test_credentials_of_the_container_are_not_left_in_memory(
    launch: Launcher, lambda_api: Lambda, canary: Canaries, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = canary(), canary()
    credentials = container_credentials(key, Token=token)

    def answer(request: Request) -> Answer:
        return credentials if request.path == "/credentials" else secret("x")

    aws = serve(answer)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
    extension = launch(lambda_api, {"db": "db"})
    lambda_api.wait_for("/event/next")
    found = copies(extension.process.pid, {"key": key.encode(), "token": token.encode()})
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0
    assert found == {"key": [], "token": []}


@needs_root
def test_values_of_other_stages_leave_memory_soon_after_a_login(
    launch: Launcher, lambda_api: Lambda, store: Store, canary: Canaries, serve: Serve
) -> None:
    older, old, new = canary(), canary(), canary()
    wanted = {"AWSPREVIOUS": older.encode(), "AWSCURRENT": old.encode(), "AWSPENDING": new.encode()}
    aws = serve.start(StagedSecrets())
    aws.put("db", older)
    aws.put("db", old)
    extension = launch(lambda_api, {"db": "db"})
    lambda_api.wait_for("/event/next")
    logins = Logins(Control(store.root))

    def left_over() -> dict[str, list[str]]:
        """Waits until nothing is left, and returns what is."""
        ends_at = time.monotonic() + PATIENCE
        while any((found := copies(extension.process.pid, wanted)).values()) and time.monotonic() < ends_at:
            time.sleep(0.2)
        return found

    def log_in(generation: int | None) -> int:
        while (answer := logins.ask(generation=generation))["retry_after_ms"] is not None:
            time.sleep(answer["retry_after_ms"] / 1000)
        return int(answer["candidate"] or answer["generation"])

    logins.rejected(log_in(None))
    of_previous = log_in(1)
    assert [asked.stage for asked in aws.asked[1:]] == ["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]
    assert left_over() == {stage: [] for stage in wanted}, "after a candidate"

    aws.put("db", new, "AWSPENDING")
    logins.rejected(of_previous)
    # The published version, tried again, ends the first round (12.13). Then the others have their turn.
    logins.rejected(log_in(of_previous))
    time.sleep(1.2)  # each stage is fetched once a second
    of_pending = log_in(1)
    assert logins.accepted(of_pending)["generation"] == of_pending + 1
    assert store.values == {"db": new.encode()}
    assert left_over() == {stage: [] for stage in wanted}, "after a publish"

    assert logins.control.ask(None)["ok"]
    assert left_over() == {stage: [] for stage in wanted}, "after a refresh"
    for call in logins.calls:
        call.close()
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


@needs_root
@pytest.mark.usefixtures("without_keys")
def test_a_snapshot_of_the_process_holds_no_value_and_no_credential_before_the_first_invocation(
    launch: Launcher,
    lambda_api: Lambda,
    store: Store,
    canary: Canaries,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value, key, token = canary(), canary(), canary()
    wanted = {"value": value.encode(), "key": key.encode(), "token": token.encode()}
    credentials = container_credentials(key, Token=token)

    def answer(request: Request) -> Answer:
        return credentials if request.path == "/credentials" else secret(value)

    aws = serve(answer)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
    extension = launch(lambda_api, configuration(), **SNAPSTART)
    lambda_api.wait_for("/event/next")
    assert store.state["state"] == "deferred"
    in_snapshot = copies(extension.process.pid, wanted)
    asked = list(aws.requests)
    lambda_api.send("INVOKE")
    lambda_api.wait_for("/event/next", times=2)
    assert store.values == {"db": value.encode()}
    after_publish = copies(extension.process.pid, wanted)
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0
    assert asked == []
    assert in_snapshot == after_publish == {name: [] for name in wanted}
