"""Searches for texts that crash the reader, or that two readers understand differently."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from keystart_extension.plan import ConfigurationError, Plan
from keystart_extension.text import is_name

from .configurations import load, load_file

pytestmark = pytest.mark.long

# The folder is one for all examples: each writes its file again.
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

WORDS = [
    *("version", "1", "2", "secrets", "start", "before", "overlap", "deadline", "8s", "region", "eu-west-1"),
    *(
        "ttl",
        "none",
        "15m",
        "max_stale",
        "refresh_deadline",
        "snapstart",
        "init",
        "batch",
        "env",
        "SecretManagers",
        "SecretsHome",
        "prefix",
    ),
    *("secretname", "filename", "secret", "parameter", "parameters", "field", "expand", "stage", "role"),
    *("version_id", "optional", "db", "db/x", "../db", ".db", "prod/db", "/prod/", "ssm:/a:3", "true", "no"),
    *("0123", "1e3", "~", "<<", "2024-01-01", "&a", "*a", "!!str", "!", "|", ">", "---", "...", "%YAML 1.1"),
    *('"', "'", "\\", "\\u0000", "\\ud800", "\\UFFFFFFFF", "é", "\x85", "\u2028", "\ufeff", "\x00", "\t"),
    *(
        ":",
        ": ",
        ",",
        "[",
        "]",
        "{",
        "}",
        "?",
        "? ",
        "- ",
        "-",
        "#",
        " ",
        "  ",
        "\n",
        "\n  ",
        "\n    ",
        "=",
        "@",
    ),
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:db",
    "arn:aws:ssm:us-east-1:123456789012:parameter/a",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
TEXTS = (
    st.text()
    | st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
    | st.lists(st.sampled_from(WORDS), max_size=40).map(
        lambda words: "version: 1\nsecrets:\n  " + "".join(words)
    )
    | VALUES.map(json.dumps)
    | VALUES.map(lambda value: json.dumps({"version": 1, "secrets": {"db": value, "x": "prod/x"}}, indent=1))
    | VALUES.map(lambda value: json.dumps({"SecretManagers": [{"secrets": [value]}]}))
)


def outcome(read: Callable[[], Plan]) -> Plan | ConfigurationError:
    try:
        return read()
    except ConfigurationError as error:
        return error


def check(result: Plan | ConfigurationError) -> None:
    """Checks every outcome: messages can be printed, a line each; names are valid and differ."""
    if isinstance(result, ConfigurationError):
        assert result.problems
        assert str(result).isascii()
        assert len(str(result).splitlines()) == len(result.problems)
    else:
        names = [entry["name"] for entry in result.facts["entries"]]
        assert names
        assert all(is_name(name) for name in names)
        assert len(set(names)) == len(names)
        assert result.describe().encode()
        assert result.compiled().isascii()


@pytest.mark.parametrize("name", ["keystart.yaml", "keystart.json", "config.yaml"])
@SHARED_FOLDER
@given(data=TEXTS.map(lambda text: text.encode(errors="surrogatepass")) | st.binary())
def test_whatever_a_file_holds_there_is_a_plan_or_a_configuration_error(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    check(outcome(lambda: load_file(path)))


@given(value=TEXTS.filter(bool))
def test_whatever_the_variable_holds_there_is_a_plan_or_a_configuration_error(value: str) -> None:
    # No variable can hold NUL. Text that is not UTF-8 reaches it as bytes.
    data = value.replace("\0", "\1").encode(errors="surrogatepass")
    check(outcome(lambda: load({"KEYSTART_SECRETS": os.fsdecode(data)})))


# YAML, compared with PyYAML: an accepted text must mean the same to both.

FIELDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff"), min_size=1
)
IDS = st.sampled_from(
    ["prod/db", "A/z0_+=.@-", "rds!db-1", "ssm:/prod/flags:3", "no", "0123", "1e3", "2024-01-01"]
)


def single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def double(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) > 0xFF else f"\\x{ord(c):02x}" for c in text) + '"'


def block(text: str) -> str:
    return f"|-\n        {text}"


def folded(text: str) -> str:
    return ">-\n        " + text


def plain(text: str) -> str:
    return text


Style = Callable[[str], str]
PLAIN_STYLES: list[Style] = [plain, single, double, escaped]
STYLES: st.SearchStrategy[Style] = st.sampled_from([plain, single, double, escaped, block, folded])
SPACE = st.sampled_from(["", " ", "   "])
COMMENTS = st.sampled_from(["", " # why", "  # 'a': \"b\"", "\n", "\n# why: not", "\n      # {"])


@st.composite
def yaml_files(draw: st.DrawFn) -> str:
    """Returns a keystart.yaml in odd forms: all kinds of text, flow and block, comments, blank lines, any line ends."""
    lines = [
        "version: 1" + draw(COMMENTS),
        draw(st.sampled_from(["secrets:", "secrets: # them", '"secrets":'])),
    ]
    step = draw(st.integers(1, 5))
    for name in draw(st.lists(st.sampled_from(["db", "tls", "a/b", "x-1"]), min_size=1, unique=True)):
        indent = " " * step
        key = indent + draw(st.sampled_from(PLAIN_STYLES))(name)
        if draw(st.booleans()):
            key = f"{indent}? {key.lstrip()}\n{indent}"
        secret, field = draw(IDS), draw(FIELDS)
        style, other = draw(STYLES), draw(STYLES)
        form = draw(st.sampled_from(["short", "block", "flow", "lines"]))
        if form == "short":
            lines.append(f"{key}:{draw(SPACE)} {style(secret)}{draw(COMMENTS)}")
        elif form == "block":
            inner = indent + " " * draw(st.integers(1, 4))
            lines += [
                f"{key}:{draw(COMMENTS)}",
                f"{inner}secret: {style(secret)}",
                f"{inner}field:  {other(field)}",
            ]
        else:
            between = ", " if form == "flow" else f",\n{indent}   "
            flow = between.join([f"secret: {quoted(style)(secret)}", f'"field":{quoted(other)(field)}'])
            lines.append(
                f"{key}: {{{draw(SPACE)}{flow}{draw(st.sampled_from(['', ',', ' ', ' , ']))}}}{draw(COMMENTS)}"
            )
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n...\n", "\n\n# end"]))
    text = draw(st.sampled_from(["", "---\n", "# first\n\n", "%YAML 1.1\n---\n"])) + text
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        part = draw(st.sampled_from([*" #:'\"\n\t-{}[],&*!|>?%@`\\~=<1y/.é", "\n  ", " # ", ": ", "- ", ""]))
        text = text[:at] + part + text[at + draw(st.integers(0, 1)) :]
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))


def quoted(style: Style) -> Style:
    """Returns a style that is legal inside braces."""
    return style if style in (single, double, escaped) else double


class AsText(yaml.SafeLoader):
    """PyYAML without types: each scalar is the text as written."""


AsText.yaml_implicit_resolvers = {}


def meaning(text: str) -> dict[str, Any]:
    """Returns the ids and fields of a keystart.yaml, as PyYAML reads it."""
    secrets = yaml.load(text, Loader=AsText)["secrets"]  # noqa: S506 it is a SafeLoader
    return {
        name: (value, None) if isinstance(value, str) else (value["secret"], value.get("field"))
        for name, value in secrets.items()
    }


def own_meaning(plan: Plan) -> dict[str, Any]:
    secrets = json.loads(plan.compiled())["secrets"]
    return {
        name: (value["secret"] if "secret" in value else f"ssm:{value['parameter']}", value.get("field"))
        for name, value in secrets.items()
    }


@settings(SHARED_FOLDER, max_examples=1000)
@given(text=yaml_files())
def test_yaml_that_is_accepted_means_to_pyyaml_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    result = outcome(lambda: load_file(path))
    check(result)
    try:
        theirs = meaning(text)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
        # Our YAML 1.2 allows tabs between a key and its value, and more. PyYAML reads 1.1.
        event("PyYAML refuses it")
        return
    if isinstance(result, Plan):
        event("both read it")
        assert own_meaning(result) == theirs
    else:
        event("we refuse it")


# Characters that JSON and YAML 1.1 write differently: control characters, YAML's other line breaks,
# noncharacters.
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@SHARED_FOLDER
@given(
    secrets=st.dictionaries(
        NAMES,
        st.fixed_dictionaries({"secret": IDS.filter(lambda name: ":" not in name), "field": FIELDS}),
        min_size=1,
    ),
    indent=st.sampled_from([None, 1, 4]),
)
def test_the_same_text_as_json_and_as_yaml_is_the_same_plan(
    tmp_path: Path, secrets: dict[str, Any], indent: int | None
) -> None:
    text = json.dumps({"version": 1, "secrets": secrets}, indent=indent, ensure_ascii=False)
    plans = []
    for name in ("keystart.json", "keystart.yaml"):
        (path := tmp_path / name).write_text(text, encoding="utf-8")
        plan = load_file(path)
        places = [(entry["origin"]["line"], entry["origin"]["column"]) for entry in plan.facts["entries"]]
        plans.append((plan.compiled(), places))
    assert plans[0] == plans[1]
