"""The demo, as people see it first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .demo import Demo
from .lambda_simulator import runtimes


def test_the_demo_agrees_in_all_languages_and_needs_nothing_that_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtimes, "NODE_CLIENT", tmp_path / "not-installed")
    assert Demo(colour=False).run(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "✓ python, node, ruby agree byte for byte on 8 secrets" in shown
    inits = "python X and X ms, node X and X ms, ruby X and X ms"
    line = re.escape(f"\nInit with these secrets, and of a function without any: {inits}\n")
    assert re.search(line.replace("X", r"\d+"), shown)


def test_secrets_come_from_keywhiz_to_all_languages_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Demo(colour=False, from_keywhiz=True).run(tmp_path) == 0
    assert "✓ python, node, ruby agree byte for byte on 8 secrets" in capsys.readouterr().out
