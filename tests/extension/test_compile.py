"""Compiles configurations, and holds what the core reads by itself against what Python reads."""

from __future__ import annotations

import errno
import json
import os
import resource
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keystart_extension import core
from keystart_extension.cli import main
from keystart_extension.compile import DoesNotFit, compiled, inline
from keystart_extension.configuration import ConfigurationError, load, load_file
from keystart_extension.core import CoreError
from keystart_extension.plan import Plan
from keystart_extension.store import Draft, Writer

from tests import ROOT
from tests.draft import add
from tests.foreign import NOBODY, OWNERS, facts

from .test_configuration_properties import SHARED_FOLDER, TEXTS

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
# Names, beginnings of names, and what is near to them.
LIST = ROOT / "core/providers/variables.json"
TAKEN: list[str] = [name for group in json.loads(LIST.read_text()) for name in group["names"]]
VARIABLES = st.sampled_from(
    ["DB", "db_2", "A" * 255, "A" * 256, "A", "_A", "1A", "D-B", "DÉ", "", 3]
) | st.builds(
    str.__add__, st.sampled_from([name.rstrip("*") for name in TAKEN]), st.sampled_from(["", "X", "_x"])
)
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
        "snapstart": st.sampled_from(["init", "first-invoke"]),
        "batch": st.sampled_from([False, True]),
        "env_overwrite": st.sampled_from([False, True]),
        "color": st.just("blue"),
    },
)
DOCUMENTS = st.builds(
    lambda settings, secrets: json.dumps({"version": 1, **settings, "secrets": secrets}), SETTINGS, SECRETS
)
PAIRS = st.lists(st.builds("{}={}".format, NAMES, IDS), max_size=3).map(",".join)


# What the core is asked to read: the forms of keystart_plan_read.
JSON, YAML, INLINE = range(3)


def read_by_core(text: str, form: int) -> dict[str, Any] | None:
    data = text.encode(errors="surrogatepass")
    plan = core.give_text(core.lib.keystart_plan_read, data, len(data), form)
    return json.loads(plan) if plan else None


def without_places(plan: Plan) -> dict[str, Any]:
    """The plan as both readers tell it; JSON has one kind of list."""
    told: dict[str, Any] = json.loads(json.dumps(plan.to_dict()))
    for entry in told["entries"]:
        del entry["origin"]
    return {key: told[key] for key in ("start", "deadline", "region", "batch", "entries", "env_overwrite")}


def outcome(read: Callable[[], Plan]) -> dict[str, Any] | str:
    try:
        return without_places(read())
    except ConfigurationError as error:
        return str(error)


@SHARED_FOLDER
@given(text=DOCUMENTS | TEXTS)
def test_what_the_core_reads_of_a_file_is_what_python_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keystart.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert read_by_core(text, JSON) in (None, outcome(lambda: load_file(path, {})))


# Plain and quoted text, and what looks like it to some reader only.
PLAIN_WORDS = """
    db no N on true null Null ~ 1 0123 1e3 1_0 12:30:45 8s 9m 5ms 2024-01-01 .inf .5 0x1F 0o7 << = a: a#b &a *a !a | >
    [a] -a @a `a %a --- ... #a overlap before eu-west-1 none init prod/db, password /prod/ DB_PASSWORD AWSPREVIOUS
    arn:aws:iam::123456789012:role/reader
"""
PLAIN_KEYS = """
    version start deadline region batch env_overwrite ttl snapstart secrets secret parameter parameters field expand
    stage version_id role optional env db db/x tls a.b no 1 .db <<
"""
SCALARS = st.sampled_from(
    [
        *GOOD_IDS,
        *(f'"{id}"' for id in BAD_IDS),
        VERSION,
        *PLAIN_WORDS.split(),
        *(
            "'true'",
            "a b",
            "a: b",
            "a #b",
            "'a#b'",
            "'it''s'",
            '"a\\tb"',
            "'a\\b'",
            "'\"'",
            '"',
            "'",
            '""',
            "{a: b}",
            "- a",
            "? a",
            "é",
            "a\tb",
            "",
        ),
    ]
)
KEYS = st.sampled_from(
    [
        *PLAIN_KEYS.split(),
        *("'db'", '"x"', "a b", "é", "- db", "? db", ""),
    ]
)
INDENTS = st.sampled_from(["", "  ", "    ", " ", "\t"])
BETWEEN = st.sampled_from([": ", ":", ":  ", " : ", ": \t"])
CHARACTERS = st.sampled_from([*" #:'\"\n\t-{}[],&*!|>?%@`\\~=<1y/.é", ""])
BEHIND = st.sampled_from(["", " ", " # why", "#", "\r", "\n", "\n# why", "\n      # why", "\n  \n"])

LINES = st.tuples(INDENTS, KEYS, BETWEEN, SCALARS, BEHIND).map("".join)


def as_yaml(document: Mapping[str, Any], indent: str = "") -> list[str]:
    """The document in YAML's own form, each text without quotes."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *as_yaml(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}{key}: {value if isinstance(value, str) else json.dumps(value)}")
    return lines


@st.composite
def yaml_documents(draw: st.DrawFn) -> str:
    """A sound document in YAML's own form, in which up to two lines or characters are added or take another's place."""
    secrets = st.dictionaries(
        st.sampled_from(["db", "tls", "a/b"]), st.sampled_from(GOOD_IDS) | SOUND, min_size=1
    )
    settings = draw(st.sampled_from([{}, {"start": "before", "region": "eu-west-1"}]))
    text = "\n".join(as_yaml({"version": 1, **settings, "secrets": draw(secrets)}))
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            text = with_another(draw, text, CHARACTERS, "")
        else:
            text = with_another(draw, text, LINES, "\n")
    return text


def with_another(draw: st.DrawFn, text: str, parts: st.SearchStrategy[str], between: str) -> str:
    """The text in which one of its parts stands before another part, or in its place."""
    old = text.split(between) if between else list(text)
    at = draw(st.integers(0, len(old)))
    return between.join([*old[:at], draw(parts), *old[at + draw(st.integers(0, 1)) :]])


@settings(SHARED_FOLDER, max_examples=500)
@given(text=yaml_documents() | TEXTS)
def test_what_the_core_reads_of_yaml_is_what_python_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert read_by_core(text, YAML) in (None, outcome(lambda: load_file(path, {})))


@SHARED_FOLDER
@given(value=SCALARS, behind=BEHIND)
@pytest.mark.parametrize(
    "line", ["{}: prod/db", "db: {}", "db:\n    secret: prod/db\n    field: {}", "db:\n    parameter: {}"]
)
def test_what_the_core_reads_of_a_scalar_in_yaml_is_what_python_reads(
    tmp_path: Path, line: str, value: str, behind: str
) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_text(text := f"version: 1\nsecrets:\n  {line.format(value)}{behind}\n")
    assert read_by_core(text, YAML) in (None, outcome(lambda: load_file(path, {})))


@given(text=(SECRETS.map(json.dumps) | PAIRS | TEXTS).filter(bool))
def test_what_the_core_reads_of_the_variable_is_what_python_reads(text: str) -> None:
    assert read_by_core(text, INLINE) in (None, outcome(lambda: load({"KEYSTART_SECRETS": text})))


PLAIN = f"""
# The keys of this function.
version: 1
start: before   # the files are read at import
deadline: 9s
secrets:
  db: prod/db

  tls:
      secret: "{ARN}"
      expand: true
   # not where the lines around it begin
  stripe/key:
    secret: 'prod/stripe'
    field: "a b"
    env: STRIPE_KEY
"""


def test_the_core_reads_yaml_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_text(PLAIN)
    assert read_by_core(PLAIN, YAML) == without_places(load_file(path, {}))


@pytest.mark.parametrize(
    "text",
    [
        "secrets:#no comment\n  db: prod/db\nversion: 1\n",
        "version: 1\nsecrets:\n  db: prod/db#no comment\n",
        "version: 1\nsecrets:\n  db: 'prod/db'#no comment\n",
        "version: 1\nsecrets:\n  db: prod/db\n    and more\n",
        "version: 1\nsecrets:\n  db: prod/db\n    tls: prod/tls\n",
        "version: 1\nsecrets:\n    db: prod/db\n  tls: prod/tls\n",
        "version: 1\nsecrets:\ndb: prod/db\n",
        "version: 1\nsecrets:\n  db: prod/db\n  tls:\n",
        "version: 1\nsecrets:\n  db:\n  tls: prod/tls\n",
        "version: 1\nsecrets:\n\tdb: prod/db\n",
        "version: 1\nsecrets:\n  db: no\n",
        "version: 1\nsecrets:\n  no: prod/db\n",
        "version: 1\nsecrets:\n  db: arn:aws:x:\n",
        "version: 1\nsecrets:\n  db: 'it''s'\n",
        'version: 1\nsecrets:\n  db: "prod\\x2fdb"\n',
        "--- # the only one\nversion: 1\nsecrets:\n  db: prod/db\n",
        "version: 1\nsecrets: {db: prod/db}\n",
        "version: 1\nsecrets:\n  db: &a prod/db\n",
        "version: '1'\nsecrets:\n  db: prod/db\n",
        "# nothing\n",
        "",
    ],
)
def test_the_core_leaves_other_yaml_to_python(text: str) -> None:
    assert read_by_core(text, YAML) is None


@pytest.mark.parametrize("id", GOOD_IDS)
def test_the_core_reads_each_kind_of_id(id: str) -> None:
    expected = without_places(load({"KEYSTART_SECRETS": json.dumps({"db": id})}))
    value = f"'{id}'" if id.endswith(":") else id
    assert read_by_core(f"version: 1\nsecrets:\n  db: {value}\n", YAML) == expected
    assert read_by_core(json.dumps({"db": id}), INLINE) == expected
    assert read_by_core(f" db = {id} ", INLINE) == expected


@pytest.mark.parametrize("variable", TAKEN)
def test_no_reader_takes_a_variable_that_is_not_the_functions_own(variable: str) -> None:
    text = json.dumps({"db": {"secret": "prod/db", "env": variable.replace("*", "X")}})
    assert read_by_core(text, INLINE) is None
    with pytest.raises(ConfigurationError, match='"env" cannot be '):
        load({"KEYSTART_SECRETS": text})


@pytest.mark.parametrize(
    "variable", ["DB_PASSWORD", "d1", "A" * 255, "AWS_SES_SMTP_PASSWORD", "PATH_TO", "NODE_AUTH_TOKEN"]
)
def test_the_core_reads_each_kind_of_variable(variable: str) -> None:
    text = json.dumps({"db": {"secret": "prod/db", "env": variable}})
    assert read_by_core(text, INLINE) == without_places(load({"KEYSTART_SECRETS": text}))


@SHARED_FOLDER
@given(text=DOCUMENTS)
def test_a_compiled_configuration_has_the_same_plan_and_is_read_by_the_core(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_text(text)
    try:
        plan = load_file(path, {})
    except ConfigurationError:
        return
    again = tmp_path / "compiled.json"
    again.write_text(compiled(plan))
    assert without_places(load_file(again, {})) == without_places(plan)
    is_ascii = all((entry.field or "").isascii() for entry in plan.entries)
    assert read_by_core(compiled(plan), JSON) == (without_places(plan) if is_ascii else None)


@given(secrets=SECRETS, settings=st.sampled_from([{}, {"region": "eu-west-1"}]))
def test_a_plan_of_secrets_alone_fits_into_the_variable(
    secrets: dict[str, Any], settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "inline.json"
    path.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
    try:
        plan = load_file(path, {})
    except ConfigurationError:
        return
    text = inline(plan, "eu-west-1")
    read = without_places(load({"KEYSTART_SECRETS": text}))
    # In a function in eu-west-1 what has no region is there.
    for one in (read, expected := without_places(plan)):
        one["region"] = "eu-west-1"
        for entry in one["entries"]:
            entry["region"] = entry["region"] or "eu-west-1"
    assert read == expected
    if all((entry.field or "").isascii() for entry in plan.entries):
        assert read_by_core(text, INLINE) is not None


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
    assert inline(load_file(path, {}), "eu-west-1") == text


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"start": "before", "deadline": "9s"}, "deadline: and start:"),
        ({"region": "us-east-1"}, "region:"),
        ({"env_overwrite": True}, "env_overwrite:"),
    ],
)
def test_what_the_variable_would_lose_is_told(tmp_path: Path, settings: dict[str, Any], what: str) -> None:
    path = tmp_path / "keystart.json"
    path.write_text(json.dumps({"version": 1, **settings, "secrets": {"db": "prod/db"}}))
    with pytest.raises(DoesNotFit, match=f"and nothing else, so not {what}[.]$"):
        inline(load_file(path, {}), "eu-west-1")


def many(count: int) -> dict[str, str]:
    return {f"n{number:04}": "x" for number in range(count)}


# With names of 5 bytes, ids of 1, and the shortest line that a manifest can have.
MOST = 1_048_576 // (219 + 2 * 5 + 1)


def test_more_secrets_than_a_manifest_holds_are_refused_by_both_readers(tmp_path: Path) -> None:
    path = tmp_path / "keystart.json"
    for secrets in (many(MOST), many(MOST + 1), many(5000)):
        path.write_text(text := json.dumps({"version": 1, "secrets": secrets}))
        read = outcome(lambda: load_file(path, {}))
        assert read_by_core(text, JSON) == (read if len(secrets) == MOST else None)
        if len(secrets) > MOST:
            assert str(read).endswith(
                f": With this secret, number {MOST + 1} of {len(secrets)}, the manifest would be longer than the "
                "1048576 bytes that can be published. Configure fewer secrets."
            )
    # One that is not available takes less.
    optional = {name: {"secret": "x", "optional": True} for name in many(5000)}
    assert read_by_core(json.dumps(optional), INLINE) is not None
    assert len(load({"KEYSTART_SECRETS": json.dumps(optional)}).entries) == 5000


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
    plan = load_file(path, {})
    again.write_text(compiled(plan))
    read = load_file(again, {})
    assert (read.links, read.links_home, len(read.links)) == (plan.links, "/tmp/theirs", 4)
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
    assert load_file(tmp_path / "keystart.json", {}).entries[0].id == "prod/db"
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
    assert load_file(output, {}).entries[0].id == "prod/other"


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
    assert load_file(output, {}).entries[0].id == "prod/db"


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # bytes, as if the disk were full then
    try:
        code = run(monkeypatch, str(source), "-o", str(output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, capsys.readouterr().err) == (1, f"keystart: {output} cannot be written: File too large.\n")
    assert facts(tmp_path, changed=[tmp_path]) == before


def test_compile_respects_a_file_that_is_read_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to another user
        folder = Path(name)
        source, output = write(folder), folder / "out.json"
        output.write_text("old")
        output.chmod(0o444)
        if os.geteuid() == 0:  # which may write to any file
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
        f"keystart: {output} was made meanwhile by somebody else. Look at it, and try again.\n"
    )
    assert output.read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystart.json", "keystart.yaml"]


def test_compile_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    assert run(monkeypatch, str(write(tmp_path))) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystart.json", "keystart.yaml"]
