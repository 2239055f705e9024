"""Files that SOPS encrypted: an entry is a key at the top of the document. The program `sops` decrypts them.

Values come through a pipe, never through a file or an argument. A mapping or a list becomes JSON, and so does a number.
A file is decrypted once, and again only if it has changed: each time asks a key service.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..error import SyncError
from ..keys import Place, file_of, some_of
from ..secret import Value
from . import Entry
from .document import exact, without_duplicates

_LARGEST = 16 << 20  # bytes of a file
_PATIENCE = 120  # seconds: a key service may be slow
FILE = "file"  # the metadata that holds the name of an entry's file


def source(document: object, place: Place) -> Sops:
    """Reads `source.sops` of a sync.yaml: one file, or a list of files."""
    where = "source.sops"
    return Sops([file_of(place, name, where) for name in some_of(document, where)])


class _Document(NamedTuple):
    """A decrypted document, and what its file was then."""

    state: tuple[int, ...]
    document: Mapping[str, Any]


class Sops:
    """The keys of some encrypted files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {file.name: file.resolve() for file in files}
        if len(self._files) != len(files):
            raise SyncError("`source.sops` names two files of the same name.")
        self._documents: dict[str, _Document] = {}

    def entries(self) -> Iterator[Entry]:
        """Lists the keys of all files."""
        for name in self._files:
            for key in self._document(name):
                yield Entry(key, {FILE: name})

    def read(self, entry: Entry) -> Value:
        """Reads one key of its file."""
        value = self._document(entry.metadata[FILE]).get(entry.name)
        if value is None:
            raise SyncError("Its file has no value for it.")
        if isinstance(value, str):
            return Value.of_text(value)
        return Value.of_text(json.dumps(value, ensure_ascii=False, sort_keys=True))

    def _document(self, name: str) -> Mapping[str, Any]:
        file = self._files[name]
        try:
            now = file.stat()
        except OSError as error:
            raise SyncError(f"{file} of the source cannot be read: {error.strerror}.") from None
        state = (now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        if now.st_size > _LARGEST:
            raise SyncError(f"{file} of the source has more than {_LARGEST:,} bytes.")
        known = self._documents.get(name)
        if known is None or known.state != state:
            known = self._documents[name] = _Document(state, _decrypt(file))
        return known.document


def _decrypt(file: Path) -> Mapping[str, Any]:
    program = shutil.which("sops")
    if program is None:
        raise SyncError("The program sops, which decrypts the source, is not on PATH. Install it.")
    command = [program, "--decrypt", "--output-type", "json", str(file)]
    # Its errors are not shown: they may hold a line of the file.
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise SyncError(f"sops did not end within {_PATIENCE} seconds. Check its key service.") from None
    except OSError as error:
        raise SyncError(f"sops cannot be started: {error.strerror}.") from None
    if ended.returncode:
        raise SyncError(
            f"sops cannot decrypt {file}: it ended with {ended.returncode}. To see why, run sops --decrypt {file} "
            "> /dev/null"
        )
    try:
        document = json.loads(ended.stdout, object_pairs_hook=without_duplicates, parse_float=exact)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SyncError(f"{file} of the source is not a mapping.")
    return document
