"""Runs the extension of this checkout in the simulator, with functions in three languages and moto behind it."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keystart
import pytest

from tests.fakes.aws import Cloud

from . import demo, stage
from .lambda_simulator import Deliver, Environment, Fault, InitError, Respond
from .lambda_simulator.runtimes import Runtime
from .lambda_simulator.timeline import Kind
from .languages import EACH_RUNTIME

EXTENSION = "keystart"


@pytest.fixture(scope="module")
def store() -> Iterator[stage.Store]:
    stage.without_aws_settings()
    with stage.store() as store:
        yield store


def store_root(environment: Environment) -> Path:
    return environment.tmp / "keystart"


def manifest(environment: Environment) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store_root(environment) / "current/manifest.json").read_text())
    return document


def state(environment: Environment) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store_root(environment) / "state.json").read_text())
    return document


def published_ns(environment: Environment) -> int:
    return environment.timeline.at_wall_time(stage.seconds(manifest(environment)["published_at"]))


def assert_no_secret_is_shown(environment: Environment, store: stage.Store) -> None:
    output = "\n".join([environment.log_text(), environment.timeline.to_json()])
    for name in ("db/password", "api/stripe", "tls/key"):
        assert store.expected[name].decode().strip() not in output, f"{name} stands in the log"


@EACH_RUNTIME
def test_a_function_reads_at_import_what_was_stored(
    tmp_path: Path, store: stage.Store, language: str, runtime: Callable[[], Runtime]
) -> None:
    key = secrets.token_bytes(32)
    with stage.environment(tmp_path, language, store.endpoint, runtime=runtime()) as environment:
        environment.init()
        answer = environment.invoke({"key": key.hex()}).value
        assert isinstance(answer, dict)
        assert answer["secrets"] == {
            name: hmac.new(key, value, "sha256").hexdigest() for name, value in store.expected.items()
        }
        assert answer["missing"]["code"] == "secret_unavailable"
        assert_no_secret_is_shown(environment, store)


def test_the_runtime_starts_before_the_fetch_is_done(tmp_path: Path, store: stage.Store) -> None:
    with stage.environment(tmp_path, "python", store.endpoint) as environment:
        environment.init()
        timeline = environment.timeline
        registered = timeline.first(Kind.EXTENSION_REGISTERED, EXTENSION).at_ns
        started = timeline.first(Kind.RUNTIME_STARTED).at_ns
        ready = timeline.first(Kind.EXTENSION_NEXT, EXTENSION).at_ns
        assert registered < started < published_ns(environment) < ready


def test_with_start_before_everything_is_published_when_the_runtime_starts(
    tmp_path: Path, store: stage.Store
) -> None:
    files = ["/tmp/keystart/current/secrets/db/password", "/tmp/keystart/current/secrets/kerberos/keytab"]
    with stage.environment(
        tmp_path,
        "python",
        store.endpoint,
        function="files",
        configuration=stage.CONFIGURATION + "start: before\n",
        env={"FILES": json.dumps(files)},
    ) as environment:
        if not environment.isolated:
            pytest.skip(f"the function reads fixed paths: {environment.why_not_isolated}")
        environment.init()
        assert published_ns(environment) < environment.timeline.first(Kind.RUNTIME_STARTED).at_ns
        assert environment.invoke({}).value == {
            path: len(store.expected[path.split("/secrets/")[1]]) for path in files
        }


def test_a_function_reads_a_rotated_secret_in_the_invocation_after_the_one_that_refreshed(
    tmp_path: Path, store: stage.Store
) -> None:
    key = secrets.token_bytes(32)
    name = f"rotated-{secrets.token_hex(8)}"
    old, new = secrets.token_hex(16), secrets.token_hex(16)
    cloud = Cloud(store.endpoint)
    cloud.secret(old, name)
    with stage.environment(
        tmp_path,
        "python",
        store.endpoint,
        function="reads",
        configuration=f"version: 1\nttl: 10s\nsecrets:\n  db: {name}\n",
    ) as environment:
        environment.init()

        def read() -> object:
            return environment.invoke({"key": key.hex(), "name": "db"}).value

        def digest(value: str) -> str:
            return hmac.new(key, value.encode(), "sha256").hexdigest()

        assert read() == digest(old)
        cloud.secrets.put_secret_value(SecretId=name, SecretString=new)
        assert read() == digest(old), "the ttl has not passed"
        time.sleep(10)
        assert read() in (digest(old), digest(new)), "the refresh runs beside the handler"
        assert read() == digest(new)
        assert manifest(environment)["generation"] == 2
        output = environment.log_text() + environment.timeline.to_json()
        assert old not in output
        assert new not in output
    cloud.close()


VARIABLES = """\
version: 1
secrets:
  db/password: {secret: prod/orders/db, field: password, env: DB_PASSWORD}
  api/stripe: {secret: prod/stripe-key, env: STRIPE_API_KEY}
  tls/cert: {secret: prod/orders/mtls, field: cert, env: TLS_CERT}
  limits: {parameter: /prod/orders/limits, env: LIMITS}
  feature-flags: {secret: prod/feature-flags, optional: true, env: FEATURE_FLAGS}
"""


@EACH_RUNTIME
def test_a_function_finds_secrets_in_its_environment(
    tmp_path: Path, store: stage.Store, language: str, runtime: Callable[[], Runtime]
) -> None:
    key = secrets.token_bytes(32)
    with stage.environment(
        tmp_path,
        language,
        store.endpoint,
        runtime=runtime(),
        function="variables",
        configuration=VARIABLES,
        env={"AWS_LAMBDA_EXEC_WRAPPER": str(stage.WRAPPER), "LIMITS": "as configured"},
    ) as environment:
        environment.init()
        expected: dict[str, bytes | None] = {
            "DB_PASSWORD": store.expected["db/password"],
            "STRIPE_API_KEY": store.expected["api/stripe"],
            "TLS_CERT": store.expected["tls/cert"],
            "LIMITS": b"as configured",
            "FEATURE_FLAGS": None,
        }
        assert environment.invoke({"key": key.hex(), "names": list(expected)}).value == {
            name: None if value is None else hmac.new(key, value, "sha256").hexdigest()
            for name, value in expected.items()
        }
        said = environment.log_text("runtime")
        assert "[keystart] WARN  LIMITS is set already and stays as it is" in said
        assert "[keystart] WARN  FEATURE_FLAGS is not set by Keystart: " in said
        assert "[keystart] INFO  set from secrets: DB_PASSWORD, STRIPE_API_KEY, TLS_CERT" in said
        assert_no_secret_is_shown(environment, store)


def test_a_secret_that_no_variable_can_hold_ends_init_with_its_name(
    tmp_path: Path, store: stage.Store
) -> None:
    configuration = "version: 1\nsecrets:\n  keytab: {secret: prod/orders/keytab, env: KEYTAB}\n"
    with stage.environment(
        tmp_path,
        "python",
        store.endpoint,
        function="variables",
        configuration=configuration,
        env={"AWS_LAMBDA_EXEC_WRAPPER": str(stage.WRAPPER)},
    ) as environment:
        with pytest.raises(InitError) as failed:
            environment.init()
        assert failed.value.who == "runtime"
        assert environment.timeline.last(Kind.RUNTIME_EXITED).detail["code"] == 1
        assert '[keystart] ERROR The secret "keytab" holds a NUL byte' in environment.log_text("runtime")
        assert_no_secret_is_shown(environment, store)


def test_a_function_written_for_squares_extension_finds_its_files(tmp_path: Path, store: stage.Store) -> None:
    square = """\
SecretManagers:
  - prefix: prod/
    secrets:
      - secretname: stripe-key
        filename: stripe+key
      - secretname: orders/keytab
"""
    files = ["/tmp/secrets/stripe+key", "/tmp/secrets/orders/keytab"]
    with stage.environment(
        tmp_path,
        "python",
        store.endpoint,
        function="files",
        configuration=None,
        env={"FILES": json.dumps(files)},
    ) as environment:
        if not environment.isolated:
            pytest.skip(f"the function reads fixed paths: {environment.why_not_isolated}")
        (tmp_path / "task-python/config.yaml").write_text(square)
        environment.init()
        sizes = environment.invoke({}).value
        assert sizes == dict(
            zip(files, [len(store.expected[n]) for n in ("api/stripe", "kerberos/keytab")], strict=True)
        )
        links = [environment.tmp / path.removeprefix("/tmp/") for path in files]
        assert all(link.is_symlink() for link in links)
        environment.shutdown()
        assert not any(link.is_symlink() for link in links)


def test_shutdown_wipes_the_store_and_ends_with_0(tmp_path: Path, store: stage.Store) -> None:
    with stage.environment(tmp_path, "python", store.endpoint) as environment:
        environment.init()
        environment.shutdown()
        assert environment.timeline.last(Kind.EXTENSION_EXITED, EXTENSION).detail["code"] == 0
        assert state(environment)["state"] == "stopped"
        left = {path.name for path in store_root(environment).rglob("*") if path.is_file()}
        assert left == {"lock", "state.json"}


def test_a_second_init_over_the_same_tmp_never_uses_a_number_again(
    tmp_path: Path, store: stage.Store
) -> None:
    with stage.environment(tmp_path, "python", store.endpoint) as environment:
        numbers = []
        for _ in range(3):
            environment.init()
            numbers.append(manifest(environment)["generation"])
            environment.kill()
        assert numbers == [1, 2, 3]
        assert [path.name for path in (store_root(environment) / "generations").iterdir()] == ["3"]


def test_a_required_secret_that_is_absent_ends_init_with_its_reason(
    tmp_path: Path, store: stage.Store
) -> None:
    configuration = "version: 1\nsecrets:\n  db: prod/orders/db\n  gone: prod/gone\n"
    with stage.environment(
        tmp_path, "python", store.endpoint, function="echo", configuration=configuration
    ) as environment:
        with pytest.raises(InitError) as failed:
            environment.init()
        assert failed.value.who == EXTENSION
        assert failed.value.reported == "Extension.SecretsUnavailable"
        assert environment.timeline.last(Kind.EXTENSION_EXITED, EXTENSION).detail["code"] == 1
        assert (
            "gone (secret prod/gone in eu-west-1 of account 123456789012): ResourceNotFoundException"
            in environment.log_text(EXTENSION)
        )
        with pytest.raises(keystart.PrefetchFailed, match='"gone": ResourceNotFoundException'):
            keystart.Keystart(root=str(store_root(environment)), timeout=0).get("db")
        assert_no_secret_is_shown(environment, store)


def test_a_wrong_configuration_ends_init_with_every_problem_at_once(
    tmp_path: Path, store: stage.Store
) -> None:
    configuration = "version: 1\nstrat: before\nttl: 5s\nsecrets:\n  db: {secert: prod/orders/db}\n"
    with stage.environment(
        tmp_path, "python", store.endpoint, function="echo", configuration=configuration
    ) as environment:
        with pytest.raises(InitError) as failed:
            environment.init()
        assert failed.value.reported == "Extension.ConfigurationInvalid"
        log = environment.log_text(EXTENSION)
        assert "keystart.yaml:2:1:" in log
        assert '"start"' in log
        assert "keystart.yaml:3:" in log
        assert '"secret"' in log
        assert state(environment)["state"] == "failed"


def test_without_the_extension_every_language_says_so_at_once(tmp_path: Path, store: stage.Store) -> None:
    (tmp_path / "extensions").mkdir()
    said = set()
    for language, runtime in demo.RUNTIMES.items():
        with stage.environment(tmp_path, language, store.endpoint, runtime=runtime()) as environment:
            with pytest.raises(InitError) as failed:
                environment.init()
            assert failed.value.payload is not None
            error = json.loads(failed.value.payload)
            assert "NotAttached" in error["errorType"]
            said.add(error["errorMessage"].replace(str(store_root(environment)), "/tmp/keystart"))
    assert len(said) == 1
    assert said.pop().startswith("There is no store at /tmp/keystart. Attach the Keystart extension")


@pytest.mark.usefixtures("store")
def test_a_store_of_secrets_that_never_answers_ends_at_the_deadline(tmp_path: Path) -> None:
    with socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen()
        endpoint = f"http://127.0.0.1:{black_hole.getsockname()[1]}"
        configuration = "version: 1\ndeadline: 500ms\nsecrets:\n  db: prod/orders/db\n"
        with stage.environment(
            tmp_path, "python", endpoint, function="echo", configuration=configuration
        ) as environment:
            with pytest.raises(InitError) as failed:
                environment.init()
            assert failed.value.reported == "Extension.SecretsUnavailable"
            host = endpoint.removeprefix("http://")
            reason = f"DeadlineExceeded: No answer from {host} within the deadline of 0.5 s."
            assert reason in environment.log_text()


def test_under_snapstart_credentials_come_from_the_container_endpoint_and_a_warning_is_logged(
    tmp_path: Path, store: stage.Store
) -> None:
    with stage.environment(
        tmp_path, "python", store.endpoint, initialization_type="snap-start"
    ) as environment:
        environment.init()
        assert "the snapshot holds them" in environment.log_text(EXTENSION)
        assert manifest(environment)["generation"] == 1


def test_on_managed_instances_only_shutdown_is_subscribed(tmp_path: Path, store: stage.Store) -> None:
    with stage.environment(
        tmp_path, "python", store.endpoint, initialization_type="lambda-managed-instances"
    ) as environment:
        environment.init()
        assert not environment.timeline.all(Kind.EXTENSION_REFUSED, EXTENSION)
        assert manifest(environment)["generation"] == 1


def test_an_unknown_event_is_logged_and_the_secrets_stay(tmp_path: Path, store: stage.Store) -> None:
    fault = Fault("next", Deliver({"eventType": "MOONRISE"}), EXTENSION)
    with stage.environment(tmp_path, "python", store.endpoint, faults=[fault]) as environment:
        environment.init()
        environment.timeline.wait(Kind.EXTENSION_NEXT, EXTENSION, times=2)
        assert "'MOONRISE'" in environment.log_text(EXTENSION)
        environment.invoke({"key": "00"})
        environment.shutdown()
        assert environment.timeline.last(Kind.EXTENSION_EXITED, EXTENSION).detail["code"] == 0


def test_an_api_that_refuses_to_register_ends_the_process_and_readers_see_why(
    tmp_path: Path, store: stage.Store
) -> None:
    fault = Fault("register", Respond(500), EXTENSION, times=None)
    with stage.environment(tmp_path, "python", store.endpoint, faults=[fault]) as environment:
        with pytest.raises(InitError):
            environment.init()
        assert state(environment)["state"] == "failed"
        assert "answered 500 to /register" in environment.log_text(EXTENSION)


def test_json_logging_writes_one_object_a_line(tmp_path: Path, store: stage.Store) -> None:
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    with stage.environment(tmp_path, "python", store.endpoint, env=env) as environment:
        environment.init()
        records = [json.loads(line.text) for line in environment.log if line.who == EXTENSION]
        assert {record["level"] for record in records} == {"INFO", "WARN"}


def test_secrets_can_be_configured_inline(tmp_path: Path, store: stage.Store) -> None:
    env = {"KEYSTART_SECRETS": "api/stripe=prod/stripe-key,limits=ssm:/prod/orders/limits"}
    with stage.environment(
        tmp_path, "python", store.endpoint, function="echo", configuration=None, env=env
    ) as environment:
        environment.init()
        assert sorted(manifest(environment)["secrets"]) == ["api/stripe", "limits"]
