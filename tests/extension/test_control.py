"""Readers ask the extension to fetch now, through control.sock (contract §9), and so do clients that misbehave."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import Cloud, refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Gate, Request
from tests.fakes.script import DENIED, Script
from tests.waiting import PATIENCE, until

from .conftest import Canaries, Launcher, Serve, Store
from .control import FORMAT, Control, Started, done, rest


def test_a_request_is_answered_when_the_new_values_are_published(
    start: Started, control: Control, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    old, new = canary(), canary()
    arn = cloud.secret(old)
    start({"db": arn, "other": cloud.secret("same")})
    cloud.secrets.put_secret_value(SecretId=arn, SecretString=new)
    answer = control.ask(["db"], unknown=1)
    assert store.values == {"db": new.encode(), "other": b"same"}
    assert answer == done(2)
    start.clock.pass_by(1)
    assert control.ask(None) == done(2), "nothing changed"
    assert start.end() == ["[keystart] INFO  published generation 2 with 1 changed secret: db"]


def test_a_request_names_secrets_folders_members_and_what_moves_with_them(
    start: Started, control: Control, serve: Serve
) -> None:
    script = serve.start(Script(cert="c", key="k", db='{"user": "u"}', api="a"))
    start({"tls/cert": "cert", "tls/key": "key", "db": {"secret": "db", "expand": True}, "api": "api"})
    for names, asked in (
        (["tls"], {"cert", "key"}),
        (["tls/key"], {"cert", "key"}),
        (["db/user"], {"db"}),
        (["db"], {"db"}),
        (["api", "db"], {"api", "db"}),
        (None, {"cert", "key", "db", "api"}),
        ([], set()),
    ):
        script.asked.clear()
        start.clock.pass_by(1)
        assert control.ask(names) == done(1)
        assert set(script.asked) == asked, names


def test_a_name_without_an_entry_and_a_failure_are_in_the_answer_and_the_rest_is_published(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old", api="old"))
    start({"db": "db", "api": "api"})
    script.values.update(db=DENIED, api="new")
    answer = control.ask(["db", "api", "nothing", "api/below"])
    unknown = {"code": "NotConfigured", "message": "No entry of the configuration publishes it."}
    failures = answer["failures"]
    assert failures.pop("nothing") == failures.pop("api/below") == unknown
    assert set(failures) == {"db"}
    assert failures["db"]["code"] == "AccessDeniedException"
    assert (answer["ok"], answer["generation"], store.values) == (True, 2, {"db": b"old", "api": b"new"})


def test_an_optional_secret_that_is_still_missing_fails_only_its_own_reads(
    start: Started, control: Control, serve: Serve
) -> None:
    absent = refusal(400, "ResourceNotFoundException", "Gone.")
    serve.start(Script(flags=absent, db="x"))
    start({"flags": {"secret": "flags", "optional": True}, "db": "db"})
    assert control.ask(None) == done(1)
    start.clock.pass_by(1)
    assert set(control.ask(["flags"])["failures"]) == {"flags"}


def test_a_secret_that_is_left_alone_by_the_ttl_is_fetched_for_a_caller_of_refresh(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    absent = refusal(400, "ResourceNotFoundException", "Gone.")
    script = serve.start(Script(db="old", flags=absent))
    flags = {"secret": "flags", "ttl": "none", "optional": True}
    start({"db": {"secret": "db", "ttl": "none"}, "flags": flags, "api": "db"}, ttl="60s")
    script.values["db"] = "new"
    assert control.ask(["db"]) == done(2)
    assert store.values["db"] == b"new"
    assert set(control.ask(["flags"])["failures"]) == {"flags"}


def test_a_source_that_does_not_answer_has_failed_when_the_time_of_a_refresh_is_over(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    gate = Gate(secret("late"))
    script = serve.start(Script(db="old", api="old"))
    start({"db": "db", "api": "api"}, refresh_deadline="500ms")
    script.values.update(db=gate, api="new")
    answer = control.ask(None)
    gate.open()
    assert answer["failures"]["db"]["code"] == "DeadlineExceeded"
    assert store.values == {"db": b"old", "api": b"new"}


def test_a_thousand_clients_that_ask_at_once_share_one_request(
    start: Started, control: Control, serve: Serve
) -> None:
    began = threading.Barrier(33)
    released = threading.Event()
    script = serve.start(Script(db="x"))
    start({"db": "db"})

    def slowly(_: Request) -> Answer:
        released.wait(PATIENCE)
        return secret("x", VersionId="v-x")

    script.values["db"] = slowly
    script.asked.clear()

    def ask(count: int) -> list[dict[str, Any]]:
        began.wait(PATIENCE)
        return [control.ask(["db"]) for _ in range(count)]

    with ThreadPoolExecutor(32) as pool:
        asking = [pool.submit(ask, 32) for _ in range(32)]
        began.wait(PATIENCE)
        at = time.monotonic()
        time.sleep(0.2)
        released.set()
        answers = [answer for some in asking for answer in some.result(PATIENCE)]
    assert len(answers) == 1024
    assert all(answer == done(1) for answer in answers)
    # The first round of clients shares one request, and so does each second after it.
    assert 1 <= len(script.asked) <= 1 + int(time.monotonic() - at)


ASK_IN_THREADS = """
import sys, threading, keystart
store = keystart.Keystart(root=sys.argv[1], timeout=20)
begun = threading.Barrier(65)
def ask():
    begun.wait()
    store.refresh("db")
    answered.append(True)
answered = []
threads = [threading.Thread(target=ask) for _ in range(64)]
for thread in threads:
    thread.start()
print("ready", flush=True)
sys.stdin.readline()
begun.wait()
for thread in threads:
    thread.join()
print(len(answered), flush=True)
"""


@pytest.mark.long
def test_a_thousand_readers_of_sixteen_processes_share_one_request_a_second(
    start: Started, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="x"))
    start({"db": "db"})
    script.asked.clear()
    command = [sys.executable, "-c", ASK_IN_THREADS, str(store.root)]
    with ExitStack() as stack:
        readers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
            for _ in range(16)
        ]
        assert [line(reader) for reader in readers] == ["ready"] * 16
        began = time.monotonic()
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("now\n")
        assert [line(reader) for reader in readers] == ["64"] * 16
        took = time.monotonic() - began
    assert 1 <= len(script.asked) <= 1 + int(took)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_source_is_fetched_once_a_second_at_most(start: Started, control: Control, serve: Serve) -> None:
    script = serve.start(Script(db="x", api="x"))
    start({"db": "db", "api": "api"})
    script.asked.clear()
    script.values["db"] = DENIED
    assert set(control.ask(["db"])["failures"]) == {"db"}
    script.values["db"] = "y"
    assert set(control.ask(None)["failures"]) == {"db"}, "the outcome of the fetch before"
    assert script.asked == ["db", "api"]
    start.clock.pass_by(1)
    assert control.ask(None) == done(2)
    assert sorted(script.asked) == ["api", "api", "db", "db"]


def test_the_pause_after_failures_does_not_hold_for_requests(
    start: Started, control: Control, serve: Serve, store: Store, lambda_api: Lambda
) -> None:
    script = serve.start(Script(db="x"))
    start({"db": "db"}, ttl="60s")
    script.values["db"] = DENIED
    for _ in range(8):
        start.clock.pass_by(1)
        assert set(control.ask(["db"])["failures"]) == {"db"}
    script.values["db"] = "y"
    start.clock.pass_by(1)
    assert control.ask(["db"]) == done(2)
    assert store.values == {"db": b"y"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello\n", "The request is not JSON."),
        (b"\n", "The request is not JSON."),
        (b"\xff\n", "The request is not JSON."),
        (b"[" * 1000 + b"\n", "The request is not JSON."),
        (b"{}\n", f"The format of the request must be {FORMAT}."),
        (
            b'{"format": "keystart.control/2", "op": "refresh", "names": null}\n',
            f"The format of the request must be {FORMAT}.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "refresh"}\n',
            "The names of the request must be null or a list of valid names.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "refresh", "names": ["../x"]}\n',
            "The names of the request must be null or a list of valid names.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "dance"}\n',
            "This version of the extension knows only the ops refresh, restored, try, accepted and rejected. "
            "Use the same version of Keystart for the reader and the extension.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "try", "name": "../db", "generation": null}\n',
            "The name of the request must be a valid name.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "accepted", "name": "db", "generation": 0}\n',
            "The generation of the request must be a whole number from 1.",
        ),
        (
            b'{"format": "keystart.control/1", "op": "rejected", "name": "db", "generation": 1, "locked": 1}\n',
            "The member locked of the request must be true or false.",
        ),
        (
            b" " * 65_536 + b"\n",
            "The request is longer than 65536 bytes. Ask for fewer names, or for all.",
        ),
    ],
)
def test_what_is_not_a_request_gets_the_reason_and_changes_nothing(
    start: Started, control: Control, cloud: Cloud, line: bytes, reason: str
) -> None:
    start({"db": cloud.secret("x")})
    answer = json.loads(control.send(line))
    assert answer == {
        "format": FORMAT,
        "ok": False,
        "error": {"code": "invalid_request", "message": reason},
    }
    assert control.ask(["db"]) == done(1)
    assert start.end() == []


def test_clients_that_say_nothing_or_half_a_line_or_do_not_read_stop_nobody(
    start: Started, control: Control, cloud: Cloud, lambda_api: Lambda
) -> None:
    start({"db": cloud.secret("x")})
    with ExitStack() as stack:
        clients = [stack.enter_context(control.connect()) for _ in range(40)]
        for client in clients[:10]:
            client.sendall(b'{"format": "keyst')
        for client in clients[10:20]:
            client.sendall(json.dumps({"format": FORMAT, "op": "refresh", "names": ["db"]}).encode() + b"\n")
        assert control.ask(["db"]) == done(1)
        # Those that have not sent a line are closed, without an answer.
        assert [rest(client) for client in clients[20:]] == [b""] * 20
    start.clock.pass_by(1)
    assert control.ask(["db"]) == done(1)
    assert start.end() == []


def test_more_silent_clients_than_there_are_places_delay_others_by_their_patience(
    start: Started, control: Control, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(control.connect())
        assert control.ask(["db"]) == done(1)


def test_refreshes_that_wait_for_a_store_that_hangs_shut_out_nobody(
    start: Started, control: Control, serve: Serve
) -> None:
    gate = Gate(secret("x"))
    script = serve.start(Script(db="x", slow="x"))
    start({"db": "db", "slow": "slow"}, refresh_deadline="5m")
    script.values["slow"] = gate
    request = json.dumps({"format": FORMAT, "op": "refresh", "names": ["slow"]}).encode() + b"\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(control.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(request)
        assert control.ask(["db"]) == done(1)
        gate.open()
        assert all(json.loads(rest(client))["ok"] for client in clients)


def test_connections_do_not_take_the_descriptors_that_the_process_needs(
    launch: Launcher, lambda_api: Lambda, tmp_path: Path, control: Control, cloud: Cloud, store: Store
) -> None:
    arn = cloud.secret("old")
    start = Started(launch, lambda_api, tmp_path, within=["prlimit", "--nofile=64:64"])
    start({"db": arn}, ttl="60s")
    cloud.secrets.put_secret_value(SecretId=arn, SecretString="new")
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(control.connect())
        start.clock.pass_by(60)
        lambda_api.send("INVOKE")
        lambda_api.wait_for("/event/next", times=2)
        assert store.values == {"db": b"new"}
    assert control.ask(["db"])["ok"]
    start.end()


def test_refreshes_leave_no_thread_no_descriptor_and_no_memory_behind(
    start: Started, control: Control, cloud: Cloud
) -> None:
    start({"db": cloud.secret("x")})
    process = Path(f"/proc/{start.extension.process.pid}")

    def refresh(times: int) -> None:
        for _ in range(times):
            start.clock.pass_by(1)
            assert control.ask(["db"]) == done(1)

    def held() -> dict[str, int]:
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        size = int(status["VmSize"].split()[0])
        return {
            "threads": int(status["Threads"]),
            "files": len(list((process / "fd").iterdir())),
            "KiB": size,
        }

    def held_after(threads: int) -> dict[str, int]:
        ends_at = time.monotonic() + PATIENCE
        while (now := held())["threads"] > threads and time.monotonic() < ends_at:
            time.sleep(0.01)
        return now

    refresh(5)
    for _ in range(10):
        before = held()
        refresh(20)
        after = held_after(before["threads"])
        assert after["threads"] <= before["threads"]
        assert after["files"] <= before["files"] + 1, "a connection of the test may still be open"
        # The stack for crashes of a thread has 64 KiB, so a leak shows in each round. In some rounds more threads than
        # before run at once, and glibc keeps an arena and a stack for them.
        if after["KiB"] < before["KiB"] + 10 * 64:
            break
    else:
        pytest.fail("each round of refreshes took more memory")
    assert start.end() == []


def test_the_socket_is_the_users_own_and_goes_with_the_extension(
    start: Started, control: Control, cloud: Cloud, store: Store
) -> None:
    start({"db": cloud.secret("x")})
    facts = control.path.lstat()
    assert stat.S_ISSOCK(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    start.end()
    assert sorted(path.name for path in store.root.iterdir()) == ["generations", "lock", "state.json"]


def test_a_socket_that_a_killed_extension_left_is_replaced(
    start: Started, control: Control, cloud: Cloud, lambda_api: Lambda, store: Store
) -> None:
    start({"db": cloud.secret("x")})
    start.extension.process.kill()
    start.extension.ended()
    (store.root / ".control-12345").unlink(missing_ok=True)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(store.root / ".control-12345"))
    (store.root / ".control-12345").chmod(0o600)
    left.close()
    start({"db": cloud.secret("y")})
    lambda_api.wait_for("/event/next", times=2)
    assert control.ask(["db"])["ok"]
    assert not (store.root / ".control-12345").exists()


AS_ANOTHER_USER = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect("control.sock")
try:
    client.sendall(b'{"format": "keystart.control/1", "op": "refresh", "names": null}' + bytes([10]))
    print(len(client.recv(100)))
except ConnectionError:
    print(0)
"""


def test_another_user_gets_no_answer(start: Started, control: Control, cloud: Cloud, store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    start({"db": cloud.secret("x")})
    store.root.chmod(0o711)
    control.path.chmod(0o666)
    command = [sys.executable, "-c", AS_ANOTHER_USER, str(store.root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert control.ask(["db"])["ok"]


def test_a_path_that_is_too_long_for_a_socket_makes_none(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, tmp_path: Path
) -> None:
    lambda_api.looks = lambda: None
    root = tmp_path / ("k" * (100 - len(str(tmp_path)) - len("//control.sock")))
    longer = Path(f"{root}k")
    for path, is_there in ((root, True), (longer, False)):
        launch(lambda_api, {"db": cloud.secret("x")}, KEYSTART_DIR=str(path))
        lambda_api.wait_for("/event/next", times=1 if is_there else 2)
        assert (path / "current").is_symlink()
        assert (path / "control.sock").is_socket() == is_there


def test_a_request_before_the_first_publish_is_answered_after_it(
    launch: Launcher, lambda_api: Lambda, control: Control, serve: Serve, store: Store
) -> None:
    gate = Gate(secret("x"))
    stub = serve(gate)
    launch(lambda_api, {"db": "prod/db"})
    gate.wait_until_asked()
    assert until(control.path.exists)
    with control.connect() as client:
        client.sendall(json.dumps({"format": FORMAT, "op": "refresh", "names": None}).encode() + b"\n")
        time.sleep(0.2)
        gate.open()
        answer = json.loads(rest(client))
    assert (answer["ok"], answer["generation"], store.values) == (True, 1, {"db": b"x"})
    assert len(stub.requests) == 1, "the fetch of the start answers it"


def test_requests_share_one_try_a_second_while_the_store_is_gone(
    start: Started, control: Control, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="x"))
    start({"db": "db"})
    (store.root / "current").unlink()
    script.values["db"] = DENIED
    asked, began = len(script.asked), time.monotonic()
    answers = [control.ask(None) for _ in range(10)]
    assert {answer["failures"]["db"]["code"] for answer in answers} == {"AccessDeniedException"}
    assert len(script.asked) - asked <= 1 + int(time.monotonic() - began)
