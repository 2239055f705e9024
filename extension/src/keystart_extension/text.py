"""Which text from outside may be shown, and what kind of text it is. The core has the rules."""

from __future__ import annotations

from . import core
from .core import ffi, lib

# The kinds of text for keystart_text_check.
_NAME, _REGION, _PROFILE = 2, 3, 4


def shown_path(path: str) -> str:
    """Returns the path of a configuration if it is certainly no secret, else its description."""
    import os  # a start checks names alone, and does not load it

    data = os.fsencode(path)
    return core.call_for_text(lib.keystart_path_show, data, len(data))


def characters(text: str) -> str:
    """Returns the length of a text in words."""
    return "1 character" if len(text) == 1 else f"{len(text)} characters"


def is_name(text: str) -> bool:
    """Returns whether a text is the name of a secret."""
    return _check(text, _NAME)


def is_region(text: str) -> bool:
    """Returns whether a text has the form of a region."""
    return _check(text, _REGION)


def profile_words(name: str) -> str:
    """Returns what messages call an AWS profile."""
    return f"the AWS profile {name}" if _check(name, _PROFILE) else "the AWS profile"


def _check(text: str, kind: int) -> bool:
    is_so = ffi.new("uint32_t *")
    core.call(lib.keystart_text_check, *core.text(text), kind, is_so)
    return bool(is_so[0])
