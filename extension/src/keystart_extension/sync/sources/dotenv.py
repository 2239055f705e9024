"""Files of variables (.env), as python-dotenv reads them: an entry is a variable. Values are not expanded.

python-dotenv skips a line that it does not understand. A list without that variable would not be whole, so such a file
is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from ...files import FileError, read_text
from ..error import SyncError
from ..keys import Place, file_of, some_of
from ..secret import Value
from . import Entry

_LARGEST = 16 << 20  # bytes of a file
FILE = "file"  # the metadata that holds the name of an entry's file


def source(document: object, place: Place) -> Dotenv:
    """Reads `source.dotenv` of a sync.yaml: one file, or a list of files."""
    where = "source.dotenv"
    return Dotenv([file_of(place, name, where) for name in some_of(document, where)])


class Dotenv:
    """The variables of some files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {file.name: file for file in files}
        if len(self._files) != len(files):
            raise SyncError("`source.dotenv` names two files of the same name.")

    def entries(self) -> Iterator[Entry]:
        """Lists the variables of all files, and one that stands twice two times, so that the sync refuses it."""
        for name, file in self._files.items():
            for binding in _bindings(file):
                if binding.key is not None:
                    yield Entry(binding.key, {FILE: name})

    def read(self, entry: Entry) -> Value:
        """Reads one variable from its file."""
        values = [one.value for one in _bindings(self._files[entry.metadata[FILE]]) if one.key == entry.name]
        if len(values) != 1 or values[0] is None:
            raise SyncError("Its file has no value for it, or more than one.")
        return Value.of(values[0].encode())


def _bindings(file: Path) -> list[Binding]:
    try:
        text = read_text(file, _LARGEST)
    except FileError as error:
        raise SyncError(f"{file} of the source {error}") from None
    bindings = list(parse_stream(io.StringIO(text)))
    if wrong := [binding for binding in bindings if binding.error]:
        text, line = wrong[0].original
        line += text[: len(text) - len(text.lstrip())].count("\n")  # it begins after the line before
        raise SyncError(f"{file}, line {line}: this is not a line such as NAME=value.")
    return bindings
