"""Checks prose against the list of words in words.toml: pages, docstrings, comments, and help of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ROOT
from tests.prose import found
from tests.test_sources import files

# It quotes messages of the extension, which are pinned elsewhere.
QUOTES = {"docs/internals/faults.md"}


def test_no_prose_holds_a_word_of_the_list() -> None:
    wrong = [line for file in sorted(set(files()) - QUOTES) for line in found(ROOT / file)]
    assert not wrong, "\n".join(wrong)


SAID = "It gives nothing but its\nown name."


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("page.md", f"# Title\n\n```text\nIt gives.\n```\n\n{SAID} `It gives`\n", 7),
        ("code.py", f'"""Module."""\n\n\ndef f() -> None:\n    """Docstring.\n\n    {SAID}\n    """\n', 7),
        ("code.py", '"""Module."""\nx = "It gives"  # it\n# gives nothing but\n', 3),
        ("cli.py", '"""Module."""\nparser.add_argument("--x", help="it gives nothing but a name")\n', 2),
        ("code.rs", "//! Module.\nfn f() {}\n/// It gives nothing but\n/// its own.\n", 3),
        ("code.mjs", "/**\n * It gives nothing but\n */\n", 2),
        ("code.rb", "# frozen\nx = 1\n# It gives nothing but\n", 3),
    ],
)
def test_a_word_is_found_in_prose_and_nowhere_else(
    name: str, text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.prose.ROOT", tmp_path)
    file = tmp_path / name
    file.write_text(text)
    reported = [found_line.partition(". Write")[0] for found_line in found(file)]
    assert reported == [f'{name}:{line}: "gives"', f'{name}:{line}: "nothing but"']
