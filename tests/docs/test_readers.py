"""Runs every block of docs/readers.md unchanged."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

from .pages import NODE, Block, blocks

PAGE = ROOT / "docs/readers.md"
BLOCKS = blocks(PAGE)
SUFFIX = {"python": ".py", "js": ".mjs", "ruby": ".rb", "ts": ".ts"}
RUN = {"python": [sys.executable], "js": ["node"], "ruby": ["ruby", "-w"]}
TEST = {
    "python": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
    "js": ["node", "--test"],
    "ruby": ["ruby", "-w"],
}
TSC = [str(NODE / "node_modules/.bin/tsc"), "--strict", "--skipLibCheck", "--module", "node16"]
EXPECTED = {block.topic: block.code for block in BLOCKS if block.language == "text"}
PRINTING = [block for block in BLOCKS if block.language in RUN and not block.file]
FILES = [block for block in BLOCKS if block.file]
TYPESCRIPT = [block for block in BLOCKS if block.language == "ts"]


def run(program: list[str], folder: Path, environment: dict[str, str]) -> str:
    ran = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    return ran.stdout


def written(block: Block, folder: Path, name: str = "example") -> str:
    file = block.file or name + SUFFIX[block.language]
    (folder / file).write_text(block.code)
    return file


def test_every_block_is_run_and_every_topic_is_in_every_language() -> None:
    assert len(PRINTING) + len(FILES) + len(TYPESCRIPT) + len(EXPECTED) == len(BLOCKS)
    for topic in {block.topic for block in PRINTING + FILES}:
        languages = [block.language for block in PRINTING + FILES if block.topic == topic]
        assert sorted(set(languages)) == sorted(RUN), topic
        assert len(languages) % len(RUN) == 0, topic


@pytest.mark.parametrize("block", PRINTING, ids=lambda block: f"{block.topic}, {block.language}")
def test_all_three_print_the_same(block: Block, project: Path, environment: dict[str, str]) -> None:
    program = [*RUN[block.language], written(block, project)]
    assert run(program, project, environment) == EXPECTED[block.topic]


@pytest.mark.parametrize("language", RUN)
def test_the_test_of_a_function_passes(language: str, project: Path, environment: dict[str, str]) -> None:
    del environment["KEYSTART_DIR"]
    environment.pop("NODE_TEST_CONTEXT", None)
    _, test = (written(block, project) for block in FILES if block.language == language)
    said = run([*TEST[language], test], project, environment)
    assert {"python": "1 passed", "js": "# pass 1\n", "ruby": "1 runs, 3 assertions, 0 failures"}[
        language
    ] in said


@pytest.mark.parametrize("language", RUN)
def test_the_test_of_a_function_fails_when_the_function_keeps_its_key(
    language: str, project: Path, environment: dict[str, str]
) -> None:
    """The page warns of this: a value that was read at import."""
    function, test = (block for block in FILES if block.language == language)
    code = function.code.replace("currency", "stripe/key").replace("{len(key)}", "{len(CURRENCY)}")
    code = code.replace("${key.length}", "${currency.length}").replace("#{key.length}", "#{CURRENCY.length}")
    del environment["KEYSTART_DIR"]
    (project / str(function.file)).write_text(code)
    program = [*TEST[language], written(test, project)]
    assert subprocess.run(program, cwd=project, env=environment, capture_output=True).returncode == 1


def test_typescript_compiles_strictly_and_runs(project: Path, environment: dict[str, str]) -> None:
    (block,) = TYPESCRIPT
    run([*TSC, written(block, project)], project, environment)
    assert run(["node", "example.js"], project, environment) == EXPECTED[block.topic]


def test_python_is_typed_strictly(project: Path) -> None:
    for number, block in enumerate(block for block in BLOCKS if block.language == "python"):
        written(block, project, f"example_{number}")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache")]
    ran = subprocess.run([*mypy, "."], cwd=project, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_server_of_the_example_lets_nobody_in_without_a_certificate(partner: dict[str, Any]) -> None:
    """The greeting proves a handshake in both directions."""
    address = partner["partner/address"]
    trusting = ssl.create_default_context(cadata=partner["partner/mtls/ca"])
    connection = socket.create_connection((address["host"], address["port"]))
    refused = pytest.raises(ssl.SSLError, match="certificate required")
    with connection, trusting.wrap_socket(connection, server_hostname=address["host"]) as secured, refused:
        secured.recv(1)
