"""Reads nodes as the types a configuration has, and tells what was expected and what was found instead."""

from __future__ import annotations

import re
from collections.abc import Sequence as Known

from ..names import characters, is_certain, nearest, quote
from .document import Mapping, Node, Scalar, Sequence
from .errors import Problems

_NOTHING = ("", "~", "null")
_TRUTH = ("true", "false", "yes", "no", "on", "off", "y", "n")
# Words that say why a text is not what was expected, and can be no secret.
_WORDS = (*_TRUTH, *_NOTHING, *"0123456789")
_DIGITS = "[0-9][0-9_]*"
_NUMBER = re.compile(
    rf"[-+]?(?:{_DIGITS}(?::[0-5]?[0-9])+"  # 12:30:45 is sexagesimal in YAML 1.1
    rf"|0o[0-7_]+|0x[0-9a-f_]+|0b[01_]+"
    rf"|(?:{_DIGITS}(?:\.[0-9_]*)?|\.[0-9_]+)(?:e[-+]?[0-9]+)?"
    r"|\.inf)|\.nan",
    re.IGNORECASE,
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t][0-9: \t.Zz+-]*)?")
# C0, DEL, C1, and lone surrogates, which JSON and YAML can spell in an escape.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DURATION = re.compile("([0-9]{1,9})(ms|s|m)")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000}


def found(node: Node, *known: str) -> str:
    """Says what a node is, for the end of a message. `known` are the words that may stand in its place."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar():
            return _found_scalar(node, known)


def is_nothing(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.plain and node.text.lower() in _NOTHING)


def text(node: Node, what: str, problems: Problems) -> str | None:
    """Reads a text that is not empty; refuses what some reader of YAML would not take as text."""
    if not isinstance(node, Scalar) or is_nothing(node):
        problems.add(f"{what} must be text, found {found(node)}.", node.origin)
    elif _surprise(node) is not None:
        cure = f"Quote it: {quote(node.text)}." if node.text.lower() in _WORDS else "Put it in quotes."
        problems.add(f"{what} must be text, found {found(node)}. {cure}", node.origin)
    else:
        return plain_text(node, what, problems)
    return None


def plain_text(node: Scalar, what: str, problems: Problems) -> str | None:
    """Reads a text as it was written, whatever it looks like; it must not be empty."""
    control = _CONTROL.search(node.text)
    if node.text == "":
        problems.add(f"{what} must not be empty.", node.origin)
    elif control is not None:
        problems.add(f"{what} holds a line break or another control character.", node.origin)
    else:
        return node.text
    return None


def boolean(node: Node, what: str, problems: Problems) -> bool:
    if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
        return node.text == "true"
    problems.add(f"{what} must be true or false, found {found(node)}.", node.origin)
    return False


def mapping(node: Node, what: str, problems: Problems) -> Mapping | None:
    if isinstance(node, Mapping):
        return node
    problems.add(f"{what} must be a mapping, found {found(node)}.", node.origin)
    return None


def sequence(node: Node, what: str, problems: Problems) -> tuple[Node, ...]:
    if isinstance(node, Sequence):
        return node.items
    problems.add(f"{what} must be a list, found {found(node)}.", node.origin)
    return ()


def refuse_unknown(
    node: Mapping, owner: str, known: tuple[str, ...], problems: Problems, elsewhere: tuple[str, ...] = ()
) -> None:
    """Adds the problem of each key that is neither known nor looked at `elsewhere`; `owner` begins the sentence."""
    for key, _ in node.members:
        if key.text in known or key.text in elsewhere:
            continue
        near = nearest(key.text, known)
        cure = f"Its keys are {', '.join(known)}." if near is None else f'Did you mean "{near}"?'
        if is_certain(key.text, "word", known):
            problems.add(f"{owner} has no key {quote(key.text)}. {cure}", key.origin)
        else:
            problems.add(f"{owner} has an unknown key of {characters(key.text)}. {cure}", key.origin)


def duration(node: Node, what: str, problems: Problems) -> int | None:
    """Reads `500ms`, `8s` or `1m` as milliseconds."""
    if isinstance(node, Scalar) and (match := _DURATION.fullmatch(node.text)):
        return int(match[1]) * _MILLISECONDS[match[2]]
    problems.add(f"{what} must be a duration such as 500ms, 8s or 1m, found {found(node)}.", node.origin)
    return None


def _found_scalar(node: Scalar, known: Known[str]) -> str:
    what = _surprise(node)
    word = node.text.lower()
    if what is None:
        if word in _WORDS or is_certain(node.text, "word", known):
            return f"the text {quote(node.text)}"
        return f"a text of {characters(node.text)}"
    if word in _NOTHING:
        return what
    # A word without quotes around it: they would make it text.
    return f"the {what} {node.text}" if word in _WORDS else f"a {what} of {characters(node.text)}"


def _surprise(node: Scalar) -> str | None:
    """Says what else than text a scalar is, or is to some readers of YAML 1.1 or 1.2."""
    if not node.plain:
        return None
    if node.text.lower() in _NOTHING:
        return "nothing"
    if node.text.lower() in _TRUTH:
        return "truth value"
    if _NUMBER.fullmatch(node.text):
        return "number"
    if _DATE.fullmatch(node.text):
        return "date"
    return None
