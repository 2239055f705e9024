"""Says whether a text is a secret's name and how outside text is shown; it touches no store."""

from __future__ import annotations

import re

# contract 2.1. The core checks every name again when it publishes; here it is for telling all problems early.
_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(f"{_SEGMENT}(?:/{_SEGMENT}){{0,7}}")
LONGEST = 255
DEEPEST = 8


def is_name(text: str) -> bool:
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def invalid_name(text: str) -> str:
    """Gives the message of contract 8.4 for a text that is not a name."""
    return (
        f"{quote(text)} is not a valid secret name. A name is 1 to 8 segments separated by "
        '"/", at most 255 bytes in all; a segment starts with a letter, a digit or "_" and goes on with '
        'letters, digits, "_", "." or "-".'
    )


def quote(text: str) -> str:
    """Shows text from outside between double quotes, printable and cut to 64 bytes (contract 8.3)."""
    # Pairs of surrogates cannot occur in a Python str, so each one is a lone one.
    data = re.sub("[\ud800-\udfff]", "\ufffd", text).encode()
    shown = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in data[:64]
    )
    return f'"{shown}{"..." if len(data) > 64 else ""}"'
