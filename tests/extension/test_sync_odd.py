"""Brings what nobody expects before `keystart sync`: odd files, names, answers, and standard streams."""

from __future__ import annotations

import json
import os
import secrets as randomness
import signal
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.aws import AwsError
from keystart_extension.sync import SyncError
from keystart_extension.sync.configuration import Configuration, read
from keystart_extension.sync.rules import Rule
from keystart_extension.sync.secret import OWNER_TAG, ExistingSecret, Settings, Value, WantedSecret
from keystart_extension.sync.sources import Entry
from keystart_extension.sync.sources import keywhiz as source
from keystart_extension.sync.sources.folder import Folder
from keystart_extension.sync.step import Choices, step_for
from keystart_extension.sync.sync import Sync
from keystart_extension.sync.target import Target

from tests.fakes.aws import Cloud
from tests.fakes.http import Answer, Request, Stub, forward
from tests.fakes.keywhiz import Keywhiz, Secret
from tests.fakes.secrets_manager import SecretsManager, error

from .conftest import COMMAND, Canaries, Environment, Keystart

SYNC = 'version: 1\nid: odd\nsource: {folder: secrets}\nsecrets: [{name: "odd/{name}"}]\n'
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "sync.yaml").write_text(SYNC)
    return tmp_path


def closing(stream: str, command: str, folder: Path, environment: Environment) -> tuple[int, str]:
    """Runs a command in a shell that closes a standard stream; returns exit code and errors."""
    ended = subprocess.run(
        ["sh", "-c", f'"$0" {command} {stream}', COMMAND],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stderr.decode()


@pytest.mark.long
def test_apply_with_a_closed_input_is_wrong_use(folder: Path, environment: Environment) -> None:
    code, said = closing("<&-", "sync apply", folder, environment)
    assert (code, said) == (
        2,
        "keystart: There is no terminal to ask at. Add --yes, or run keystart sync plan.\n",
    )


@pytest.mark.long
def test_plan_with_a_closed_output_ends_as_with_an_open_one(
    folder: Path, cloud: Cloud, environment: Environment
) -> None:
    assert closing(">&-", "sync plan", folder, environment) == (0, "")
    assert closing("2>&-", "sync plan --json", folder, environment)[0] == 0


@pytest.mark.long
def test_a_name_that_is_not_text_is_shown_without_control_characters(
    folder: Path, cloud: Cloud, keystart: Keystart, canary: Canaries
) -> None:
    for name in (b"a\xff", b"b\x1b[2J", b"c\nd"):
        Path(os.fsdecode(os.fsencode(folder / "secrets") + b"/" + name)).write_text(canary())
    code, out, said = keystart("sync", "plan")
    assert code == 1
    assert out == "! a\\udcff  refused\n! b\\x1b[2J  refused\n! c\\nd  refused\n3 refused\n"
    assert "keystart: b\\x1b[2J: Its name would hold" in said
    assert "\x1b" not in said


@pytest.mark.long
def test_a_name_may_end_like_an_arn(folder: Path, cloud: Cloud, keystart: Keystart, canary: Canaries) -> None:
    (folder / "secrets/client-secret").write_text(canary())
    assert keystart("sync", "plan") == (0, "+ odd/client-secret  create\n1 create\n", "")


def test_iam_policy_of_a_sync_says_what_it_does_not_know(folder: Path, keystart: Keystart) -> None:
    code, _, said = keystart("iam-policy", "sync.yaml")
    assert (code, said) == (
        0,
        "keystart: No account is known, so the policy has * instead. Name it with --account.\n",
    )


@pytest.mark.long
def test_sync_alone_plans(folder: Path, cloud: Cloud, keystart: Keystart) -> None:
    assert keystart("sync") == (0, "The source has no secret that a rule includes.\n", "")


def test_a_limit_without_prune_is_wrong_use(folder: Path, keystart: Keystart) -> None:
    assert keystart("sync", "plan", "--prune-limit", "2") == (
        2,
        "",
        "keystart: --prune-limit is only for --prune.\n",
    )


@pytest.mark.parametrize("options", [["--format", "terraform"], ["--set", "AB=x"], ["--role", "x"]], ids=str)
def test_iam_policy_ignores_no_option_with_a_sync_yaml(
    folder: Path, keystart: Keystart, options: list[str]
) -> None:
    code, out, said = keystart("iam-policy", "sync.yaml", *options)
    assert (code, out) == (2, "")
    assert "the policy of a sync is JSON" in said


def test_iam_policy_does_not_wait_for_a_pipe(folder: Path, keystart: Keystart) -> None:
    os.mkfifo(folder / "pipe.yaml")
    code, _, said = keystart("iam-policy", "pipe.yaml")
    assert code == 1
    assert "This is not a regular file." in said


@pytest.mark.parametrize(
    "text", ['!!int ""', "!!bool x", "!!timestamp x", '!!float ""', "{? [] : 1}", "&a [*a]", "1" * 5_000]
)
def test_yaml_that_breaks_its_reader_is_refused(folder: Path, text: str) -> None:
    file = folder / "sync.yaml"
    file.write_text(SYNC.replace("{folder: secrets}", text))
    with pytest.raises(SyncError):
        read(file)


@pytest.mark.parametrize("version", ["true", "1.0", '"1"'])
def test_a_version_is_a_whole_number(folder: Path, version: str) -> None:
    file = folder / "sync.yaml"
    file.write_text(SYNC.replace("version: 1", f"version: {version}"))
    with pytest.raises(SyncError, match="`version` must be 1"):
        read(file)


def test_links_in_a_circle_are_refused_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "good").write_bytes(b"a")
    folder = Folder(tmp_path)
    bad, good = folder.entries()
    with pytest.raises(SyncError, match="Too many levels of symbolic links"):
        folder.read(bad)
    assert folder.read(good).content == b"a"
    with pytest.raises(SyncError, match="Too many levels of symbolic links"):
        Folder(tmp_path / "circle")


def test_a_folder_that_cannot_be_searched_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "db").write_bytes(b"a")

    def stat(_: Path, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    folder = Folder(tmp_path)
    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(SyncError, match="of the source cannot be read: Permission denied"):
        list(folder.entries())


def test_a_folder_that_goes_while_it_is_listed_ends_the_list_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    monkeypatch.setattr(Path, "iterdir", lambda path: iter([path / "gone"]))
    with pytest.raises(SyncError, match="of the source cannot be read: No such file or directory"):
        list(folder.entries())


def test_a_link_that_somebody_puts_in_place_of_a_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inside := tmp_path / "inside").mkdir()
    (outside := tmp_path / "outside").write_bytes(b"not for a sync")
    (inside / "db").write_bytes(b"a")
    open_ = os.open

    def swap(path: Path, flags: int) -> int:
        path.unlink()
        path.symlink_to(outside)
        return open_(path, flags)

    folder = Folder(inside)
    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(SyncError, match="Too many levels of symbolic links"):
        folder.read(Entry("db"))


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with Keywhiz(tmp_path) as server:
        yield server


def keywhiz(server: Keywhiz) -> source.Keywhiz:
    certificate, key = server.client("keystart")
    return source.Keywhiz(source.Settings(server.url, certificate, key, server.authority))


def test_an_answer_outside_of_ascii_is_refused(server: Keywhiz) -> None:
    server.secrets["db"] = Secret(b"a", raw='{"name": "db", "secret": "é", "secretLength": 1}'.encode())
    with pytest.raises(SyncError, match="an answer that Keywhiz would not"):
        keywhiz(server).read(Entry("db"))


LISTS = {
    "surrogate": b'[{"name": "\\ud800"}]',
    "two names": b'[{"name": "a", "name": "b"}]',
}


@pytest.mark.parametrize("raw", LISTS.values(), ids=LISTS)
def test_a_list_without_the_names_is_refused(
    server: Keywhiz, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda *_: (200, raw))
    with pytest.raises(SyncError, match="an answer that Keywhiz would not"):
        list(keywhiz(server).entries())


def test_metadata_that_forges_a_secret_does_not_stop_the_list(
    server: Keywhiz, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b'[{"name": "a", "secret": "", "secret": "Yg==", "owner": "x"}, {"name": "b", "owner": "y"}]'
    monkeypatch.setattr(server, "answer", lambda *_: (200, raw))
    assert list(keywhiz(server).entries()) == [Entry("a"), Entry("b", {"owner": "y"})]


def changes(wanted: str, existing: str | None) -> tuple[str, ...]:
    value = Value.of(b"a")
    secret = ExistingSecret("arn", {OWNER_TAG: "odd"}, value, kms_key=existing)
    return step_for(
        WantedSecret("odd/a", value, Settings({}, kms_key=wanted)), secret, Choices("odd"), adopts=False
    ).changes


@pytest.mark.parametrize(
    ("wanted", "existing"),
    [
        ("alias/a", "arn:aws:kms:eu-west-1:123456789012:alias/a"),
        (KEY, ARN),
        (ARN, KEY),
        (ARN, ARN),
        ("alias/aws/secretsmanager", None),  # DescribeSecret leaves out this one
        ("arn:aws:kms:eu-west-1:123456789012:alias/aws/secretsmanager", None),
    ],
)
def test_a_key_is_the_same_in_each_form(wanted: str, existing: str | None) -> None:
    assert changes(wanted, existing) == ()


@pytest.mark.parametrize(
    ("wanted", "existing"),
    [
        ("alias/a", "arn:aws:kms:eu-west-1:123456789012:alias/b"),
        ("alias/a", "arn:aws:kms:eu-west-1:123456789012:alias/x/alias/a"),
        ("alias/a", None),
        (ARN, None),
        (ARN, ARN.replace("eu-west-1", "eu-west-2")),
    ],
)
def test_another_key_is_a_change(wanted: str, existing: str | None) -> None:
    assert changes(wanted, existing) == ("kms_key",)


def test_a_managed_external_secret_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    service: Any = SecretsManager()
    described = {"ARN": "a", "Type": "SomePartner", "VersionIdsToStages": {"1": ["AWSCURRENT"]}}
    monkeypatch.setattr(service, "describe_secret", lambda **_: described)
    existing = Target(service, "odd", 30).find("a", adopts=True)
    assert existing is not None
    assert existing.value is None, "its value is not read"
    wanted = WantedSecret("a", Value.of(b"a"), Settings({}))
    step = step_for(wanted, existing, Choices("odd"), adopts=True)
    assert (step.action, step.reason) == ("refused", "The service SomePartner owns it.")


ANSWERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "no ARN": ("describe_secret", {}),
    "tags": ("describe_secret", {"ARN": "a", "Tags": [{"Key": "a"}]}),
    "versions": ("describe_secret", {"ARN": "a", "VersionIdsToStages": []}),
    "no value": ("get_secret_value", {}),
}


@pytest.mark.parametrize(("call", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_not_whole_is_a_failure_of_its_secret(
    call: str, answer: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Any = SecretsManager()
    service.create_secret(Name="a", Tags=[{"Key": OWNER_TAG, "Value": "odd"}], SecretString="x")
    monkeypatch.setattr(service, call, lambda **_: answer)
    with pytest.raises(AwsError, match="is not one that AWS sends"):
        Target(service, "odd", 30).find("a")


def test_a_list_that_is_not_whole_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    service: Any = SecretsManager()
    monkeypatch.setattr(service, "paginate", lambda **_: iter([{}]))
    with pytest.raises(AwsError, match="is not one that AWS sends"):
        list(Target(service, "odd", 30).own_secrets())


REPEATED: dict[str, Callable[[str], tuple[bytes, str]]] = {
    "whole": lambda secret: (f"{secret}\n".encode(), secret),
    "one line of several": lambda secret: (f"a\n{secret}\tb\nc".encode(), f"{secret}\tb\nc"),
    "cut off": lambda secret: (secret.encode() * 100, secret * 100),
    "JSON": lambda secret: (f'{{"a": "{secret}"}}'.encode(), f'{{\\"a\\": \\"{secret}\\"}}'),
    "base64": lambda secret: (b"\xff" + secret.encode(), b64encode(b"\xff" + secret.encode()).decode()),
}


@pytest.mark.parametrize("repeat", REPEATED.values(), ids=REPEATED)
def test_a_message_that_repeats_the_value_is_not_shown(
    repeat: Callable[[str], tuple[bytes, str]], canary: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, repeated = repeat(canary())
    service: Any = SecretsManager()
    failure = error("CreateSecret", "ValidationException")
    failure.response["Error"]["Message"] = f"Value '{repeated}' at 'secretString' is wrong"

    def create(**_: object) -> None:
        raise failure

    monkeypatch.setattr(service, "create_secret", create)
    wanted = WantedSecret("odd/a", Value.of(content), Settings({}))
    with pytest.raises(AwsError) as raised:
        Target(service, "odd", 30).create(wanted)
    assert str(raised.value) == (
        "ValidationException: The message of Secrets Manager repeats the value, so it is not shown."
    )


def test_an_entry_whose_key_in_json_is_not_text_stops_no_other_one(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff")).write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    rules = (
        Rule("good", ("b",), (), {}, None, None, ()),
        Rule("json", ("*",), (), {}, None, None, (), json="{name}"),
    )
    service: Any = SecretsManager()
    sync = Sync(
        Configuration("odd", Folder(tmp_path), None, 30, rules), Target(service, "odd", 30), frozenset()
    )
    good, bad = sync.plan(prune=False, limit=None)
    assert (good.name, good.action) == ("good", "create")
    assert (bad.name, bad.action) == ("json", "refused")
    assert bad.reason == "a\\udcff: The key in its JSON would not be text. Change the rules, or its name."


def test_a_plan_renews_the_lock_for_each_secret_and_ends_with_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x")
    rule = Rule("{name}", ("*",), (), {}, None, None, ())
    service: Any = SecretsManager()
    configuration = Configuration("odd", Folder(tmp_path), None, 30, (rule,))
    sync = Sync(configuration, Target(service, "odd", 30), frozenset())
    renewals = list[None]()

    def renew() -> None:
        renewals.append(None)
        if len(renewals) == 5:
            raise SyncError("Another sync took over.")

    assert len(sync.plan(prune=False, limit=None, before_each=renew)) == 3
    with pytest.raises(SyncError, match="took over"):
        sync.plan(prune=False, limit=None, before_each=renew)
    assert len(renewals) == 5


class Lost:
    """A lock that is lost while the source is read: `calls` times it was there before."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise SyncError("Another sync took over.")


@pytest.mark.parametrize(("key", "calls"), [(None, 1), ("{name}", 2)], ids=["one entry", "JSON"])
def test_a_lock_that_is_lost_while_the_source_answers_prevents_the_write(
    tmp_path: Path, key: str | None, calls: int
) -> None:
    for name in ("a", "b")[: 1 if key is None else 2]:
        (tmp_path / name).write_bytes(b"x")
    rule = Rule("all", ("*",), (), {}, None, None, (), json=key)
    service: Any = SecretsManager()
    configuration = Configuration("odd", Folder(tmp_path), None, 30, (rule,))
    sync = Sync(configuration, Target(service, "odd", 30), frozenset())
    planned = sync.plan(prune=False, limit=None)
    (end,) = sync.apply(planned, Lost(calls).check)
    assert (end.action, end.reason) == ("refused", "Another sync took over.")
    assert service.secrets == {}


def test_a_source_that_holds_copies_of_this_sync_is_refused() -> None:
    service: Any = SecretsManager()

    class Same:
        def entries(self) -> Iterator[Entry]:
            return (Entry(name, secret.tags) for name, secret in list(service.secrets.items()))

        def read(self, entry: Entry) -> Value:
            return Value.of(service.secrets[entry.name].values[-1].encode())

    def sync(*, exclude: tuple[str, ...] = ()) -> Sync:
        rule = Rule("copy/{name}", ("*",), exclude, {}, None, None, ())
        configuration = Configuration("odd", Same(), None, 30, (rule,))
        return Sync(configuration, Target(service, "odd", 30), frozenset())

    service.create_secret(Name="db", Tags=[], SecretString="x")
    first = sync()
    (end,) = first.apply(first.plan(prune=False, limit=None))
    assert (end.name, end.action) == ("copy/db", "create")
    with pytest.raises(SyncError, match="copy/db of the source was made by this sync"):
        sync().plan(prune=True, limit=9)
    (step,) = sync(exclude=("copy/*",)).plan(prune=False, limit=None)
    assert (step.name, step.action) == ("copy/db", "unchanged")


def test_progress_is_shown_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    rule = Rule("{name}", ("*",), (), {}, None, None, ())
    service: Any = SecretsManager()
    configuration = Configuration("odd", Folder(tmp_path), None, 30, (rule,))
    sync = Sync(configuration, Target(service, "odd", 30), frozenset())
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ends = list(sync.apply(sync.plan(prune=False, limit=None)))
    assert [end.action for end in ends] == ["create", "create"]
    said = capsys.readouterr().err
    assert "looking at 1 of 2" in said
    assert "changing 2 of 2" in said


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_says_what_it_did_and_frees_its_lock(
    number: signal.Signals,
    folder: Path,
    moto: str,
    cloud: Cloud,
    environment: Environment,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync = f"odd-{randomness.token_hex(4)}"
    (folder / "sync.yaml").write_text(SYNC.replace("odd", sync))
    for name in ("a", "b"):
        (folder / f"secrets/{name}").write_text(canary())
    cloud.ssm.describe_parameters(MaxResults=1)  # moto takes long to load this service
    created: list[None] = []
    is_held, goes_on = threading.Event(), threading.Event()

    def answer(request: Request) -> Answer:
        if request.action == "CreateSecret":
            created.append(None)
            if len(created) == 2:
                is_held.set()
                goes_on.wait(30)
        return forward(request, moto)

    assert environment()
    with Stub(answer) as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        process = subprocess.Popen(
            [COMMAND, "sync", "apply", "--yes"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert is_held.wait(60)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        goes_on.set()
    assert process.returncode == 130
    assert said == (
        "keystart: 1 of 2 secrets are done. Run it again: it does the others, and repeats the one that was "
        "interrupted.\n"
        "keystart: Interrupted.\n"
    )
    (lock,) = cloud.ssm.get_parameters_by_path(Path=f"/keystart/sync/{sync}")["Parameters"]
    assert json.loads(lock["Value"]) == {"until": 0}
