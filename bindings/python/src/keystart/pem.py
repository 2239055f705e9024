"""Says why the text of a certificate, key or authorities is not the PEM that TLS needs (contract 6.5.8).

It raises nothing: error trackers show the variables of functions that raise, and here they are secrets.
"""

from __future__ import annotations

import re

from . import errors

_BLOCK = re.compile(r"(?:^|\n)-----BEGIN ([A-Z0-9 ]+)-----[ \t\r]*(?=\n)")
_INDENTED = re.compile(r"(?:^|\n)[ \t]+-----BEGIN ")
_BASE64 = "LS0tLS1CRUdJTi"  # of "-----BEGIN "
_CERTIFICATE, _KEY = "CERTIFICATE", "PRIVATE KEY"


def certificate_fault(text: str) -> str | None:
    """Returns why a text is not used as a certificate; None if it is."""
    block = _block(text, _CERTIFICATE)
    if block is None:
        return _why_not(text, _KEY, errors.PEM_IS_KEY) or errors.PEM_WITHOUT_CERTIFICATE
    return None if _has_end(text, block) else errors.PEM_IS_CUT


def key_fault(text: str) -> str | None:
    """Returns why a text is not used as a private key; None if it is."""
    block = _block(text, _KEY)
    if block is None:
        return _why_not(text, _CERTIFICATE, errors.PEM_IS_CERTIFICATE) or errors.PEM_WITHOUT_KEY
    if not _has_end(text, block):
        return errors.PEM_IS_CUT
    is_encrypted = block[1] == "ENCRYPTED PRIVATE KEY" or "\nProc-Type: 4,ENCRYPTED" in text
    return errors.PEM_IS_ENCRYPTED if is_encrypted else None


def _block(text: str, kind: str) -> re.Match[str] | None:
    return next((block for block in _BLOCK.finditer(text) if block[1].endswith(kind)), None)


def _has_end(text: str, block: re.Match[str]) -> bool:
    return text.find(f"\n-----END {block[1]}-----", block.end()) >= 0


def _why_not(text: str, other: str, is_other: str) -> str | None:
    """Returns what a text without the right block is; None if that is not known."""
    if _block(text, other) is not None:
        return is_other
    return None if _BLOCK.search(text) else _disguise(text)


def _disguise(text: str) -> str | None:
    """Returns what an editor, a shell or a console has made of PEM; None if it was not PEM."""
    if text.startswith("\ufeff"):
        return errors.PEM_HAS_MARK
    begin = text.lstrip(" \t\r\n")
    if not begin:
        return errors.PEM_IS_EMPTY
    if begin.startswith(('"', "'")):
        return errors.PEM_IS_QUOTED
    if begin.startswith("{"):
        return errors.PEM_IS_JSON
    if begin.startswith(_BASE64):
        return errors.PEM_IS_BASE64
    if "-----BEGIN " not in text:
        return None
    if "\\n" in text:
        return errors.PEM_IS_ESCAPED
    return errors.PEM_IS_INDENTED if _INDENTED.search(text) else errors.PEM_IS_ON_ONE_LINE
