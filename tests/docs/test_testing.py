"""Runs the functions and the tests of docs/testing.md unchanged, each in the test runner of its language."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import ROOT

from .pages import blocks, fenced
from .test_readers import run

PAGE = ROOT / "docs/testing.md"
COMMANDS = {
    "python": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
    "js": ["node", "--import", "./secrets.mjs", "--test"],
    "ruby": ["ruby", "-w", "orders_test.rb"],
}
PASSED = {"python": "2 passed", "js": "# pass 2\n", "ruby": "2 runs, 2 assertions, 0 failures"}


def write(language: str, folder: Path) -> None:
    for code in fenced(PAGE, language):
        file = code.partition("\n")[0].split()[-1]
        if not file.endswith(".cjs"):  # those for Jest, which tests/packages runs
            (folder / file).write_text(code)


@pytest.fixture
def outside(environment: dict[str, str]) -> dict[str, str]:
    """Returns the variables of a process that no extension and no other store is for."""
    ours = ("KEYSTART_DIR", "NODE_TEST_CONTEXT")
    return {name: value for name, value in environment.items() if name not in ours}


def test_every_block_is_a_file() -> None:
    named = [block.file for block in blocks(PAGE)]
    assert None not in named


@pytest.mark.parametrize("language", COMMANDS)
def test_the_tests_of_the_page_pass(language: str, project: Path, outside: dict[str, str]) -> None:
    write(language, project)
    assert PASSED[language] in run(COMMANDS[language], project, outside)


@pytest.mark.parametrize("language", COMMANDS)
def test_the_tests_of_the_page_notice_another_value(
    language: str, project: Path, outside: dict[str, str]
) -> None:
    write(language, project)
    for file in project.glob("orders.*"):
        if file.suffix in (".py", ".mjs", ".rb"):
            file.write_text(
                file.read_text()
                .replace('get("currency")', 'get("stripe/key")')
                .replace("get('currency')", "get('stripe/key')")
            )
    with pytest.raises(AssertionError):
        run(COMMANDS[language], project, outside)
