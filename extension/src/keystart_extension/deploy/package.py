"""Reads the names of the files in a function's package, and some files, without the rest of the zip."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

Result = TypeVar("Result")

_END = 64 * 1024  # where the list of files of nearly every package is
_LARGEST = 64 * 1024 * 1024  # of all that is read
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


def files_of(location: str, authorities: str | bool) -> frozenset[str] | None:
    """Returns the paths in the zip at a link of Lambda's; None if it cannot be read."""
    return _read(location, authorities, lambda archive: frozenset(archive.namelist()))


def contents_of(
    location: str, authorities: str | bool, names: Collection[str], largest: int
) -> dict[str, bytes] | None:
    """Returns those of the named files that the zip has, each cut behind `largest` bytes; None if it cannot be read."""

    def contents(archive: zipfile.ZipFile) -> dict[str, bytes]:
        found = {}
        for name in archive.namelist():
            if name in names:
                with archive.open(name) as file:
                    found[name] = file.read(largest)
        return found

    return _read(location, authorities, contents)


def _read(location: str, authorities: str | bool, read: Callable[[zipfile.ZipFile], Result]) -> Result | None:
    """Opens the zip. The link holds a signature, and so does every error about it: none is repeated."""
    try:
        with (
            _Remote(location, authorities) as remote,
            zipfile.ZipFile(io.BufferedReader(remote, _END)) as archive,
        ):
            return read(archive)
    # zipfile raises NotImplementedError for a form of zip that it does not know.
    # An encrypted file is a RuntimeError, and what zlib cannot read its own error.
    except (
        BotoCoreError,
        OSError,
        ValueError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        zlib.error,
    ):
        return None


class _Remote(io.RawIOBase):
    """A file behind a URL, of which each read fetches only its part."""

    def __init__(self, url: str, authorities: str | bool) -> None:
        super().__init__()
        self._url = url
        verify: Any = authorities  # its type is that of the default
        self._session = URLLib3Session(verify=verify, proxies=get_environ_proxies(url), timeout=10)
        self._position = self._fetched = 0
        self._tail = b""
        self._tail, self._size = self._fetch(f"-{_END}")

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        )
        return self._position

    def readinto(self, buffer: Any) -> int:
        begin = self._position
        end = min(begin + len(buffer), self._size)
        if end <= begin:
            return 0
        in_tail = begin - (self._size - len(self._tail))
        data = self._tail[in_tail:] if in_tail >= 0 else self._fetch(f"{begin}-{end - 1}")[0]
        data = data[: end - begin]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._session.close()
        super().close()

    def _fetch(self, part: str) -> tuple[bytes, int]:
        """Returns the bytes of a range, and the size of the whole file."""
        request: Any = AWSRequest("GET", self._url, headers={"Range": f"bytes={part}"}, stream_output=True)
        answer: Any = self._session.send(request.prepare())
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or found is None:
            raise OSError("the endpoint sends no part of a file")
        begin, end, size = map(int, found.groups())
        length = end - begin + 1
        self._fetched += length
        if self._fetched > _LARGEST:
            raise OSError("the list of files is too long")
        data: bytes = answer.raw.read(length)
        if len(data) != length:
            raise OSError("the connection ended early")
        return data, size
