"""Reads JSON text into nodes with positions; it resolves no types."""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from ..plan import Origin
from .document import TOO_DEEP, Builder, Node, Scalar
from .errors import ConfigurationError, Problem, Problems

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^\s\[\]{}",:]+')
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
# How the words of Python's decoder begin, and ours. Its own may show parts of the text.
_MISTAKES = {
    "Expecting property name": "a key in double quotes must stand here",
    "Expecting ':'": 'a ":" is missing here',
    "Expecting ','": 'a "," is missing here, or what stands before it is not closed',
    "Expecting value": "a value must stand here",
    "Illegal trailing comma": 'a "," stands before the end',
    "Extra data": "the document ends before this",
    "Unterminated string": "the quotes that open here are not closed",
    "Invalid control character": "a line break or another control character stands in quotes",
    "Invalid \\": "JSON does not have the escape that begins here",
}


def parse_json(text: str, file: str) -> Node:
    """Gives the document of the text, which must be JSON and nothing more."""
    _check_syntax(text, file)
    problems = Problems()
    builder = Builder(file, problems)
    positions = Positions(text, file)
    for token in _TOKEN.finditer(text):
        here = positions.at(token.start())
        match token[0]:
            case "{" | "[":
                builder.begin(is_mapping=token[0] == "{", origin=here)
            case "}" | "]":
                builder.end()
            case word if word in _CONSTANTS:
                problems.add(f"This is not valid JSON: there is no number {word}.", here)
                builder.add(Scalar(word, plain=True, origin=here))
            case word if word.startswith('"'):
                builder.add(Scalar(json.loads(word), plain=False, origin=here))
            case word:
                builder.add(Scalar(word, plain=True, origin=here))
    problems.raise_if_any()
    return builder.root


class Positions:
    """Turns offsets in a text into lines and columns."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._starts = [0, *(newline.end() for newline in re.finditer("\n", text))]

    def at(self, offset: int) -> Origin:
        line = bisect_right(self._starts, offset)
        return Origin(self._file, line, offset - self._starts[line - 1] + 1)


def _check_syntax(text: str, file: str) -> None:
    try:
        # Numbers stay text: int() refuses very long ones, and no number is asked for but version 1.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        words = next((words for start, words in _MISTAKES.items() if error.msg.startswith(start)), None)
        message = "This is not valid JSON." if words is None else f"This is not valid JSON: {words}."
        raise ConfigurationError((Problem(message, Origin(file, error.lineno, error.colno)),)) from None
    except RecursionError:
        raise ConfigurationError((Problem(TOO_DEEP, Origin(file)),)) from None
