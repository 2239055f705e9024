"""The encodings of the executable: UTF-8, ASCII and Latin-1.

It takes the place of Python's `encodings`, which loads the names of a hundred encodings that are not frozen, and
classes for streams that nothing uses.
"""

import _codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAMES = {
    "utf_8": "utf_8",
    "utf8": "utf_8",
    "ascii": "ascii",
    "us_ascii": "ascii",
    "latin_1": "latin_1",
    "latin1": "latin_1",
    "iso_8859_1": "latin_1",
}


class _Codec(tuple):  # type: ignore[type-arg]  # its members have different types
    """The result of `codecs.lookup`: C uses it as a tuple, and `io` its attributes."""

    __slots__ = ()
    _is_text_encoding = True

    @property
    def name(self) -> str:
        return str(self[0].__name__).removesuffix("_encode").replace("_", "-")

    def incrementalencoder(self, errors: str = "strict") -> "_Encoder":
        return _Encoder(self[0], errors)

    def incrementaldecoder(self, errors: str = "strict") -> "_Decoder":
        return _Decoder(self[1], errors)


class _Encoder:
    def __init__(self, encode: "Callable[..., Any]", errors: str) -> None:
        self._encode = encode
        self.errors = errors

    def encode(self, text: str, final: bool = False) -> bytes:
        return bytes(self._encode(text, self.errors)[0])

    def reset(self) -> None:
        pass

    def getstate(self) -> int:
        return 0

    def setstate(self, state: int) -> None:
        pass


class _Decoder:
    """Keeps the first bytes of a character until the others have come."""

    def __init__(self, decode: "Callable[..., Any]", errors: str) -> None:
        self._decode = decode
        self.errors = errors
        self._kept = b""

    def decode(self, data: bytes, final: bool = False) -> str:
        data = self._kept + data
        options = (self.errors, final) if self._decode is _codecs.utf_8_decode else (self.errors,)
        text, used = self._decode(data, *options)
        self._kept = data[used:]
        return str(text)

    def reset(self) -> None:
        self._kept = b""

    def getstate(self) -> tuple[bytes, int]:
        return self._kept, 0

    def setstate(self, state: tuple[bytes, int]) -> None:
        self._kept = state[0]


def normalize_encoding(encoding: str) -> str:
    """Returns a name with one underscore for all between its letters and digits. `locale` calls it."""
    kept = (c if c.isalnum() or c == "." else " " for c in encoding)
    return "_".join("".join(c for c in kept if c.isascii()).split())


def _search(name: str) -> _Codec | None:
    known = _NAMES.get(normalize_encoding(name))
    if known is None:
        return None
    return _Codec((getattr(_codecs, f"{known}_encode"), getattr(_codecs, f"{known}_decode"), None, None))


_codecs.register(_search)  # type: ignore[arg-type]  # a stub wants CodecInfo, the interpreter any tuple of four
