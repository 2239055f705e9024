"""Holds a YAML or JSON document as nodes that know their position; it gives no meaning to them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ..names import characters
from ..plan import Origin
from .errors import ConfigurationError, Problem, Problems

# As contract 6.4.4 for JSON. It also bounds the work of PyYAML, whose scanner looks at every open bracket.
DEEPEST = 64
TOO_DEEP = f"More than {DEEPEST} lists and mappings lie inside each other."


class Scalar(NamedTuple):
    """A text as it was written. `plain` when without quotes: then it may mean something else than text."""

    text: str
    plain: bool
    origin: Origin


class Sequence(NamedTuple):
    items: tuple[Node, ...]
    origin: Origin


class Mapping(NamedTuple):
    members: tuple[tuple[Scalar, Node], ...]
    origin: Origin

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.members if name.text == key), None)


Node: TypeAlias = Scalar | Sequence | Mapping


class _Open(NamedTuple):
    """A list or mapping whose end has not come yet."""

    is_mapping: bool
    origin: Origin
    nodes: list[Node]


class Builder:
    """Puts a document together from its parts in order, without recursion."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._problems = problems
        self._open: list[_Open] = []
        # A file of nothing but comments is the same as one that says null.
        self.root: Node = Scalar("", plain=True, origin=Origin(file, 1, 1))

    def begin(self, *, is_mapping: bool, origin: Origin) -> None:
        if len(self._open) == DEEPEST:
            raise ConfigurationError((Problem(TOO_DEEP, origin),))
        self._open.append(_Open(is_mapping, origin, []))

    def end(self) -> None:
        done = self._open.pop()
        if done.is_mapping:
            self.add(Mapping(self._members(done.nodes), done.origin))
        else:
            self.add(Sequence(tuple(done.nodes), done.origin))

    def add(self, node: Node) -> None:
        if self._open:
            self._open[-1].nodes.append(node)
        else:
            self.root = node

    def _members(self, nodes: list[Node]) -> tuple[tuple[Scalar, Node], ...]:
        members: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._problems.add("A key must be text, not a list or a mapping.", key.origin)
            elif key.plain and key.text == "<<":
                self._problems.add("The merge key << is not followed. Write the members out.", key.origin)
            elif key.text in members:
                first = members[key.text][0].origin
                self._problems.add(
                    f"This key of {characters(key.text)} is here for the second time; the first is at {place(first)}. "
                    "Remove one of them.",
                    key.origin,
                )
            else:
                members[key.text] = (key, value)
        return tuple(members.values())


def place(origin: Origin) -> str:
    """Names another position of the same file inside a message."""
    return f"line {origin.line}, column {origin.column}"
