"""What can be counted in contract/: its clauses, its error codes and the pieces of its messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from generate.contract import FOLDER, READER, Error, load

_HEADING = re.compile(r"^#+ (\d+)\.")
_CLAUSE = re.compile(r"^- \*\*(\d+(?:\.\d+)+)\*\*")
_STEP = re.compile(r"^ *(\d+)\. ")
_PLACEHOLDER = re.compile(r'\{\w+\}|"db"')


def clauses(contract: Path = FOLDER) -> list[str]:
    """Returns the numbers of the clauses in their order. Steps inside a section or a clause have numbers too."""
    found = []
    inside = ""
    for line in (contract / "contract.md").read_text().splitlines():
        if heading := _HEADING.match(line):
            inside = heading[1]
        elif clause := _CLAUSE.match(line):
            inside = clause[1]
            found.append(inside)
        else:
            found += [f"{inside}.{number}" for number in _STEP.findall(line)]
    return found


def rules_without_number(contract: Path = FOLDER) -> list[str]:
    """Returns the lines that say MUST outside of every clause, where no case can name them."""
    outside = []
    numbered = False
    for line in (contract / "contract.md").read_text().splitlines():
        if line.startswith("#") or not line:
            numbered = False
        numbered = numbered or bool(_CLAUSE.match(line) or _STEP.match(line))
        if "MUST" in line and not numbered and "RFC 2119" not in line:
            outside.append(line)
    return outside


def wrapped_lines(contract: Path = FOLDER) -> list[str]:
    """Returns the lines that continue the line before them: each clause, and each paragraph, is one line."""
    text = re.sub(r"^ *```.*?^ *```$", "", (contract / "contract.md").read_text(), flags=re.M | re.S)
    return re.findall(r"(?<=\S\n)(?! *(?:[-|]|\d+\. |<!--)|#).+", text)


def codes(contract: Path = FOLDER) -> list[Error]:
    """Returns all error codes."""
    return list(load(contract).errors)


def reader_codes(contract: Path = FOLDER) -> list[str]:
    """Returns the codes that readers raise in the cases: those below 501."""
    return [error.code for error in codes(contract) if error.number < 501 and not error.is_reserved]


def messages(contract: Path = FOLDER) -> list[tuple[str, str]]:
    """Returns the pieces of the readers' messages, each with its code (contract 8.4)."""
    return [(error.code, piece) for error in codes(contract) for piece in _pieces(error)]


def _pieces(error: Error) -> Iterator[str]:
    of_readers = error.messages_of(READER)
    for message in of_readers:
        yield message.text
        yield from message.what
        yield from (f": {member} is missing or wrong." for member in message.member)
    if of_readers:
        yield from (piece.text for piece in error.pieces)


def is_piece_of(piece: str, message: str) -> bool:
    """Returns whether a message has this piece of contract 8.4, whatever replaces its placeholders."""
    fixed = [re.escape(text) for text in _PLACEHOLDER.split(piece)]
    return re.search("(?s:.*?)".join(fixed), message) is not None
