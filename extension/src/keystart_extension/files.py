"""Reads a file that a person named: a bounded number of bytes, as text."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO


class FileError(Exception):
    """A file cannot be used. The message follows the name of the file, and repeats nothing of its contents."""


def read_bytes(source: Path | BinaryIO, most: int) -> bytes:
    """Returns the bytes of a file, or the rest of an open one. Raises FileError if there are more than `most`."""
    try:
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}.") from None
    if len(data) > most:
        raise FileError(f"has more than {most:,} bytes.")
    return data


def read_text(source: Path | BinaryIO, most: int) -> str:
    """Returns the text of a file in UTF-8, without the mark that Windows puts at its beginning."""
    try:
        return read_bytes(source, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError("cannot be read: it is not UTF-8.") from None
