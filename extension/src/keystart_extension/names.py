"""Says whether a text is a secret's name, and what of text from outside may be repeated; it touches no store.

A secret may have been pasted into any place of a configuration. So a message repeats a text only if `is_certain` says
that it is none, and describes every other text by its place and its length.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    Place = Literal["word", "name", "path"]

# contract 2.1. The core checks every name again when it publishes; here it is for telling all problems early.
_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(f"{_SEGMENT}(?:/{_SEGMENT}){{0,7}}")
LONGEST = 255
DEEPEST = 8
NAME_RULE = (
    'A name is 1 to 8 segments separated by "/", at most 255 bytes in all; a segment starts with a letter, a digit or '
    '"_" and goes on with letters, digits, "_", "." or "-".'
)

# No ":", which each URL has, no space, which each PEM has, and no "=" where Base64 has it, behind everything else.
_PATH_SEGMENT = "(?:[A-Za-z0-9_.@+!,~-]|=(?=[A-Za-z0-9]))+"
_PATH = re.compile(f"/?{_PATH_SEGMENT}(?:/{_PATH_SEGMENT})*")
# How the name of a configuration ends.
ENDINGS = (".json", ".yaml", ".yml")

# Characters that a text may have beyond those of the known word that it is taken for.
_FOREIGN_AT_MOST = 2


def is_name(text: str) -> bool:
    """Says whether a text is a secret's name."""
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def is_certain(text: str, place: Place, known: Sequence[str] = ()) -> bool:
    """Says whether a text is certainly no secret in the place where it stands, so that a message may repeat it.

    It is one of the `known` words of that place or close to one, or it is what belongs there: a valid name as a name, a
    path of plain characters as a path. Nothing but the known belongs in the place of a word.
    """
    if text in known or (known and _is_close(text, known)):
        return True
    match place:
        case "name":
            return is_name(text)
        case "path":
            return _PATH.fullmatch(text) is not None
        case _:
            return False


def nearest(text: str, known: Sequence[str]) -> str | None:
    """Returns the known word that a text was probably meant to be. Capital letters do not count."""
    import difflib  # here, because a good configuration needs none of it

    words = {word.lower(): word for word in known}
    near = difflib.get_close_matches(text.lower(), words, n=1)
    return words[near[0]] if near else None


def characters(text: str) -> str:
    """Returns the length of a text in words."""
    return "1 character" if len(text) == 1 else f"{len(text)} characters"


def shown_path(path: str) -> str:
    """Returns the path of a configuration as far as it is certainly no secret."""
    folder, slash, file = path.rpartition("/")
    if not (file.endswith(ENDINGS) and is_certain(file, "path")):
        return f"(a path of {characters(path)})"
    return path if slash == "" or folder == "" or is_certain(folder, "path") else f".../{file}"


def quote(text: str) -> str:
    """Returns text between double quotes, printable and cut to 64 bytes (contract 8.3).

    Whoever calls it knows that the text is certainly no secret.
    """
    # Pairs of surrogates cannot occur in a Python str, so each one is a lone one.
    data = re.sub("[\ud800-\udfff]", "\ufffd", text).encode()
    shown = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in data[:64]
    )
    return f'"{shown}{"..." if len(data) > 64 else ""}"'


def _is_close(text: str, known: Sequence[str]) -> bool:
    word = nearest(text, known)
    if word is None:
        return False
    import difflib

    matcher = difflib.SequenceMatcher(None, text.lower(), word.lower(), autojunk=False)
    shared = sum(block.size for block in matcher.get_matching_blocks())
    return len(text) - shared <= _FOREIGN_AT_MOST
