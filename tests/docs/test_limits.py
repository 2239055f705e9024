"""Holds the table of limits in docs/security.md to the constants of the core."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

UNITS = {"KiB": 1024, "MiB": 1024 * 1024}
ROWS = re.findall(
    r"^\| .+? \| (\d+)(?: (KiB|MiB))? \| `([A-Z_]+)` \|$", (ROOT / "docs/security.md").read_text(), re.M
)
FILES = ("providers/src/limits.rs", "providers/src/files.rs", "config/src/find.rs")
SOURCES = "\n".join((ROOT / "core" / file).read_text() for file in FILES)


def test_the_table_is_there() -> None:
    assert len(ROWS) == 8


@pytest.mark.parametrize(("number", "unit", "constant"), ROWS)
def test_a_limit_is_what_the_core_says(number: str, unit: str, constant: str) -> None:
    found = re.search(rf"const {constant}: \w+ = ([0-9MIB* _]+);", SOURCES)
    assert found is not None
    factors = found[1].replace("MIB", str(UNITS["MiB"])).replace("_", "").split("*")
    value = 1
    for factor in factors:
        value *= int(factor)
    assert value == int(number) * UNITS.get(unit, 1)
