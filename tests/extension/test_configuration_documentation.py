"""Checks docs/configuration.md: its examples are valid, and its messages are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from keystart_extension.plan import ConfigurationError

from tests import ROOT

from .configurations import load, load_file

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_file_on_the_page_is_a_configuration(tmp_path: Path) -> None:
    names = []
    for text in examples("yaml"):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        names.append([entry["name"] for entry in load_file(path, {}, {"STAGE": "prod"}).facts["entries"]])
    assert names == [
        ["db"],
        ["db", "stripe/key", "tls", "signing-previous", "flags", "app"],
        ["app", "settings"],
        ["db", "flags"],
        ["db"],
        ["first", "renamed"],
    ]


def test_every_variable_on_the_page_is_a_configuration() -> None:
    pairs, _ = examples("text")
    (as_json,) = examples("json")
    assert [entry["name"] for entry in load({"KEYSTART_SECRETS": pairs}).facts["entries"]] == ["db", "flags"]
    assert [entry["name"] for entry in load({"KEYSTART_SECRETS": as_json}).facts["entries"]] == ["db", "tls"]


def test_the_messages_on_the_page_are_those_that_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("keystart.yaml")
    path.write_text("version: 1\ndeadlin: 8s\nsecrets:\n  db: 0123\n  tls: {secret: prod/tls, ttl: 1m}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    _, messages = examples("text")
    assert f"{caught.value}\n" == messages
