"""Checks that the page for people on call explains whatever the log, the readers and Lambda show."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROVIDERS = ROOT / "core/providers/src"
EXTENSION = ROOT / "extension/src/keystart_extension"
CORE = [
    file for file in (ROOT / "core").rglob("*.rs") if not {"target", "tests", "tests.rs"} & set(file.parts)
]
PAGE = (ROOT / "docs/operations.md").read_text()
LEVELS = ("info", "warn", "error")
LONG = 14
SHOWN = 24  # the beginning of a phrase that people search for
# Lines whose text comes from elsewhere, by the file and the expression, and why the page has them all the same.
FROM_ELSEWHERE = {
    (
        "process.py",
        "bug.message if isinstance(bug, CoreError) else place_of(bug)",
    ): "of errors.toml, or place_of",
    ("process.py", "error.message"): "a message of errors.toml, or of StartError",
    ("process.py", "str(failure)"): "has a code",
    ("publish.py", "line"): "a warning of the core",
    ("publish.py", "str(error)"): "a message of links.py",
    ("publish.py", "str(refused)"): "a message of errors.toml",
    ("refresh.py", "error.message"): "a message of errors.toml",
    ("refresh.py", "line"): "a warning of the core",
}


def table(heading: str) -> str:
    """Returns the first column of the tables below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))


SEEN = table("What the log or the function shows")


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
    rows = re.findall(r"^(`[^|]+)$", table("The code of a secret"), re.MULTILINE)
    explained = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert codes() - explained == set()


def phrase(pieces: list[str]) -> str:
    """Returns the beginning of the first long piece of a template that no value fills in."""
    long = [piece for piece in pieces if len(piece.strip()) >= LONG]
    piece = long[0] if long else max(pieces, key=len)
    return piece.strip(" .:;,\"'()").split("\n")[0][:SHOWN].strip()


def python_templates() -> Iterator[tuple[str, str]]:
    """Returns the phrases that the extension logs, by their places."""
    for file in EXTENSION.rglob("*.py"):
        tree = ast.parse(file.read_text())
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
                continue
            if call.func.attr not in LEVELS or not ast.unparse(call.func.value).endswith("log"):
                continue
            text = call.args[0]
            if isinstance(text, ast.Name):
                text = constants.get(text.id, text)
            place = f"{file.name}:{call.lineno}"
            if file.name == "pull.py":
                continue  # a person runs it, not Lambda
            if isinstance(text, ast.Constant):
                yield place, phrase([str(text.value)])
            elif isinstance(text, ast.JoinedStr):
                yield (
                    place,
                    phrase([str(part.value) for part in text.values if isinstance(part, ast.Constant)]),
                )
            else:
                assert (file.name, ast.unparse(text)) in FROM_ELSEWHERE, f"{place} logs {ast.unparse(text)}"


def rust_templates() -> Iterator[tuple[str, str]]:
    """Returns the phrases that the core logs: literals in calls of the log, and in the warnings of a fetch."""
    literal = r'"((?:[^"\\]|\\.)*)"'
    written = re.compile(
        rf"(?:log::write(?:_with)?\(\s*Level::\w+,|write\(\s*Level::\w+,|let text =|let note =|warnings\.push\()"
        rf"\s*&?(?:format!\(\s*)?{literal}",
        re.DOTALL,
    )
    for file in CORE:
        source = file.read_text().partition("#[cfg(test)]")[0]
        if "log::" not in source and "warnings" not in source and file.name != "log.rs":
            continue
        for text in written.findall(source):
            plain = re.sub(r"\\\n\s*", "", text).replace('\\"', '"')
            if found := phrase(re.split(r"\{[^}]*\}|\\n", plain)):  # else it is a label, a code and a message
                yield file.name, found


def test_every_phrase_of_the_log_is_explained() -> None:
    templates = [*python_templates(), *rust_templates()]
    assert len(templates) > 30
    assert [(place, text) for place, text in templates if text not in SEEN] == []


def errors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((ROOT / "contract/errors.toml").read_text())["error"]
    return found


def test_every_error_of_a_reader_is_explained() -> None:
    names = {
        "".join(word.title() for word in one["code"].split("_"))
        for one in errors()
        if one["raised_by"] == "reader"
    }
    assert len(names) > 15
    assert {name for name in names if f"`{name}`" not in SEEN} == set()


def test_every_message_of_the_writer_is_explained() -> None:
    messages = [
        phrase(re.split(r"\{[^}]*\}", message["text"]))
        for one in errors()
        for message in one["message"]
        if message.get("raised_by", one["raised_by"]) == "writer"
    ]
    assert len(messages) > 8
    assert [text for text in messages if text not in SEEN] == []


def test_every_type_of_error_for_lambda_is_explained() -> None:
    sources = [*CORE, *EXTENSION.rglob("*.py")]
    types = {name for file in sources for name in re.findall(r"Extension\.[A-Z]\w+", file.read_text())}
    types.remove("Extension.Interrupted")  # of `keystart pull`, which a person runs
    assert {name for name in types if name not in SEEN} == set()


def test_the_page_says_what_follows_a_fix() -> None:
    section = PAGE.partition("## After the fix\n")[2]
    assert "Lambda repeats a failed Init" in section
    assert Path(ROOT / "docs/monitoring.md").exists()
