"""Reads YAML and JSON as PyYAML's nodes, which know their lines and keep the tags of other tools, such as !Sub."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .findings import Place

__all__ = ["Document", "MappingNode", "Node", "ScalarNode", "SequenceNode"]


class DocumentError(Exception):
    """A file is not YAML. The message says where, and repeats nothing of it."""


class Document:
    """One document of a file."""

    def __init__(self, root: Node, file: str) -> None:
        self.root = root
        self.file = file

    @classmethod
    def read(cls, text: str, file: str) -> list[Document]:
        """Returns the documents of a file."""
        try:
            # JSON may be indented with tabs, and YAML may not.
            nodes = list(yaml.compose_all(text.replace("\t", " "), Loader=yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise DocumentError(f"{file}{line}: This is not YAML, nor JSON.") from None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise DocumentError(f"{file}: This is not YAML, nor JSON.") from None
        return [cls(node, file) for node in nodes if node is not None]

    def place(self, node: Node) -> Place:
        """Returns where a node is."""
        return Place(self.file, node.start_mark.line + 1)

    def get(self, *path: str) -> Node | None:
        """Returns the node below these keys."""
        return get(self.root, *path)

    def walk(self) -> Iterator[tuple[tuple[str, ...], Node]]:
        """Yields every node once, with the keys that lead to it; the items of a list have their list's."""
        seen = set[int]()  # aliases can make a small file endless
        waiting: list[tuple[tuple[str, ...], Node]] = [((), self.root)]
        while waiting:
            path, node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield path, node
            if isinstance(node, MappingNode):
                waiting += [((*path, key), value) for key, value in reversed(members(node))]
            elif isinstance(node, SequenceNode):
                waiting += [(path, item) for item in reversed(node.value)]


def members(node: Node | None) -> list[tuple[str, Node]]:
    """Returns the members of a mapping whose keys are text; none of anything else."""
    if not isinstance(node, MappingNode):
        return []
    return [(key.value, value) for key, value in node.value if isinstance(key, ScalarNode)]


def items(node: Node | None) -> list[Node]:
    """Returns the items of a list; none of anything else."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def get(node: Node | None, *path: str) -> Node | None:
    """Returns the node below these keys."""
    for key in path:
        node = dict(members(node)).get(key)
    return node


def text(node: Node | None) -> str | None:
    """Returns the text of a scalar without a tag of a tool."""
    return node.value if isinstance(node, ScalarNode) and not node.tag.startswith("!") else None
