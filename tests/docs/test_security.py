"""Checks that every test that docs/security.md names exists."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

DOCS = ROOT / "docs"
NAMED = re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", (DOCS / "security.md").read_text())


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("name", "file"), NAMED)
def test_a_test_that_the_page_names_is_there(name: str, file: str) -> None:
    assert re.search(rf"""(?:def |fn |test\(['"]){re.escape(name)}\b""", (DOCS / file).read_text())
