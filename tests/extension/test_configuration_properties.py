"""Searches for texts that reading does not survive, or that two readers see differently."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keystart_extension.configuration import ConfigurationError, load, load_file
from keystart_extension.configuration.json_document import parse_json
from keystart_extension.configuration.yaml_document import parse_yaml
from keystart_extension.names import is_name
from keystart_extension.plan import Plan

# The folder is one for all examples: each writes its file anew.
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

WORDS = [
    *("version", "1", "2", "secrets", "start", "before", "overlap", "deadline", "8s", "region", "eu-west-1"),
    *("ttl", "none", "15m", "snapstart", "init", "batch", "env", "SecretManagers", "SecretsHome", "prefix"),
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
    """Holds for every outcome: messages can be printed, a line each; names are names and differ."""
    if isinstance(result, ConfigurationError):
        assert result.problems
        assert str(result).isascii()
        assert len(str(result).splitlines()) == len(result.problems)
    else:
        names = [entry.name for entry in result.entries]
        assert names
        assert all(is_name(name) for name in names)
        assert len(set(names)) == len(names)
        assert json.loads(json.dumps(result.to_dict()))["start"] == result.start
        assert result.describe().encode()


@pytest.mark.parametrize("name", ["keystart.yaml", "keystart.json", "config.yaml"])
@SHARED_FOLDER
@given(data=TEXTS.map(lambda text: text.encode(errors="surrogatepass")) | st.binary())
def test_whatever_a_file_holds_there_is_a_plan_or_a_configuration_error(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    check(outcome(lambda: load_file(path, {})))


@given(value=TEXTS.filter(bool))
def test_whatever_the_variable_holds_there_is_a_plan_or_a_configuration_error(value: str) -> None:
    check(outcome(lambda: load({"KEYSTART_SECRETS": value})))


# What JSON and YAML 1.1 do not write alike: control characters, YAML's other line breaks, noncharacters.
ALIKE = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"),
    max_size=20,
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | ALIKE,
    lambda inner: st.lists(inner) | st.dictionaries(ALIKE, inner),
    max_leaves=20,
)


@given(document=DOCUMENTS, indent=st.sampled_from([None, 1, 4]))
def test_the_readers_of_json_and_yaml_give_the_same_nodes_at_the_same_places(
    document: Any, indent: int | None
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    assert parse_json(text, "file") == parse_yaml(text, "file")
