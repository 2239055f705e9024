"""Checks prose against words.toml: pages, docstrings, comments, help, names of tests, log lines and other messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import ROOT
from tests.prose import found
from tests.test_sources import files


def test_no_prose_holds_a_word_of_the_list() -> None:
    wrong = [line for file in files() for line in found(ROOT / file)]
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
        ("code.rs", "fn f() {\n    g(1); // it gives nothing but\n}\n", 2),
        ("page.md", "# Title\n\n- It\n  gives nothing\n  but its name.\n", 4),
        ("code.toml", "[table]\nx = 1  # it gives nothing but\n", 2),
        ("test_code.py", "def test_it_gives_nothing_but_a_name() -> None: ...\n", 1),
        ("code_test.rb", "\ndef test_it_gives_nothing_but_a_name\nend\n", 2),
        ("code.rs", "#[test]\nfn it_gives_nothing_but_a_name() {}\n", 2),
        ("code.test.mjs", "test('it gives nothing but a name', () => {\n", 1),
        ("extension/log.py", '"""Module."""\nlog.warn(f"{name} gives nothing but its name")\n', 2),
        ("core/lambda/src/log.rs", 'fn f() {\n    warn("It gives nothing but a name.");\n}\n', 2),
        (
            "core/lambda/src/log.rs",
            '//! Module.\nfn f() {\n    if c == \'"\' { warn("It gives nothing but a name."); }\n}\n',
            3,
        ),
    ],
)
def test_a_word_is_found_in_prose_names_of_tests_and_messages_and_nowhere_else(
    name: str, text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.prose.ROOT", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    reported = [found_line.partition(". Write")[0] for found_line in found(file)]
    assert reported == [f'{name}:{line}: "gives"', f'{name}:{line}: "nothing but"']


def test_a_text_of_one_word_and_a_message_of_a_reader_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.prose.ROOT", tmp_path)
    for name in ("extension/words.py", "bindings/python/src/errors.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        text = "gives" if name.startswith("extension") else "It gives nothing but a name."
        (tmp_path / name).write_text(f'"""Module."""\nWORD = "{text}"\n')
        assert found(tmp_path / name) == []
