"""Checks that the page for people on call explains every code that the core itself writes for a secret."""

from __future__ import annotations

import re

from tests import ROOT

PROVIDERS = ROOT / "core/providers/src"
PAGE = (ROOT / "docs/operations.md").read_text()


def codes() -> set[str]:
    """Returns the codes in the sources: a literal, or a constant of the same file."""
    found = set()
    for file in PROVIDERS.rglob("*.rs"):
        source = file.read_text()
        constants = dict(re.findall(r'const ([A-Z_]+): &str = "(\w+)"', source))
        for literal, constant in re.findall(r'(?:Refusal|Failure)::new\(\s*(?:"(\w+)"|([A-Z_]+))', source):
            found.add(literal or constants[constant])
    return found


def test_every_code_of_the_core_is_explained() -> None:
    assert len(codes()) > 20
    table = PAGE.partition("## The code of a secret")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    explained = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert codes() - explained == set()
