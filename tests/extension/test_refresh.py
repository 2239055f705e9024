"""Follows the process through refreshes: INVOKE, a clock that a test moves, stores that fail, and readers that ask."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.aws import Cloud, refusal, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Gate
from tests.fakes.script import DENIED, Script
from tests.waiting import PATIENCE, until

from .clock import MOVED_CLOCK, Clock
from .conftest import Canaries, Extension, Launcher, Serve, Store


class Function:
    """A function with the extension, invoked by a test."""

    def __init__(self, api: Lambda, clock: Clock, extension: Extension) -> None:
        self.api = api
        self.clock = clock
        self.extension = extension
        self._nexts = 1
        self.api.wait_for("/event/next")

    def invoke(self, *, after: float = 0.0, seconds: float = 30.0) -> float:
        """Invokes the function after a time, with that timeout. Returns how long the extension held the invocation."""
        if after:
            self.clock.pass_by(after)
        began = time.monotonic()
        deadline = int((self.clock.now() + seconds) * 1000)
        self.api.events.put(Answer(body=json.dumps({"eventType": "INVOKE", "deadlineMs": deadline}).encode()))
        self._nexts += 1
        self.api.wait_for("/event/next", times=self._nexts)
        return time.monotonic() - began

    def end(self) -> list[str]:
        """Ends the environment, and returns the log from the second line on."""
        self.api.send("SHUTDOWN")
        code, lines = self.extension.ended()
        assert code == 0, lines
        return lines[1:]


class Begin:
    """Begins a function with a ttl of a minute, unless a test has other settings."""

    def __init__(self, launch: Launcher, api: Lambda, clock: Clock, within: Sequence[str] = ()) -> None:
        self._launch = launch
        self._api = api
        self._clock = clock
        self._within = [*within, sys.executable, str(MOVED_CLOCK), str(clock.file)]

    def __call__(self, secrets: Mapping[str, Any], **settings: Any) -> Function:
        document = json.dumps({"version": 1, "ttl": "60s", **settings, "secrets": secrets})
        return Function(self._api, self._clock, self._launch(self._api, document, within=self._within))


@pytest.fixture
def begin(launch: Launcher, lambda_api: Lambda, tmp_path: Path) -> Begin:
    return Begin(launch, lambda_api, Clock(tmp_path))


def test_an_invocation_after_the_ttl_brings_the_new_value(
    begin: Begin, cloud: Cloud, store: Store, canary: Canaries
) -> None:
    old, new = canary(), canary()
    arn = cloud.secret(old)
    function = begin({"db": arn, "other": cloud.secret("same")})
    assert function.api.requests[0].json == {"events": ["INVOKE", "SHUTDOWN"]}
    cloud.secrets.put_secret_value(SecretId=arn, SecretString=new)
    function.invoke()
    assert store.values["db"] == old.encode(), "the ttl has not passed"
    function.invoke(after=60)
    assert store.values == {"db": new.encode(), "other": b"same"}
    assert store.manifest["generation"] == 2
    assert function.end() == ["[keystart] INFO  published generation 2 with 1 changed secret: db"]


def test_a_refresh_without_a_change_publishes_nothing(begin: Begin, cloud: Cloud, store: Store) -> None:
    function = begin({"db": cloud.secret("x")})
    manifest = store.manifest
    function.invoke(after=60)
    assert store.manifest == manifest
    assert function.end() == []


def test_a_generation_shares_the_files_of_what_did_not_change(
    begin: Begin, cloud: Cloud, store: Store
) -> None:
    arn = cloud.secret("old")
    function = begin({"db": arn, "other": cloud.secret("same")})
    before = (store.root / "current/secrets/other").stat().st_ino
    cloud.secrets.put_secret_value(SecretId=arn, SecretString="new")
    function.invoke(after=60)
    assert store.values["db"] == b"new"
    assert (store.root / "current/secrets/other").stat().st_ino == before


def test_an_entry_with_ttl_none_or_with_a_version_is_left_alone(
    begin: Begin, cloud: Cloud, store: Store, serve: Serve
) -> None:
    stub = serve(lambda _: secret("x"))
    pinned = {"secret": "prod/pinned", "version_id": "0" * 32}
    function = begin({"db": "prod/db", "fixed": {"secret": "prod/fixed", "ttl": "none"}, "pinned": pinned})
    assert len(stub.requests) == 3
    function.invoke(after=60)
    assert [request.json["SecretId"] for request in stub.requests[3:]] == ["prod/db"]


def test_without_anything_that_can_become_due_lambda_sends_no_invocation(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud
) -> None:
    text = json.dumps(
        {"version": 1, "ttl": "60s", "secrets": {"db": {"secret": cloud.secret("x"), "ttl": "none"}}}
    )
    launch(lambda_api, text)
    lambda_api.wait_for("/event/next")
    assert lambda_api.requests[0].json == {"events": ["SHUTDOWN"]}


def test_a_refresh_that_fails_keeps_the_values_and_is_logged_once_for_each_reason(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old", other="old"))
    function = begin({"db": "db", "other": "other"})
    for answer in (DENIED, DENIED, refusal(400, "ResourceNotFoundException", "Gone."), "new", "newer"):
        script.values["db"] = answer
        function.invoke(after=60)
        expected = answer if isinstance(answer, str) else "old"
        assert store.values == {"db": expected.encode(), "other": b"old"}
    lines = function.end()
    denied, gone, *rest = lines
    assert denied.startswith(
        "[keystart] WARN  db (secret db in eu-west-1) could not be refreshed: AccessDeniedException: "
    )
    assert gone.startswith(
        "[keystart] WARN  db (secret db in eu-west-1) could not be refreshed: ResourceNotFoundException: "
    )
    assert rest == [
        "[keystart] INFO  published generation 2 with 1 changed secret: db",
        "[keystart] INFO  db can be refreshed again",
        "[keystart] INFO  published generation 3 with 1 changed secret: db",
    ]


def test_each_refresh_has_one_line_with_its_numbers_in_json(
    begin: Begin, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_FORMAT", "JSON")
    script = serve.start(Script(db="old", other="old"))
    function = begin({"db": "db", "other": "other"})
    for answer in (DENIED, DENIED, "new", "new"):
        script.values["db"] = answer
        function.invoke(after=60)
    lines = [json.loads(line) for line in function.end()]
    numbers = ("secrets", "failed", "changed", "generation")
    refreshes = [tuple(map(line.get, numbers)) for line in lines if line.get("event") == "refresh"]
    assert refreshes == [(1, 1, 0, 1), (1, 1, 0, 1), (2, 0, 1, 2), (2, 0, 0, 2)]
    assert all("duration_ms" in line for line in lines if line.get("event") == "refresh")
    others = [(line["event"], line["secret"]) for line in lines if "secret" in line]
    assert others == [("refresh_failed", "db"), ("refresh_recovered", "db")]


def test_after_a_failure_the_pauses_double_up_to_the_ttl(begin: Begin, serve: Serve) -> None:
    script = serve.start(Script(db="x"))
    function = begin({"db": "db"})
    script.values["db"] = DENIED
    function.invoke(after=60)
    for pause in (5, 10, 20, 40, 60, 60):
        tries = len(script.asked)
        function.invoke(after=0.85 * pause)
        assert len(script.asked) == tries, f"asked before a pause of {pause} s was over"
        function.invoke(after=0.15 * pause)
        assert len(script.asked) == tries + 1, f"not asked after a pause of {pause} s"


def test_names_of_one_folder_change_together_or_not_at_all(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(cert="old", key="old", api="old"))
    function = begin({"tls/cert": "cert", "tls/key": "key", "api": "api"})
    script.values.update(cert="new", key=DENIED, api="new")
    function.invoke(after=60)
    assert store.values == {"tls/cert": b"old", "tls/key": b"old", "api": b"new"}
    script.values["key"] = "new"
    function.invoke(after=60)
    assert store.values == {"tls/cert": b"new", "tls/key": b"new", "api": b"new"}


def test_a_retry_after_a_failure_fetches_the_whole_folder_again(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(cert="old", key="old"))
    function = begin({"tls/cert": "cert", "tls/key": "key"})
    script.values.update(cert="new", key=DENIED)
    function.invoke(after=60)
    script.values.update(cert="newer", key="newer")
    function.invoke(after=5)
    assert store.values == {"tls/cert": b"newer", "tls/key": b"newer"}


def test_a_generation_that_cannot_be_removed_ends_no_refresh_and_is_logged_once(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="0"))
    function = begin({"db": "db"})
    foreign = store.root / "generations/1/secrets/theirs"
    foreign.write_text("x")
    for number in range(1, 40):  # more than the 32 that stay for 60 s
        script.values["db"] = str(number)
        function.invoke(after=60)
        assert store.values["db"] == str(number).encode()
    (left,) = store.root.rglob("theirs")
    assert left.read_text() == "x"
    left.unlink()
    lines = [line for line in function.end() if "published generation" not in line]
    after = [line for line in lines if re.search("Generation [0-9]+ is published, but not all", line)]
    assert after, "each publish says what it could not do"
    assert not [line for line in lines if "could not be refreshed" in line]
    assert len(lines) - len(after) <= 1, "and the process says it once"


def test_a_lost_file_is_fetched_again_with_its_whole_folder(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(cert="old", key="old", api="old"))
    function = begin(
        {
            "tls/cert": {"secret": "cert", "ttl": "none"},
            "tls/key": {"secret": "key", "ttl": "none"},
            "api": "api",
        }
    )
    (store.root / "current/secrets/tls/key").unlink()
    script.values.update(cert="new", key="new", api="new")
    function.invoke(after=60)
    assert store.values == {"tls/cert": b"new", "tls/key": b"new", "api": b"new"}


def test_an_answer_that_comes_after_a_newer_one_changes_nothing(
    begin: Begin, serve: Serve, store: Store
) -> None:
    gate = Gate(secret("older", VersionId="v-older"))
    script = serve.start(Script(db="old"))
    function = begin({"db": "db"})
    function.clock.pass_by(1)  # until then the outcome of the start is that of a request
    script.values["db"] = gate
    request = {"format": "keystart.control/1", "op": "refresh", "names": None}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(store.root / "control.sock"))
        client.sendall(json.dumps(request).encode() + b"\n")
        gate.wait_until_asked()
        script.values["db"] = "new"
        function.clock.pass_by(60)  # as after a freeze: the fetch of the request is no longer waited for
        function.invoke()
        assert store.values == {"db": b"new"}
        gate.open()
        client.settimeout(PATIENCE)
        assert client.recv(65_536)
    assert store.values == {"db": b"new"}


def test_an_optional_secret_appears_when_it_exists_and_holds_up_nobody_before(
    begin: Begin, serve: Serve, store: Store
) -> None:
    absent = refusal(400, "ResourceNotFoundException", "Gone.")
    script = serve.start(Script(flags=absent, db="old"))
    function = begin({"app/flags": {"secret": "flags", "optional": True}, "app/db": "db"})
    script.values["db"] = "new"
    function.invoke(after=60)
    assert store.values == {"app/db": b"new"}
    assert list(store.unavailable) == ["app/flags"]
    asked = len(script.asked)
    function.invoke(after=30)
    assert len(script.asked) == asked, "what was missing before is in no hurry"
    script.values["flags"] = "on"
    function.invoke(after=30)
    assert store.values == {"app/db": b"new", "app/flags": b"on"}
    assert store.unavailable == {}
    assert [line for line in function.end() if "could not be refreshed" in line] == []


def test_a_member_that_is_skipped_is_reported_with_the_generation_that_lacks_it(
    begin: Begin, cloud: Cloud, store: Store
) -> None:
    arn = cloud.secret('{"user": "x"}')
    function = begin({"db": {"secret": arn, "expand": True}})
    cloud.secrets.put_secret_value(SecretId=arn, SecretString='{"user": "y", "no name": "z"}')
    for _ in range(2):
        function.invoke(after=60)
    assert store.values == {"db/user": b"y"}
    published, warning = function.end()
    assert published == "[keystart] INFO  published generation 2 with 1 changed secret: db/user"
    assert warning.startswith(f"[keystart] WARN  The member 2 of {arn} is")


def test_members_come_and_go_with_their_secret(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(db='{"user": "a", "host": "h"}'))
    function = begin({"db": {"secret": "db", "expand": True}})
    script.values["db"] = '{"user": "a", "port": "1"}'
    function.invoke(after=60)
    assert store.values == {"db/user": b"a", "db/port": b"1"}
    script.values["db"] = "no JSON"
    function.invoke(after=60)
    assert store.values == {"db/user": b"a", "db/port": b"1"}


def test_a_name_that_conflicts_with_an_entry_that_was_not_due_changes_nothing(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(tls='{"cert": "c"}', ca="a"))
    function = begin({"tls": {"secret": "tls", "expand": True}, "tls/ca": {"secret": "ca", "ttl": "none"}})
    script.values["tls"] = '{"cert": "d", "ca": "b"}'
    function.invoke(after=60)
    assert store.values == {"tls/cert": b"c", "tls/ca": b"a"}
    assert "tls (secret tls in eu-west-1) could not be refreshed: InvalidName: " in function.end()[0]


@pytest.mark.parametrize("version", ["v", None])
def test_the_bytes_count_where_the_version_stays_the_same(
    begin: Begin, serve: Serve, store: Store, version: str | None
) -> None:
    values = ["old"]
    serve(lambda _: secret(values[-1], VersionId="0" * 32))
    function = begin({"db": "db"})
    values.append("new")
    function.invoke(after=60)
    assert store.values == {"db": b"new"}


def test_a_clock_that_was_set_back_by_a_day_makes_everything_due(begin: Begin, serve: Serve) -> None:
    script = serve.start(Script(db="x"))
    function = begin({"db": "db"})
    function.invoke(after=-86_400)
    assert len(script.asked) == 2
    function.invoke()
    assert len(script.asked) == 2


def test_a_refresh_does_not_begin_when_the_invocation_is_about_to_end(begin: Begin, serve: Serve) -> None:
    script = serve.start(Script(db="x"))
    function = begin({"db": "db"})
    function.clock.pass_by(60)
    function.invoke(seconds=0.6)
    assert len(script.asked) == 1
    function.invoke()
    assert len(script.asked) == 2


def test_a_store_that_hangs_lets_no_invocation_time_out_and_is_asked_as_rarely_as_the_pauses_say(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="x", other="x"))
    function = begin({"db": "db", "other": "other"})
    gate = Gate(secret("late"))
    script.values.update(db=gate, other=gate)
    function.clock.pass_by(60)
    held = []
    for _ in range(100):
        function.clock.pass_by(1)
        asked = len(script.asked)
        took = function.invoke(seconds=3)
        assert took < 3, "the function has timed out"
        if len(script.asked) > asked:
            held.append(took)
    gate.open()
    # After pauses of at least 4.5, 9, 18 and 36 s, counted by the clock that the test moves and what passes beside it.
    assert 3 <= len(held) <= 6
    assert store.values == {"db": b"x", "other": b"x"}
    warnings = [line for line in function.end() if "DeadlineExceeded" in line]
    assert len(warnings) == 2, "once for each secret"


def test_a_refresh_ends_half_a_second_before_the_invocation(begin: Begin, serve: Serve) -> None:
    script = serve.start(Script(db="x"))
    function = begin({"db": "db"}, refresh_deadline="10s")
    gate = Gate(secret("late"))
    script.values["db"] = gate
    function.clock.pass_by(60)
    assert function.invoke(seconds=1.5) < 1.5
    gate.open()
    (line,) = function.end()
    assert re.search("DeadlineExceeded: No answer from .* within the deadline of ", line)


def test_what_the_store_refuses_at_a_refresh_ends_nothing(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(db="old"))
    function = begin({"db": "db"})
    foreign = store.root / "generations/.new-2"
    foreign.write_text("not Keystart's")
    script.values["db"] = "new"
    function.invoke(after=60)
    assert (store.values, store.state["state"]) == ({"db": b"old"}, "ready")
    foreign.unlink()
    function.invoke(after=5)
    assert store.values == {"db": b"new"}
    refused, *rest = function.end()
    assert refused.startswith("[keystart] WARN  db could not be refreshed: ")
    assert rest[-1] == "[keystart] INFO  db can be refreshed again"


def freshness(store: Store) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store.root / "freshness.json").read_text())
    return document


def seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def test_freshness_says_when_each_secret_is_fetched_again_and_why_it_could_not_be(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="x", other="x"))
    function = begin({"db": "db", "other": "other", "fixed": {"secret": "other", "ttl": "none"}})
    first = freshness(store)
    assert first["generation"] == 1
    due = {seconds(first["secrets"][name]["refresh_after"]) for name in ("db", "other")}
    assert len(due) == 1, "everything is due together"
    assert 50 < due.pop() - function.clock.now() <= 60
    assert first["secrets"]["fixed"]["refresh_after"] is None
    function.clock.pass_by(60)
    script.values["db"] = DENIED
    function.invoke()
    then = freshness(store)
    assert (then["generation"], first["secrets"]["db"]["failure"]) == (1, None)
    assert then["secrets"]["db"]["failure"]["code"] == "AccessDeniedException"
    assert then["secrets"]["db"]["checked_at"] == first["secrets"]["db"]["checked_at"]
    assert 0 < seconds(then["secrets"]["db"]["refresh_after"]) - function.clock.now() <= 5
    assert then["secrets"]["other"]["checked_at"] > first["secrets"]["other"]["checked_at"]
    assert 50 < seconds(then["secrets"]["other"]["refresh_after"]) - function.clock.now() <= 60
    script.values["db"] = "x"
    function.invoke(after=5)
    assert freshness(store)["secrets"]["db"]["failure"] is None
    function.end()
    assert not (store.root / "freshness.json").exists()


SMALL_DISK = 'mount -t tmpfs -o size=48k,mode=0700 tmpfs "$KEYSTART_DIR" && exec "$@"'


@pytest.mark.usefixtures("private_mounts")
def test_a_disk_that_is_full_at_a_refresh_keeps_the_values(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, tmp_path: Path
) -> None:
    script = serve.start(Script(db="old"))
    store.root.mkdir(mode=0o700)
    lambda_api.looks = lambda: None  # the store is on a file system that only the extension sees
    begin = Begin(launch, lambda_api, Clock(tmp_path), within=["unshare", "-m", "sh", "-c", SMALL_DISK, "sh"])
    function = begin({"db": "db"})
    seen = Store(Path(f"/proc/{function.extension.process.pid}/root{store.root}"))
    script.values["db"] = "x" * 65_536
    function.invoke(after=60)
    assert (seen.values, seen.state["state"]) == ({"db": b"old"}, "ready")
    script.values["db"] = "new"
    function.invoke(after=5)
    assert seen.values == {"db": b"new"}
    refused, *_ = function.end()
    assert refused.startswith("[keystart] WARN  db could not be refreshed: store_unwritable: ")
    assert "ENOSPC" in refused


def test_a_secret_that_grew_too_large_keeps_its_value(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(db="old"))
    function = begin({"db": "db"})
    script.values["db"] = secret("x" * 1_048_577)
    function.invoke(after=60)
    assert store.values == {"db": b"old"}
    assert "db (secret db in eu-west-1) could not be refreshed: SecretTooLarge: " in function.end()[0]


def test_a_secret_that_grew_to_the_limit_of_secrets_manager_is_published(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old"))
    function = begin({"db": "db"})
    script.values["db"] = "x" * 65_536
    function.invoke(after=60)
    assert store.values == {"db": b"x" * 65_536}
    function.end()


def test_a_file_that_the_function_removed_is_fetched_again(begin: Begin, serve: Serve, store: Store) -> None:
    script = serve.start(Script(db="old", other="same"))
    function = begin({"db": "db", "other": {"secret": "other", "ttl": "none"}})
    (store.root / "current/secrets/other").unlink()
    script.values["db"] = "new"
    function.invoke(after=60)
    assert store.values == {"db": b"new", "other": b"same"}


def test_a_root_that_the_function_removed_is_published_again(
    begin: Begin, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="x", other="y"))
    function = begin({"db": "db", "other": {"secret": "other", "ttl": "none"}})
    shutil.rmtree(store.root)
    script.values["db"] = DENIED
    function.invoke()
    assert not store.root.exists(), "a required secret could not be fetched"
    asked = len(script.asked)
    function.invoke()
    assert len(script.asked) == asked, "the pause after a failure is not over"
    script.values["db"] = "z"
    function.invoke(after=5)
    assert store.values == {"db": b"z", "other": b"y"}
    assert (store.state["state"], store.manifest["generation"]) == ("ready", 2)
    script.values["db"] = "last"
    function.invoke(after=60)
    assert store.values == {"db": b"last", "other": b"y"}
    lines = function.end()
    assert (
        f"[keystart] WARN  The store at {store.root} was removed. The secrets are published again." in lines
    )
    assert not (store.root / "current").exists()
    assert store.state["state"] == "stopped"


@pytest.mark.usefixtures("private_mounts")
def test_a_store_is_published_again_though_that_failed_once(
    launch: Launcher, lambda_api: Lambda, serve: Serve, store: Store, tmp_path: Path
) -> None:
    script = serve.start(Script(db="old"))
    store.root.mkdir(mode=0o700)
    lambda_api.looks = lambda: None  # the store is on a file system that only the extension sees
    begin = Begin(launch, lambda_api, Clock(tmp_path), within=["unshare", "-m", "sh", "-c", SMALL_DISK, "sh"])
    function = begin({"db": "db"})
    seen = Store(Path(f"/proc/{function.extension.process.pid}/root{store.root}"))
    (seen.root / "current").unlink()
    script.values["db"] = "x" * 65_536
    function.invoke()
    assert seen.state["state"] != "ready"
    script.values["db"] = "new"
    function.invoke(after=5)
    assert (seen.values, seen.state["state"]) == ({"db": b"new"}, "ready")


def test_stores_that_are_published_again_and_again_need_no_more_descriptors(
    begin: Begin, serve: Serve, store: Store
) -> None:
    serve.start(Script(db="x"))
    function = begin({"db": "db"})
    descriptors = Path(f"/proc/{function.extension.process.pid}/fd")

    def publish_again(times: int) -> None:
        for _ in range(times):
            shutil.rmtree(store.root)
            function.invoke(after=5)
            assert store.values == {"db": b"x"}

    publish_again(3)
    before = len(list(descriptors.iterdir()))
    publish_again(12)
    # Threads of the last refresh close theirs after `next`.
    assert until(lambda: len(list(descriptors.iterdir())) <= before)


def launch_managed(launch: Launcher, api: Lambda, clock: Clock, *names: str) -> Extension:
    """Launches an extension of Managed Instances with a ttl of a minute for secrets of these ids."""
    extension = launch(
        api,
        json.dumps({"version": 1, "ttl": "60s", "secrets": dict(zip(names, names, strict=True))}),
        within=[sys.executable, str(MOVED_CLOCK), str(clock.file)],
        AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances",
    )
    api.wait_for("/event/next")
    return extension


def test_a_timer_does_not_spin_while_a_pause_holds_up_what_is_due(
    launch: Launcher, lambda_api: Lambda, tmp_path: Path, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old", other="old"))
    clock = Clock(tmp_path)
    extension = launch_managed(launch, lambda_api, clock, "db", "other")
    (store.root / "current").unlink()
    script.values["db"] = DENIED
    clock.pass_by(60)
    lambda_api.send("MOONRISE")  # so that the process looks at its clock, which did not pass by itself
    lambda_api.wait_for("/event/next", times=2)
    status = Path(f"/proc/{extension.process.pid}/status")
    waits = []
    for _ in range(2):
        time.sleep(0.5)  # the pause takes ten times as long
        waits.append(int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.M)[0]))
    assert waits[1] - waits[0] < 50


def test_on_managed_instances_a_timer_takes_the_place_of_invocations(
    launch: Launcher, lambda_api: Lambda, tmp_path: Path, serve: Serve, store: Store
) -> None:
    script = serve.start(Script(db="old"))
    clock = Clock(tmp_path)
    launch_managed(launch, lambda_api, clock, "db")
    assert lambda_api.requests[0].json == {"events": ["SHUTDOWN"]}
    script.values["db"] = "new"
    clock.pass_by(60)
    lambda_api.send("MOONRISE")  # so that the process looks at its clock, which did not pass by itself
    assert until(lambda: store.values == {"db": b"new"})
    lambda_api.wait_for("/event/next", times=2)
    assert lambda_api.paths() == ["/register", "/event/next", "/event/next"]
