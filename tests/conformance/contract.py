"""Reads from contract/contract.md what can be counted: its clauses, its error codes and the pieces of its messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import case

CONTRACT = case.CONTRACT / "contract.md"

_HEADING = re.compile(r"^#+ (\d+)\.")
_CLAUSE = re.compile(r"^- \*\*(\d+(?:\.\d+)+)\*\*")
_STEP = re.compile(r"(?:^ *|; )(\d+)\. ")
_PLACEHOLDER = re.compile(r'\{\w+\}|"(?:[a-c]|db)"')


@dataclass(frozen=True)
class Code:
    """A row of the table in contract 8.2."""

    name: str
    number: int
    reserved: bool


def clauses(contract: Path = CONTRACT) -> list[str]:
    """The numbers of the contract's clauses, in its order; a list inside a section or a clause has numbers too."""
    found = []
    inside = ""
    for line in contract.read_text().splitlines():
        if heading := _HEADING.match(line):
            inside = heading[1]
        elif clause := _CLAUSE.match(line):
            inside = clause[1]
            found.append(inside)
        else:
            found += [f"{inside}.{number}" for number in _STEP.findall(line)]
    return found


def rules_without_number(contract: Path = CONTRACT) -> list[str]:
    """The lines that say MUST outside of every clause, where no case can name them."""
    outside = []
    numbered = False
    for line in contract.read_text().splitlines():
        if line.startswith("#") or not line:
            numbered = False
        numbered = numbered or bool(_CLAUSE.match(line) or _STEP.match(line))
        if "MUST" in line and not numbered and "RFC 2119" not in line:
            outside.append(line)
    return outside


def codes(contract: Path = CONTRACT) -> list[Code]:
    """All error codes (contract 8.2)."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*) \|$", contract.read_text(), re.MULTILINE)
    return [Code(name, int(number), when.startswith("reserved")) for name, number, when in rows]


def reader_codes(contract: Path = CONTRACT) -> list[str]:
    """The names of the codes that readers raise in what cases ask: 101 to 306."""
    return [code.name for code in codes(contract) if 101 <= code.number <= 306]


def messages(contract: Path = CONTRACT) -> list[tuple[str, str]]:
    """The pieces that messages are made of, each with its code (contract 8.4)."""
    _, _, table = contract.read_text().partition("- **8.4**")
    table, _, _ = table.partition("- **8.5**")
    pieces = []
    code = ""
    for first, second in re.findall(r"^\| ?(.*?) ?\| (.*) \|$", table, re.MULTILINE)[1:]:
        code = first.split("`")[1] if first else code
        values, _, members = second.partition("`{member}` is ")
        # Outside of a list of values, a single word is the name of something in prose.
        is_list = second.startswith("`{what}`")
        said = re.findall("`([^`]+)`", re.sub(r" \(.*?\)", "", values) if is_list else values)
        said = [
            piece for piece in said if _PLACEHOLDER.sub("", piece).strip(" .") and (is_list or " " in piece)
        ]
        said += [f": {member} is missing or wrong." for member in re.findall("`([^`]+)`", members)]
        pieces += [(code, piece) for piece in said]
    return pieces


def is_piece_of(piece: str, message: str) -> bool:
    """Whether a message has this piece of contract 8.4, whatever stands for its placeholders."""
    fixed = [re.escape(text) for text in _PLACEHOLDER.split(piece)]
    return re.search("(?s:.+?)".join(fixed), message) is not None
