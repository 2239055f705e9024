"""Reads YAML text into nodes with positions and refuses what would surprise; it resolves no types."""

from __future__ import annotations

from typing import Protocol

import yaml

from ..names import quote
from ..plan import Origin
from .document import Builder, Node, Scalar
from .errors import Problems

# How PyYAML's words for the mistakes people make most begin, and what to do about them.
_CURES = {
    "found character '\\t' that cannot start any token": "A tab cannot indent YAML. Use spaces.",
    "mapping values are not allowed here": (
        'A ":" is not allowed here. Check the indentation, or quote the text if the ":" belongs to it.'
    ),
    "could not find expected ':'": 'The ":" after the key is missing.',
    "expected <block end>": (
        "This does not fit what stands before it. Check the indentation, or quote the whole value."
    ),
    "expected '<document start>'": "The document ends before this. Check the indentation.",
    "found unexpected end of stream": "The text ends inside quotes. Close them.",
    "expected ',' or ']'": 'A "," is missing, or the "[" before it is not closed.',
    "expected ',' or '}'": 'A "," is missing, or the "{" before it is not closed.',
    "found character": "Text that begins with this character must be quoted.",
}


class _Mark(Protocol):
    """A position of PyYAML, counted from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


def parse_yaml(text: str, file: str) -> Node:
    """Gives the only document of the text."""
    problems = Problems()
    builder = Builder(file, problems)
    documents = 0
    here = Origin(file, 1, 1)
    try:
        # Events, not nodes: the composer of PyYAML recurses, and it would follow aliases.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            here = _origin(file, event.start_mark)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents == 2:
                        problems.add("A second document begins here. Keep only one.", here)
                        break
                case yaml.AliasEvent():
                    problems.add(f"The alias *{event.anchor} is not followed. Write the value out.", here)
                    builder.add(Scalar("", plain=False, origin=here))
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    _refuse_properties(event, here, problems)
                    builder.begin(is_mapping=isinstance(event, yaml.MappingStartEvent), origin=here)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    builder.end()
                case yaml.ScalarEvent():
                    _refuse_properties(event, here, problems)
                    builder.add(Scalar(event.value, plain=event.style is None, origin=here))
    except yaml.MarkedYAMLError as error:
        problems.add(_syntax_message(error), _origin(file, error.problem_mark))
    except (ValueError, OverflowError):
        # PyYAML lets errors of chr() and int() through: "\UFFFFFFFF", or %YAML with thousands of digits.
        problems.add("This is not valid YAML. A number after this place is too large.", here)
    problems.raise_if_any()
    return builder.root


def _origin(file: str, mark: _Mark | None) -> Origin:
    return Origin(file) if mark is None else Origin(file, mark.line + 1, mark.column + 1)


def _refuse_properties(
    event: yaml.ScalarEvent | yaml.CollectionStartEvent, here: Origin, problems: Problems
) -> None:
    if event.anchor is not None:
        problems.add(f"The anchor &{event.anchor} is not read. Write values out where they are used.", here)
    if event.tag is not None:
        problems.add(f"The tag {quote(event.tag)} is not read. Remove it.", here)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    cure = next((words for start, words in _CURES.items() if problem.startswith(start)), None)
    if cure is None:
        detail = ", ".join(part for part in (error.context, problem) if part)
        # PyYAML shows characters of the text.
        detail = detail.encode("ascii", "backslashreplace").decode()
        cure = detail[:1].upper() + detail[1:] + "."
    return f"This is not valid YAML. {cure}"
