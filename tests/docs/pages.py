"""Locates the readers, and finds the blocks of code on a page of documentation. It runs none."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

NODE, RUBY = ROOT / "bindings/node", ROOT / "bindings/ruby"
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//) (\w[\w./]*\.\w+)\n")


@dataclass(frozen=True)
class Block:
    topic: str
    language: str
    code: str

    @property
    def file(self) -> str | None:
        """The file that its first line names."""
        named = _FILE.match(self.code)
        return named[1] if named else None


def blocks(page: Path) -> list[Block]:
    """Returns the blocks of a page, each with the heading it is under."""
    _, *topics = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    return [
        Block(topic.partition("\n")[0], *found) for topic in topics for found in re.findall(_FENCED, topic)
    ]


def fenced(page: Path, language: str) -> list[str]:
    """Returns the code of each block in a language, also of those inside a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in found]
