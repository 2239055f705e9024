"""Compiles configurations, and writes them as the variable KEYSTART_SECRETS."""

from __future__ import annotations

import errno
import json
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keystart_extension.cli import main
from keystart_extension.core import CoreError
from keystart_extension.plan import ConfigurationError, InlineError, Plan
from keystart_extension.store import Draft, Writer

from tests.draft import add
from tests.foreign import NOBODY, OWNERS, facts

from .configurations import load, load_file
from .test_configuration_properties import SHARED_FOLDER

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/prod/flags"
VERSION = "0f0c8a9e-0000-4000-8000-000000000000"
GOOD_IDS = [
    *("prod/orders/db", ARN, f"{ARN}:password::", f"{ARN}:::{VERSION}", f"{ARN}:a:AWSPREVIOUS:", "rds!db-1"),
    *("ssm:/prod/flags", "ssm:flags:3", "ssm:/prod/flags:live", PARAMETER, f"{PARAMETER}:7"),
    "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:x-a1B2c3",
    "arn:aws:ssm:eu-west-1:123456789012:parameter/flags",
]
BAD_IDS = [
    *(
        "",
        " ",
        "a:b",
        "arn:",
        "ssm:",
        "ssm:a/b",
        "ssm:/a//b",
        "ssm:/a/",
        "prod db",
        "x" * 513,
        f"{ARN}:a:b:{VERSION}:e",
    ),
    *(
        ARN.replace("eu-west-1", "moon"),
        ARN.replace("secretsmanager", "s3"),
        f"{PARAMETER}:",
        f"{PARAMETER}::",
    ),
    *(
        "secret:x",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
        f"{ARN}::AWSCURRENT:{VERSION}",
        "ü",
    ),
]
IDS = st.sampled_from(GOOD_IDS + BAD_IDS)
NAMES = st.sampled_from(
    ["db", "db/x", "tls", "a/b/c/d/e/f/g/h", ".db", "a" * 255, "a" * 256, "é", "", "db x", "x=y"]
)
VARIABLES = st.sampled_from(["DB", "db_2", "A" * 255, "A" * 256, "A", "_A", "1A", "D-B", "DÉ", "", "PATH", 3])
PATHS = st.sampled_from(["/prod/", "/", "/prod//x", "prod", "//", "/a/b"])
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "secret": IDS,
        "parameter": IDS,
        "parameters": PATHS,
        "field": st.sampled_from(["password", "", "ü", "a b", 3]),
        "expand": st.sampled_from([True, False, "true", None]),
        "stage": st.sampled_from(["AWSPREVIOUS", "x" * 256, "x" * 257]),
        "version_id": st.sampled_from([VERSION, "short"]),
        "role": st.sampled_from(["arn:aws:iam::123456789012:role/reader", "arn:aws:iam::1:role/x"]),
        "optional": st.sampled_from([True, False, 1]),
        "ttl": st.sampled_from(["none", "15m", None]),
        "env": VARIABLES,
    },
)
SOUND = st.sampled_from(
    [
        {"secret": "prod/db", "field": "password", "optional": True},
        {"secret": ARN, "expand": True, "role": "arn:aws:iam::123456789012:role/a/b/reader"},
        {"secret": "prod/db", "stage": "AWSPREVIOUS", "expand": False},
        {"secret": "prod/db", "version_id": VERSION, "ttl": "none"},
        {"parameter": "/prod/flags:3", "env": "FLAGS"},
        {"secret": "prod/db", "field": "password", "env": "DB_PASSWORD"},
        {"parameters": "/prod/"},
    ]
)
SECRETS = st.dictionaries(NAMES, IDS | ENTRIES | SOUND, max_size=3)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "start": st.sampled_from(["overlap", "before", "after", None]),
        "deadline": st.sampled_from(["8s", "100ms", "99ms", "15m", "16m", "1h", 8, "0008s", "1234567890ms"]),
        "region": st.sampled_from(["eu-west-1", "moon", ""]),
        "ttl": st.sampled_from(["none", "1m"]),
        "max_stale": st.sampled_from(["none", "15m"]),
        "refresh_deadline": st.sampled_from(["1s", "99ms"]),
        "snapstart": st.sampled_from(["init", "first-invoke"]),
        "batch": st.sampled_from([False, True]),
        "env_overwrite": st.sampled_from([False, True]),
        "color": st.just("blue"),
    },
)
DOCUMENTS = st.builds(
    lambda settings, secrets: json.dumps({"version": 1, **settings, "secrets": secrets}), SETTINGS, SECRETS
)


def without_places(plan: Plan) -> dict[str, Any]:
    """Returns the plan without its origins."""
    facts = plan.facts
    for entry in facts["entries"]:
        del entry["origin"]
    del facts["source_file"]
    return facts


@SHARED_FOLDER
@given(text=DOCUMENTS)
def test_a_compiled_configuration_has_the_same_plan(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_text(text)
    try:
        plan = load_file(path)
    except ConfigurationError:
        return
    again = tmp_path / "compiled.json"
    again.write_text(plan.compiled())
    read = load_file(again)
    assert without_places(read) == without_places(plan)
    assert read.compiled() == plan.compiled()


@given(secrets=SECRETS, settings=st.sampled_from([{}, {"region": "eu-west-1"}]))
def test_a_plan_of_secrets_alone_fits_into_the_variable(
    secrets: dict[str, Any], settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "inline.json"
    path.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
    try:
        plan = load_file(path)
    except ConfigurationError:
        return
    text = plan.inline("eu-west-1")
    read = without_places(load({"KEYSTART_SECRETS": text}))
    # In a function in eu-west-1, a secret without a region is there.
    for one in (read, expected := without_places(plan)):
        one["region"] = "eu-west-1"
        for entry in one["entries"]:
            entry["region"] = entry["region"] or "eu-west-1"
    assert read == expected


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        ({"db": "prod/db", "flags": {"parameter": "/prod/flags:3"}}, "db=prod/db,flags=ssm:/prod/flags:3"),
        ({"db": {"secret": ARN, "field": "password"}}, f"db={ARN}:password::"),
        ({"db": {"secret": ARN, "field": "a,b=c"}}, f'{{"db":{{"secret":"{ARN}","field":"a,b=c"}}}}'),
        ({"db": {"secret": "prod/db", "field": "x"}}, '{"db":{"secret":"prod/db","field":"x"}}'),
        ({"db": {"secret": "prod/db", "env": "DB"}}, '{"db":{"secret":"prod/db","env":"DB"}}'),
        ({"db": "ssm:/x", "app": {"parameters": "/a/"}}, '{"db":"ssm:/x","app":{"parameters":"/a"}}'),
    ],
)
def test_the_variable_is_written_as_pairs_where_they_say_it_all(
    tmp_path: Path, secrets: dict[str, Any], text: str
) -> None:
    path = tmp_path / "keystart.json"
    path.write_text(json.dumps({"version": 1, "secrets": secrets}))
    assert load_file(path).inline("eu-west-1") == text


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"start": "before", "deadline": "9s"}, "deadline: and start:"),
        ({"region": "us-east-1"}, "region:"),
        ({"env_overwrite": True}, "env_overwrite:"),
    ],
)
def test_what_the_variable_would_lose_is_reported(
    tmp_path: Path, settings: dict[str, Any], what: str
) -> None:
    path = tmp_path / "keystart.json"
    path.write_text(json.dumps({"version": 1, **settings, "secrets": {"db": "prod/db"}}))
    with pytest.raises(InlineError, match=f'only what is under "secrets", so not {what}[.]$'):
        load_file(path).inline("eu-west-1")


def many(count: int) -> dict[str, str]:
    return {f"n{number:04}": "x" for number in range(count)}


# With names of 5 bytes, ids of 1 byte, and the shortest line of a manifest.
MOST = 1_048_576 // (219 + 2 * 5 + 1)


def test_more_secrets_than_a_manifest_holds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keystart.json"
    path.write_text(json.dumps({"version": 1, "secrets": many(MOST)}))
    assert len(load_file(path).facts["entries"]) == MOST
    for secrets in (many(MOST + 1), many(5000)):
        path.write_text(json.dumps({"version": 1, "secrets": secrets}))
        with pytest.raises(ConfigurationError) as caught:
            load_file(path)
        assert str(caught.value).endswith(
            f": With this secret, number {MOST + 1} of {len(secrets)}, the manifest would be longer than the "
            "1048576 bytes that can be published. Configure fewer secrets."
        )
    # One that is not available takes less space.
    optional = {name: {"secret": "x", "optional": True} for name in many(5000)}
    path.write_text(json.dumps({"version": 1, "secrets": optional}))
    assert len(load_file(path).facts["entries"]) == 5000


def test_what_is_refused_so_could_not_be_published(tmp_path: Path) -> None:
    draft = Draft()
    source: dict[str, Any] = {
        "provider": "ssm",
        "id": "x",
        "region": "eu-west-1",
        "version_id": "1",
        "version_stages": [],
        "field": None,
    }
    for name in many(MOST + 1):
        add(draft, name, b"", source)
    with pytest.raises(CoreError) as caught:
        Writer.open(str(tmp_path / "keystart")).publish(draft)
    assert caught.value.code == "manifest_too_large"


SQUARE = f"""
SecretManagers:
- prefix: "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
  secrets:
    - secretname: first
    - secretname: "db-a1B2c3:password:AWSPREVIOUS:"
      filename: .odd@name+1
- secrets:
    - {{secretname: "ssm:/prod/flags:3", filename: flags}}
    - {{secretname: "{PARAMETER}", filename: more}}
secretshome: /tmp/theirs
"""


def test_squares_configuration_keeps_its_links_and_what_they_lead_to(tmp_path: Path) -> None:
    path, again = tmp_path / "config.yaml", tmp_path / "keystart.json"
    path.write_text(SQUARE)
    plan = load_file(path)
    again.write_text(plan.compiled())
    read = load_file(again)
    assert (read.facts["links_home"], len(read.facts["links"])) == ("/tmp/theirs", 4)
    assert without_places(read) == without_places(plan)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["keystart", "compile", *arguments])
    return main()


def test_compile_writes_keystart_json_beside_the_file_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "keystart.yaml"
    source.write_text("version: 1\nsecrets:\n  db: prod/db\n")
    assert run(monkeypatch, str(source)) == 0
    assert capsys.readouterr().out == f"{tmp_path}/keystart.json\n"
    assert load_file(tmp_path / "keystart.json").facts["entries"][0]["id"] == "prod/db"
    assert run(monkeypatch, str(source), "-o", "-") == 0
    assert capsys.readouterr().out == (tmp_path / "keystart.json").read_text()


def test_compile_refuses_a_wrong_configuration_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "keystart.yaml"
    source.write_text("version: 1\nsecrets: {}\n")
    assert run(monkeypatch, str(source)) == 1
    assert capsys.readouterr().err == f"keystart: {source}:2:10: There are no secrets. Name at least one.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["keystart.yaml"]


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("keystart.json", "{output} is what should be compiled. Name another file with --output."),
        ("out.yaml", "{output} would not be read: the name of a compiled configuration ends in .json."),
        ("absent/x.json", "{output} cannot be written: No such file or directory."),
    ],
)
def test_compile_refuses_an_output_that_is_of_no_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    why: str,
) -> None:
    source = tmp_path / "keystart.json"
    source.write_text('{"version": 1, "secrets": {"db": "prod/db"}}')
    path = tmp_path / output
    assert run(monkeypatch, str(source), "-o", str(path)) == 1
    assert capsys.readouterr().err == f"keystart: {why.format(output=path)}\n"
    assert source.read_text() == '{"version": 1, "secrets": {"db": "prod/db"}}'


def write(folder: Path) -> Path:
    source = folder / "keystart.yaml"
    source.write_text("version: 1\nsecrets:\n  db: prod/db\n")
    return source


def test_compile_replaces_what_it_wrote_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = write(tmp_path), tmp_path / "keystart.json"
    assert run(monkeypatch, str(source)) == 0
    source.write_text("version: 1\nsecrets:\n  db: prod/other\n")
    assert run(monkeypatch, str(source)) == 0
    assert load_file(output).facts["entries"][0]["id"] == "prod/other"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine",
        '{"version": 1, "secrets": {"db": "prod/db"}}',
        '{"version": 1, "secrets": {"db": "prod/db"}, "x": 1}',
    ],
)
def test_compile_replaces_what_it_did_not_write_only_if_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    source, output = write(tmp_path), tmp_path / "keystart.json"
    output.write_text(text)
    before = facts(tmp_path)
    assert run(monkeypatch, str(source)) == 1
    assert capsys.readouterr().err == (
        f"keystart: {output} exists, and keystart compile did not write it. To replace it, name it with --output.\n"
    )
    assert facts(tmp_path) == before
    assert run(monkeypatch, str(source), "-o", str(output)) == 0
    assert load_file(output).facts["entries"][0]["id"] == "prod/db"


def test_compile_keeps_the_mode_and_the_owner_of_the_file_and_the_bytes_of_its_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write(tmp_path), tmp_path / "out.json"
    output.write_text("old")
    output.chmod(0o640)
    os.chown(output, OWNERS[-1], -1)
    (tmp_path / "other").hardlink_to(output)
    assert run(monkeypatch, str(source), "-o", str(output)) == 0
    assert (output.stat().st_mode, output.stat().st_uid) == (0o100640, OWNERS[-1])
    assert (tmp_path / "other").read_text() == "old"


@pytest.mark.parametrize("options", [[], ["-o", "keystart.json"]])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("link", "is a symbolic link. Name the file that it leads to."),
        ("dangling", "is a symbolic link. Name the file that it leads to."),
        ("fifo", "is not a regular file. Name another one."),
        ("folder", "is not a regular file. Name another one."),
    ],
)
def test_compile_writes_into_no_other_kind_of_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    why: str,
    options: list[str],
) -> None:
    write(tmp_path)
    output, elsewhere = tmp_path / "keystart.json", tmp_path / "elsewhere"
    if kind == "fifo":
        os.mkfifo(output)
    elif kind == "folder":
        output.mkdir()
    else:
        output.symlink_to(elsewhere)
        if kind == "link":
            elsewhere.write_text("theirs")
    before = facts(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "keystart.yaml", *options) == 1
    shown = "keystart.json" if options else output
    assert capsys.readouterr().err == f"keystart: {shown} {why}\n"
    assert facts(tmp_path) == before


def test_a_compile_that_fails_half_way_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write(tmp_path), tmp_path / "out.json"
    output.write_text("old")
    before = facts(tmp_path, changed=[tmp_path])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # bytes; as if the disk were full then
    try:
        code = run(monkeypatch, str(source), "-o", str(output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, capsys.readouterr().err) == (1, f"keystart: {output} cannot be written: File too large.\n")
    assert facts(tmp_path, changed=[tmp_path]) == before


def test_compile_respects_a_file_that_is_read_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # another user may not enter pytest's own folder
        folder = Path(name)
        source, output = write(folder), folder / "out.json"
        output.write_text("old")
        output.chmod(0o444)
        if os.geteuid() == 0:  # root may write to any file
            for path in (folder, source, output):
                os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            code = run(monkeypatch, str(source), "-o", str(output))
        finally:
            os.seteuid(os.getuid())
        assert (code, capsys.readouterr().err) == (
            1,
            f"keystart: {output} cannot be written: Permission denied.\n",
        )
        assert output.read_text() == "old"


def test_compile_does_not_replace_what_came_after_it_had_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write(tmp_path), tmp_path / "keystart.json"
    monkeypatch.setattr("os.fsync", lambda _: output.write_text("theirs"))
    assert run(monkeypatch, str(source)) == 1
    assert capsys.readouterr().err == (
        f"keystart: {output} was made by somebody else in the meantime. Look at it, and try again.\n"
    )
    assert output.read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystart.json", "keystart.yaml"]


def test_compile_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    assert run(monkeypatch, str(write(tmp_path))) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystart.json", "keystart.yaml"]
