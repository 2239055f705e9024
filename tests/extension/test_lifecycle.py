"""Starts the process as Lambda does, against a scripted Extensions API, and follows it to its end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystart_extension import core
from keystart_extension.core import CoreError, text
from keystart_extension.extension import Extension
from keystart_extension.links import Links
from keystart_extension.log import Log
from keystart_extension.process import Process
from keystart_extension.publish import wipe
from keystart_extension.store import Draft, Writer

from tests.fakes.aws import Cloud, refusal, secret
from tests.fakes.extensions_api import IDENTIFIER, Lambda
from tests.fakes.http import Answer, Gate

from .conftest import COMMAND, Canaries, Environment, Launcher, Serve, Store

TERMINATED = 128 + signal.SIGTERM
ABSENT = (
    "db (secret prod/absent in eu-west-1): ResourceNotFoundException: Secrets Manager can't find the specified secret. "
    "Correct the id, the region, the account or the stage."
)
REQUIRED = "Required secrets could not be fetched."


def gone(store: Store) -> bool:
    return store.state["state"] == "stopped" and not store.is_published() and store.leftovers() == []


@pytest.mark.parametrize(
    ("start", "at_register"), [("overlap", ("starting", False)), ("before", ("ready", True))]
)
def test_a_life_from_register_to_shutdown(
    launch: Launcher,
    lambda_api: Lambda,
    cloud: Cloud,
    store: Store,
    canary: Canaries,
    start: str,
    at_register: tuple[str, bool],
) -> None:
    value = canary()
    extension = launch(lambda_api, {"db": cloud.secret(value)}, start=start)
    lambda_api.wait_for("/event/next")
    assert lambda_api.seen_at_register == at_register
    assert store.values == {"db": value.encode()}
    assert store.state["state"] == "ready"
    register, following = lambda_api.requests
    assert (register.method, register.json) == ("POST", {"events": ["SHUTDOWN"]})
    assert register.headers["Lambda-Extension-Name"] == launch.path.name
    assert (following.method, following.headers["Lambda-Extension-Identifier"]) == ("GET", IDENTIFIER)
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    (published,) = lines
    assert re.fullmatch(
        r"\[keystart\] INFO  published 1 secret as generation 1 in \d+ ms, through an installed interpreter, "
        "which is slower than the executable",
        published,
    )
    assert gone(store)
    assert lambda_api.paths() == ["/register", "/event/next"]


@pytest.mark.parametrize(
    ("answered", "entry", "account", "shown"),
    [
        ("123456789012", {"secret": "x"}, "123456789012", "in eu-west-1 of account 123456789012"),
        (
            "123456789012",
            {"secret": "x", "role": "arn:aws:iam::210987654321:role/r"},
            "210987654321",
            "in eu-west-1 of account 210987654321",
        ),
        (
            "123456789012",
            {"secret": "arn:aws:secretsmanager:eu-west-1:210987654321:secret:x"},
            "210987654321",
            "in eu-west-1",
        ),
        (None, {"secret": "x"}, "", "in eu-west-1"),
        ("account", {"secret": "x"}, "", "in eu-west-1"),
        (7, {"secret": "x"}, "", "in eu-west-1"),
    ],
)
def test_a_line_about_a_secret_names_the_account_that_lambda_reports(
    launch: Launcher,
    lambda_api: Lambda,
    serve: Serve,
    answered: object,
    entry: dict[str, str],
    account: str,
    shown: str,
) -> None:
    serve(lambda _: refusal(400, "AccessDeniedException", "No"))
    body = json.dumps({"functionName": "orders", "accountId": answered}).encode()
    lambda_api.answers["/register"] = Answer(200, body, {"Lambda-Extension-Identifier": IDENTIFIER})
    _, lines = launch(lambda_api, {"db": entry}, AWS_LAMBDA_LOG_FORMAT="JSON").ended()
    (failed,) = (line for line in map(json.loads, lines) if line.get("event") == "secret_failed")
    assert failed["account"] == account
    assert failed["message"].startswith(f"[keystart] db (secret {entry['secret']} {shown}): ")
    assert lambda_api.requests[0].headers["Lambda-Extension-Accept-Feature"] == "accountId"


def test_what_an_earlier_process_left_is_gone_before_register(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    killed = launch(lambda_api, {"db": cloud.secret("old")})
    lambda_api.wait_for("/event/next")
    killed.process.kill()
    killed.ended()
    assert store.values == {"db": b"old"}
    launch(lambda_api, {"db": cloud.secret("new")})
    lambda_api.wait_for("/event/next", times=2)
    assert lambda_api.seen_at_register == ("starting", False)
    assert (store.values, store.manifest["generation"]) == ({"db": b"new"}, 2)


@pytest.mark.parametrize("start", ["overlap", "before"])
def test_a_missing_required_secret_is_reported_to_the_log_the_readers_and_lambda(
    launch: Launcher, lambda_api: Lambda, store: Store, start: str
) -> None:
    code, lines = launch(lambda_api, {"db": "prod/absent"}, start=start).ended()
    assert code == 1
    assert lines == [f"[keystart] ERROR {REQUIRED}", f"[keystart] ERROR {ABSENT}"]
    assert (store.state["state"], store.state["message"]) == ("failed", REQUIRED)
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert lambda_api.reported == [("Extension.SecretsUnavailable", REQUIRED)]
    report = lambda_api.requests[-1]
    assert report.headers["Lambda-Extension-Identifier"] == IDENTIFIER
    assert report.json == {
        "errorMessage": REQUIRED,
        "errorType": "Extension.SecretsUnavailable",
        "stackTrace": [],
    }


def test_a_wrong_configuration_registers_and_reports_every_problem(
    launch: Launcher, lambda_api: Lambda, store: Store, tmp_path: Path
) -> None:
    code, lines = launch(lambda_api, "version: 1\nsecrts: {}\nsecrets:\n  ../x: y\n").ended()
    assert code == 1
    file = tmp_path / "keystart.yaml"
    assert lines[0].startswith(f"[keystart] ERROR {file}:2:1: ")
    assert lines[1].startswith(
        f"[keystart] ERROR {file}:4:3: The name of a secret must be valid, found a text of 4"
    )
    message = "\n".join(line.removeprefix("[keystart] ERROR ") for line in lines)
    assert (store.state["state"], store.state["message"]) == ("failed", message)
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert lambda_api.requests[0].json == {"events": ["SHUTDOWN"]}
    assert lambda_api.reported == [("Extension.ConfigurationInvalid", message)]


def test_an_empty_map_of_secrets_is_refused(launch: Launcher, lambda_api: Lambda, tmp_path: Path) -> None:
    code, lines = launch(lambda_api, {}).ended()
    message = f"{tmp_path}/keystart.json:1:47: There are no secrets. Name at least one."
    assert (code, lines) == (1, [f"[keystart] ERROR {message}"])


def test_an_optional_secret_that_is_absent_does_not_end_the_start(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    wanted = {"flags": {"secret": "prod/absent", "optional": True}, "db": cloud.secret("x")}
    extension = launch(lambda_api, wanted)
    lambda_api.wait_for("/event/next")
    assert store.values == {"db": b"x"}
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0


def test_an_unknown_event_is_ignored_with_a_warning(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")})
    lambda_api.send("MOON\nRISE" * 20)
    lambda_api.wait_for("/event/next", times=2)
    assert store.values == {"db": b"x"}
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    shown = repr(("MOON\nRISE" * 20)[:64])
    assert lines[1] == f"[keystart] WARN  An unexpected event is ignored: {shown}."


def test_under_square_the_links_are_there_before_register_and_gone_at_the_end(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, tmp_path: Path
) -> None:
    home = tmp_path / "theirs"
    name = cloud.secrets.describe_secret(SecretId=cloud.secret("x"))["Name"]
    managers = [{"prefix": "", "secrets": [{"secretname": name, "filename": "+db"}]}]
    lambda_api.looks = (home / "+db").read_bytes
    extension = launch(lambda_api, json.dumps({"SecretsHome": str(home), "SecretManagers": managers}))
    lambda_api.wait_for("/event/next")
    assert lambda_api.seen_at_register == b"x"
    assert (home / "+db").readlink() == store.root / "current/secrets/_db"
    lambda_api.send("SHUTDOWN")
    assert extension.ended()[0] == 0
    assert not home.exists()


def test_under_square_a_file_in_the_way_of_a_link_publishes_nothing(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, tmp_path: Path
) -> None:
    home = tmp_path / "theirs"
    (home / "b").mkdir(parents=True)
    name = cloud.secrets.describe_secret(SecretId=cloud.secret("x"))["Name"]
    files = [{"secretname": name, "filename": file} for file in ("a", "b")]
    managers = [{"prefix": "", "secrets": files}]
    extension = launch(lambda_api, json.dumps({"SecretsHome": str(home), "SecretManagers": managers}))
    assert extension.ended()[0] == 1
    message = f"{home}/b is in the way of the link to a secret. Move it away, or choose another SecretsHome."
    assert lambda_api.reported == [("Extension.StoreUnusable", message)]
    assert (store.state["state"], store.state["message"]) == ("failed", message)
    assert not store.is_published()
    assert [path.name for path in home.iterdir()] == ["b"]


def test_sigterm_during_the_fetch_publishes_nothing(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store
) -> None:
    gate = Gate(secret("x"))
    serve(gate)
    extension = launch(lambda_api, {"db": "prod/db"})
    gate.wait_until_asked()
    extension.process.terminate()
    code, lines = extension.ended()
    gate.open()
    assert (code, lines) == (
        TERMINATED,
        ["[keystart] WARN  SIGTERM: the secrets are removed and the process ends."],
    )
    assert gone(store)


def test_sigterm_while_waiting_removes_the_secrets(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")})
    lambda_api.wait_for("/event/next")
    extension.process.terminate()
    assert extension.ended()[0] == TERMINATED
    assert gone(store)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(403, b"No\n"), r'The Extensions API answered 403 to /register: "No\x0a".'),
        (Answer(500, b""), 'The Extensions API answered 500 to /register: "".'),
        (Answer(200), "The Extensions API answered /register without Lambda-Extension-Identifier."),
        (
            None,
            "The Extensions API at {address} cannot be reached for /register: "
            "the connection was closed before the answer.",
        ),
    ],
)
@pytest.mark.parametrize("start", ["overlap", "before"])
def test_an_api_that_does_not_register_ends_the_process(
    launch: Launcher,
    lambda_api: Lambda,
    serve: Serve,
    store: Store,
    start: str,
    answer: Answer | None,
    reason: str,
) -> None:
    lambda_api.answers["/register"] = answer
    gate = Gate(secret("x"))
    if start == "before":
        gate.open()
    serve(gate)
    code, lines = launch(lambda_api, {"db": "prod/db"}, start=start).ended()
    gate.open()
    message = reason.format(address=lambda_api.address)
    assert code == 1
    assert lines[-1] == f"[keystart] ERROR {message}"
    assert not store.is_published()
    assert store.leftovers() == []
    assert (store.state["state"], store.state["message"]) == ("failed", message)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(403, b"No"), 'The Extensions API answered 403 to /event/next: "No".'),
        (Answer(500, b""), 'The Extensions API answered 500 to /event/next: "".'),
        (Answer(200, b"{}"), "The Extensions API answered /event/next with something that is not an event."),
        (Answer(200, b"[1"), "The Extensions API answered /event/next with something that is not an event."),
        (
            None,
            "The Extensions API at {address} cannot be reached for /event/next: "
            "the connection was closed before the answer.",
        ),
    ],
)
def test_an_api_that_returns_no_event_ends_the_process_and_the_secrets(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, answer: Answer | None, reason: str
) -> None:
    lambda_api.answers["/event/next"] = answer
    code, lines = launch(lambda_api, {"db": cloud.secret("x")}).ended()
    message = reason.format(address=lambda_api.address)
    assert code == 1
    assert lines[-1] == f"[keystart] ERROR {message}"
    assert not store.is_published()
    assert store.leftovers() == []
    assert (store.state["state"], store.state["message"]) == ("failed", message)


def test_a_report_that_is_refused_is_logged(launch: Launcher, lambda_api: Lambda) -> None:
    lambda_api.answers["/init/error"] = Answer(500, b"no")
    code, lines = launch(lambda_api, {"db": "prod/absent"}).ended()
    assert code == 1
    assert lines[-1] == '[keystart] ERROR The Extensions API answered 500 to /init/error: "no".'


def test_nothing_is_requested_any_more_when_registering_is_refused(
    environment: Environment, tmp_path: Path
) -> None:
    file = tmp_path / "keystart.json"
    file.write_text('{"version": 1, "deadline": "15m", "secrets": {"db": "prod/db"}}')
    begin = """
import sys
from keystart_extension import _native
_native.lib.keystart_extension_begin(b"keystart", 8, _native.ffi.NULL)
sys.stdin.read()
"""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as service, Lambda(lambda: asked.wait(20)) as api:
        api.answers["/register"] = Answer(403, b"no")
        service.settimeout(20)
        variables = {
            **environment(),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{service.getsockname()[1]}",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "KEYSTART_CONFIG": str(file),
        }
        command = [sys.executable, "-c", begin]
        with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE) as process:
            connection, _ = service.accept()
            with connection:
                connection.settimeout(20)  # seconds; only a test that fails waits for so long
                assert connection.recv(4096).startswith(b"POST / ")
                asked.set()
                while connection.recv(4096):
                    pass
            assert process.poll() is None
            process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("address", ["nohost", ":1", "host:", "host:65536", "host:-1", "host:x"])
def test_an_address_that_is_none_is_reported(launch: Launcher, store: Store, address: str) -> None:
    code, lines = launch(address, {"db": "prod/db"}).ended()
    message = f'AWS_LAMBDA_RUNTIME_API must be a host and a port, found "{address}".'
    assert (code, lines) == (1, [f"[keystart] ERROR {message}"])
    assert (store.state["state"], store.state["message"]) == ("failed", message)


def test_an_api_that_does_not_listen_is_reported(launch: Launcher) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        code, lines = launch(address, {"db": "prod/db"}).ended()
    assert (code, lines) == (
        1,
        [
            f"[keystart] ERROR The Extensions API at {address} cannot be reached for /register: Connection refused."
        ],
    )


def test_the_process_refuses_to_start_on_another_system(environment: Environment, store: Store) -> None:
    program = (
        "import sys; sys.platform, sys.argv = 'darwin', ['keystart']; "
        "from keystart_extension.__main__ import main; sys.exit(main())"
    )
    variables = {**environment(), "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "keystart: AWS_LAMBDA_RUNTIME_API is set, so this would be the extension process, which runs on Linux only. "
        "To run a command here, name it: keystart --help lists them.\n"
    )
    assert not store.root.exists()


def test_without_an_address_the_command_explains_itself(environment: Environment, store: Store) -> None:
    ended = subprocess.run([COMMAND], env=environment(), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: keystart ")
    assert ended.stderr.endswith(
        "keystart: AWS_LAMBDA_RUNTIME_API is not set, so this is not Lambda. "
        'On your own machine "keystart pull" publishes once.\n'
    )
    assert not store.root.exists()


def refused_store(launch: Launcher, api: Lambda) -> str:
    """Starts over a store that cannot be used, and returns the message that everybody got."""
    code, lines = launch(api, {"db": "prod/db"}).ended()
    assert code == 1
    assert len(lines) == 1
    message = lines[0].removeprefix("[keystart] ERROR ")
    assert api.paths() == ["/register", "/init/error"]
    assert api.reported == [("Extension.StoreUnusable", message)]
    return message


@pytest.fixture
def unlooked_api() -> Iterator[Lambda]:
    """The Extensions API for stores that cannot be read."""
    with Lambda() as api:
        yield api


def test_a_second_writer_is_refused_and_the_first_lives_on(
    launch: Launcher, unlooked_api: Lambda, store: Store
) -> None:
    first = Writer.open()
    first.publish(Draft())
    assert refused_store(launch, unlooked_api) == (
        f"The store at {store.root} is in use by another writer. Stop the other one, or give one of them another "
        "KEYSTART_DIR."
    )
    assert store.state["state"] == "ready"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("link", "the root is a symbolic link"),
        ("file", "the root is not a directory"),
        ("another", "the root belongs to another user"),
    ],
)
def test_a_root_that_is_not_ours_is_refused(
    launch: Launcher, unlooked_api: Lambda, store: Store, tmp_path: Path, kind: str, what: str
) -> None:
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        store.root.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        store.root.touch()
    elif os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    else:
        store.root.mkdir()
        os.chown(store.root, 12345, 12345)
    said = refused_store(launch, unlooked_api)
    assert said.startswith(
        f"The store at {store.root} is not safe to write: {what}. Nothing in it was changed."
    )
    assert (f"Remove {store.root}" in said) == (kind != "another"), "only its owner can remove it"


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o1777])
def test_a_folder_that_is_not_a_store_is_refused_and_keeps_its_mode_and_what_it_holds(
    launch: Launcher, unlooked_api: Lambda, store: Store, mode: int
) -> None:
    store.root.mkdir()
    (store.root / "README.md").write_text("mine")
    store.root.chmod(mode)
    said = refused_store(launch, unlooked_api)
    assert 'the root holds 1 entry that Keystart did not make, such as "README.md"' in said
    assert stat.S_IMODE(store.root.stat().st_mode) == mode
    assert [path.name for path in store.root.iterdir()] == ["README.md"]


def test_a_store_that_is_too_open_is_tightened(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")})
    lambda_api.wait_for("/event/next")
    extension.process.kill()
    extension.process.wait()
    store.root.chmod(0o777)
    launch(lambda_api, {"db": cloud.secret("y")})
    lambda_api.wait_for("/event/next", times=2)
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert store.values == {"db": b"y"}


FULL_DISK = """
mount -t tmpfs -o size=48k,mode=0700 tmpfs "$KEYSTART_DIR" || exit
"$0"
code=$?
cp "$KEYSTART_DIR/state.json" "$KEYSTART_DIR/../state-after.json"
ls -A "$KEYSTART_DIR/generations" > "$KEYSTART_DIR/../generations-after"
exit $code
"""


@pytest.mark.usefixtures("private_mounts")
def test_a_full_disk_publishes_nothing_and_the_readers_are_reported(
    launch: Launcher, unlooked_api: Lambda, serve: Serve, store: Store, tmp_path: Path
) -> None:
    store.root.mkdir(mode=0o700)
    serve(lambda _: secret("x" * 65_536))
    extension = launch(unlooked_api, {"db": "prod/db"}, within=["unshare", "-m", "sh", "-c", FULL_DISK])
    code, lines = extension.ended()
    message = (
        f"The store at {store.root} cannot be written: ENOSPC at generations/.new-1/secrets/db. There is no space "
        "left: remove files from its file system, or give the function more ephemeral storage (/tmp)."
    )
    assert (code, lines) == (1, [f"[keystart] ERROR {message}"])
    assert unlooked_api.reported == [("Extension.StoreUnusable", message)]
    state = json.loads((tmp_path / "state-after.json").read_text())
    assert (state["state"], state["message"]) == ("failed", message)
    assert (tmp_path / "generations-after").read_text() == ""


def test_under_snapstart_a_warning_is_logged(launch: Launcher, lambda_api: Lambda, cloud: Cloud) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")}, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    assert lines[0] == (
        "[keystart] WARN  SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as "
        "it is kept."
    )


@pytest.mark.parametrize("env", [None, "THE_DB"])
@pytest.mark.parametrize("wrapper", [None, "", "/opt/keystart-env", "/opt/other"])
def test_variables_without_the_wrapper_are_logged(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, env: str | None, wrapper: str | None
) -> None:
    entry = {"secret": cloud.secret("x")} | ({} if env is None else {"env": env})
    variables = {} if wrapper is None else {"AWS_LAMBDA_EXEC_WRAPPER": wrapper}
    extension = launch(lambda_api, {"db": entry}, **variables)
    lambda_api.wait_for("/event/next")
    lambda_api.send("SHUTDOWN")
    has = "The configuration has env: for THE_DB, and AWS_LAMBDA_EXEC_WRAPPER"
    missing = (
        f"[keystart] WARN  {has} is not set, so the function does not get these variables. Set it to "
        "/opt/keystart-env, unless an image starts keystart-env itself."
    )
    other = (
        f"[keystart] INFO  {has} names another program. Unless that starts /opt/keystart-env, the function does not "
        "get these variables."
    )
    lines = extension.ended()[1]
    assert (missing in lines) == bool(env and not wrapper)
    assert (other in lines) == bool(env and wrapper == "/opt/other")


@pytest.mark.parametrize("source", ["boto3", "anything", "native", ""])
def test_a_source_that_is_set_changes_nothing_and_is_logged(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, source: str
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")}, KEYSTART_SOURCE=source)
    lambda_api.wait_for("/event/next")
    assert store.values == {"db": b"x"}
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    warning = (
        "[keystart] WARN  KEYSTART_SOURCE has no effect any more: AWS's SDK in the core fetches. Remove it."
    )
    assert [line for line in lines if " WARN " in line] == ([] if source in ("native", "") else [warning])


def test_a_log_as_json_has_an_object_a_line(launch: Launcher, lambda_api: Lambda, tmp_path: Path) -> None:
    _, lines = launch(lambda_api, "version: 2\nsecrets:\n  db: x\n", AWS_LAMBDA_LOG_FORMAT="JSON").ended()
    records = [json.loads(line) for line in lines]
    assert len(records) == 1
    members = {"event", "code", "failed", "duration_ms", "version"}
    assert set(records[0]) == {"timestamp", "level", "logger", "message"} | members
    assert (records[0]["level"], records[0]["logger"]) == ("ERROR", "keystart")
    assert (records[0]["event"], records[0]["code"]) == ("start_failed", "Extension.ConfigurationInvalid")
    assert records[0]["message"].startswith(f"[keystart] {tmp_path}/keystart.yaml:1:10: ")


@pytest.mark.parametrize(
    ("variables", "levels"),
    [
        ({}, {"INFO"}),
        ({"AWS_LAMBDA_LOG_LEVEL": "ERROR"}, set()),
        ({"AWS_LAMBDA_LOG_LEVEL": "ERROR", "KEYSTART_LOG_LEVEL": "debug"}, {"INFO"}),
        ({"KEYSTART_LOG_LEVEL": "FATAL"}, set()),
    ],
)
def test_the_level_of_the_log_is_keystarts_own_or_lambdas(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, variables: dict[str, str], levels: set[str]
) -> None:
    extension = launch(lambda_api, {"db": cloud.secret("x")}, **variables)
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    assert {line.split()[1] for line in lines} == levels


@pytest.mark.parametrize("level", ["ERROR", "FATAL", "fatal", "quiet"])
def test_no_level_hides_the_reason_of_a_failed_start(
    launch: Launcher, lambda_api: Lambda, level: str
) -> None:
    _, lines = launch(lambda_api, {"db": "prod/absent"}, KEYSTART_LOG_LEVEL=level).ended()
    levels = "TRACE, DEBUG, INFO, WARN, ERROR, FATAL"
    wrong = f"[keystart] WARN  KEYSTART_LOG_LEVEL must be one of {levels}; INFO is used."
    reason = [f"[keystart] ERROR {REQUIRED}", f"[keystart] ERROR {ABSENT}"]
    assert lines == ([wrong, *reason] if level == "quiet" else reason)


@pytest.mark.usefixtures("environment")
def test_a_bug_is_reported_without_what_it_says(
    lambda_api: Lambda,
    store: Store,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def publish(*_: object, **__: object) -> None:
        raise ValueError(canary())

    monkeypatch.setattr("keystart_extension.process.publish", publish)
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", lambda_api.address)
    monkeypatch.setenv("KEYSTART_SECRETS", "db=prod/db")
    core.call(core.lib.keystart_extension_begin, *text("keystart"))
    assert Process(Extension(), Log(), time.monotonic()).run() == 1
    (line,) = canary.said().splitlines()
    message = line.removeprefix("[keystart] ERROR ")
    assert re.fullmatch(
        r"Keystart failed in a way it should not: ValueError in test_lifecycle\.py:\d+\. Please report it\.",
        message,
    )
    assert store.state["message"] == message
    assert lambda_api.reported == [("Extension.Internal", message)]


@pytest.mark.usefixtures("environment")
def test_a_store_that_cannot_be_wiped_is_reported_and_the_links_go_all_the_same(
    canary: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "theirs"
    writer = Writer.open()
    links = Links([(f"{home}/db", "db")], writer.root)
    links.make()

    def stop(_: Writer, reason: str | None) -> None:
        raise CoreError("store_unwritable", "EIO at current.")

    monkeypatch.setattr(Writer, "stop", stop)
    assert not wipe(writer, links, Log())
    assert canary.said() == "[keystart] ERROR The secrets could not be removed: EIO at current.\n"
    assert not home.exists()


def test_the_process_ends_without_taking_the_interpreter_apart(
    launch: Launcher, lambda_api: Lambda, environment: Environment, serve: Serve
) -> None:
    bare = subprocess.run(
        [sys.executable, "-v", "-c", ""], env=environment(), capture_output=True, text=True, check=True
    )
    assert "# cleanup" in bare.stderr
    serve(lambda _: refusal(400, "AccessDeniedException", "No"))
    extension = launch(lambda_api, {"db": "prod/db"}, PYTHONVERBOSE="1")
    code, lines = extension.ended()
    assert code == 1
    assert f"[keystart] ERROR {REQUIRED}" in lines
    assert not [line for line in lines if line.startswith("# cleanup")]
