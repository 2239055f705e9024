"""Reads YAML text into nodes with positions and refuses what would surprise; it resolves no types."""

from __future__ import annotations

from typing import Protocol

import yaml

from ..names import is_certain
from ..plan import Origin
from .document import Builder, Node, Scalar
from .errors import Problems

# How PyYAML's words for a mistake begin, and what to do about it. Its own words show parts of the text.
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
    "found unknown escape": (
        'Double quotes do not have the escape that begins here. Write \\\\ for "\\", or use single quotes.'
    ),
    "expected escape sequence": (
        'The escape before this is not finished. Write \\\\ for "\\", or use single quotes.'
    ),
    "found unexpected document separator": "The document ends inside quotes. Close them.",
    "sequence entries are not allowed": 'A list with "-" cannot begin here. Begin it on a line of its own.',
    "mapping keys are not allowed": 'A "?" is not allowed here. Quote the text if it belongs to it.',
    "expected the node content": "A value is missing here. Quote the text if this belongs to it.",
    "expected chomping or indentation": 'Behind "|" or ">" the line must end. Quote the text if they belong to it.',
    "expected indentation indicator": 'Behind "|" or ">" the line must end. Quote the text if they belong to it.',
    "expected a comment or a line break": "The line must end here.",
    "found duplicate YAML directive": "A directive (%) is here for the second time. Remove it.",
    "found incompatible YAML document": "The directive %YAML asks for another version of YAML. Remove it.",
    "duplicate tag handle": "A directive (%) is here for the second time. Remove it.",
    "found undefined tag handle": 'A tag ("!") is not read. Quote the text if the "!" belongs to it.',
    "expected '!'": 'A tag ("!") is not read. Quote the text if the "!" belongs to it.',
}
_OTHER = 'Quote the text if it begins with "%", "!", "&" or "*".'
# Tags that people meet elsewhere: YAML's own, and those of CloudFormation.
_YAMLS_OWN = "tag:yaml.org,2002:"
_TAGS = tuple(
    f"{mark}{name}"
    for mark, names in {
        "!!": ("str", "int", "float", "bool", "null", "seq", "map", "binary", "timestamp", "set", "omap"),
        "!": ("Ref", "Sub", "GetAtt", "Join", "ImportValue", "If", "Select", "Split", "FindInMap", "Base64"),
    }.items()
    for name in names
)


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
                    problems.add("An alias (*) is not followed. Write the value out.", here)
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
    except yaml.YAMLError:
        # Of characters that are not printable, which files.py refuses before.
        problems.add("This is not valid YAML.", here)
    problems.raise_if_any()
    return builder.root


def _origin(file: str, mark: _Mark | None) -> Origin:
    return Origin(file) if mark is None else Origin(file, mark.line + 1, mark.column + 1)


def _refuse_properties(
    event: yaml.ScalarEvent | yaml.CollectionStartEvent, here: Origin, problems: Problems
) -> None:
    if event.anchor is not None:
        problems.add("An anchor (&) is not read. Write values out where they are used.", here)
    if event.tag is not None:
        tag = event.tag.replace(_YAMLS_OWN, "!!")
        shown = f"The tag {tag}" if is_certain(tag, "word", _TAGS) else "A tag (!)"
        problems.add(f"{shown} is not read. Remove it.", here)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    cure = next((words for start, words in _CURES.items() if problem.startswith(start)), _OTHER)
    return f"This is not valid YAML. {cure}"
