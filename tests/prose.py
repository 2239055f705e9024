"""Finds words in prose that the list in words.toml replaces: `python -m tests.prose [FILE…]` counts them."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT
from tests.test_sources import files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What is not prose in Markdown: what a generator wrote, blocks and pieces of code, comments, targets of links.
_MARKDOWN = re.compile(
    r"<!-- generated from .*?<!-- end of generated -->|<!-- measured -->.*?<!-- /?(?:end|measured) -->"
    r"|^( *)```.*?^\1```$|<!--.*?-->|`[^`\n]+`|\]\([^)\n]*\)",
    re.MULTILINE | re.DOTALL,
)
# Comments on their own lines, and behind code.
_C_LIKE = re.compile(r"(?:^[ \t]*(?://[/!]?|/?\*+/?)|\S[ \t]+//[ \t])(.*)$", re.MULTILINE)
_HASHES = re.compile(r"(?:^[ \t]*#(?!!)|\S[ \t]+#[ \t])(.*)$", re.MULTILINE)
_COMMENTS = {
    **dict.fromkeys((".rs", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".h", ".c"), _C_LIKE),
    **dict.fromkeys((".rb", ".rbs", ".toml", ".sh", ".yml", ".yaml", ".in"), _HASHES),
}
_CODE = re.compile(r"`[^`\n]+`|\"[^\"\n]*\"")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_HELP = ("help", "description", "epilog")
# Names of tests: functions in Python, Ruby and Rust, titles in Node.
_TEST_NAMES = {
    ".py": re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE),
    ".rb": re.compile(r"^ *def (test_\w+)", re.MULTILINE),
    ".rs": re.compile(r"#\[test\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)"),
    **dict.fromkeys((".js", ".mjs", ".cjs"), re.compile(r"\btest\(\s*['\"`]([^'\"`]*)['\"`]")),
}
# Where texts are lines of the log, or messages for people. The messages of readers are those of the contract.
_MESSAGES = (
    "extension/",
    "core/capi/",
    "core/config/",
    "core/lambda/",
    "core/providers/",
    "generate/",
    "release/",
)
_RUST_TEXT = re.compile(r"^[ \t]*//[^\n]*$|'\\?\"'|\"((?:[^\"\\]|\\.)*)\"", re.MULTILINE | re.DOTALL)
_RUST_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{.*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Word:
    """A pattern that prose does not hold, and the words to write instead."""

    pattern: re.Pattern[str]
    instead: str


# A space of a pattern, where a line may end in prose. Behind a word, where Python takes patterns of one width alone, it
# is one character.
_SPACE = re.compile(r"(?P<behind>\(\?<[!=][^)]*\))| ")


def _over_lines(pattern: str) -> str:
    return _SPACE.sub(lambda space: (space["behind"] or r" +").replace(" ", r"\s"), pattern)


WORDS = [
    Word(re.compile(_over_lines(word["pattern"]), re.IGNORECASE), word["instead"])
    for word in tomllib.loads((ROOT / "tests/words.toml").read_text())["word"]
]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yields each piece of prose of a file with the number of its first line."""
    try:
        text = path.read_text()
    except UnicodeDecodeError:  # not text
        return
    if path.suffix == ".md":
        yield 1, _MARKDOWN.sub(_blank, text)
    elif path.suffix == ".py":
        yield from _python(text)
    elif comment := _COMMENTS.get(path.suffix) or (_HASHES if text.startswith("#!") else None):
        matches = comment.finditer(text)
        yield from _blocks([(text.count("\n", 0, match.start()) + 1, match[1]) for match in matches])
    if names := _TEST_NAMES.get(path.suffix):
        for name in names.finditer(text):
            yield text.count("\n", 0, name.start(1)) + 1, name[1].replace("_", " ")
    yield from messages(path, text)


def messages(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yields the texts of the product's code that are sentences, with their lines: logs, errors, questions."""
    name = path.relative_to(ROOT).as_posix()
    if not name.startswith(_MESSAGES) or "/tests" in name:
        return
    found: Iterable[tuple[int, str]] = ()
    if path.suffix == ".py":
        tree = ast.parse(text)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
        }
        found = (
            (node.lineno, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        )
    elif path.suffix == ".rs":
        code = _RUST_TESTS.sub("", text)
        matches = (match for match in _RUST_TEXT.finditer(code) if match[1])
        found = ((code.count("\n", 0, match.start()) + 1, match[1]) for match in matches)
    # A text that begins small is a part of a sentence, not its beginning.
    yield from (
        (line, f"…{said}" if said[0].islower() else said) for line, said in found if said.count(" ") > 1
    )


def found(path: Path) -> list[str]:
    """Returns a line for each word of the list in the prose of a file."""
    wrong = []
    for line, text in prose(path):
        for word in WORDS:
            for match in word.pattern.finditer(text):
                at = line + text.count("\n", 0, match.start())
                said = " ".join(match[0].split())
                wrong.append(f'{path.relative_to(ROOT)}:{at}: "{said}". Write: {word.instead}')
    return wrong


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n") or "·"


def _python(text: str) -> Iterator[tuple[int, str]]:
    """Yields docstrings, comments, and what the command line prints as help."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and ast.get_docstring(node)
            ):
                yield first.lineno, _CODE.sub(_blank, str(first.value.value))
        elif isinstance(node, ast.keyword) and node.arg in _HELP and isinstance(node.value, ast.Constant):
            yield node.value.lineno, str(node.value.value)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from _blocks(
        [(token.start[0], token.string.lstrip("#")) for token in tokens if token.type == tokenize.COMMENT]
    )


def _blocks(comments: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yields comments on consecutive lines as one piece, for a phrase may go over the end of a line."""
    begin, lines = 0, list[str]()
    for number, line in [*comments, (0, "")]:
        if lines and number != begin + len(lines):
            yield begin, _CODE.sub(_blank, "\n".join(lines)).lstrip(" ")
            lines = []
        if not lines:
            begin = number
        lines.append(line)


def main() -> int:
    """Prints every word that is found, and their count by folder."""
    named = sys.argv[1:] or files()
    wrong = [line for file in named if (ROOT / file).is_file() for line in found(ROOT / file)]
    print("\n".join(wrong))
    folders = Counter("/".join(line.split(":")[0].split("/")[:2]) for line in wrong)
    print(
        *(f"{count:5} {folder}" for folder, count in folders.most_common()),
        f"{len(wrong):5} in all",
        sep="\n",
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
