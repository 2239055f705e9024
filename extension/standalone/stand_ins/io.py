"""The module `io` without its abstract classes, for which Python would load `abc`: the names stand for those of C."""

from _io import (
    DEFAULT_BUFFER_SIZE,
    BlockingIOError,
    BufferedRandom,
    BufferedReader,
    BufferedRWPair,
    BufferedWriter,
    BytesIO,
    FileIO,
    IncrementalNewlineDecoder,
    StringIO,
    TextIOWrapper,
    UnsupportedOperation,
    open,
    open_code,
    text_encoding,
)
from _io import _BufferedIOBase as BufferedIOBase
from _io import _IOBase as IOBase
from _io import _RawIOBase as RawIOBase
from _io import _TextIOBase as TextIOBase

SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2
