"""Calls the core (core/include/keystart.h): turns its numbers into exceptions and its bytes into Python's.

The rules of the contract are in the core, not here.
"""

from __future__ import annotations

import os

from . import _native, errors
from .version import __version__

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Library:
    """A library that holds the core, as maturin's cffi bindings give it: this package's own, or the extension's."""

    def __init__(self, native: Any, package: str) -> None:
        # cffi gives a library that no type checker can look into.
        self.ffi: Any = native.ffi
        self.lib: Any = native.lib
        # Looked up once: ffi.new is faster with a type than with its name.
        self._bytes = self.ffi.typeof("keystart_bytes *")
        self._error = self.ffi.typeof("keystart_error **")
        self._check_version(package)

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls a function of the core and raises the exception of its code."""
        err = self.ffi.new(self._error)
        number = function(*arguments, err)
        if number:
            raise self._raised(number, err[0])

    def give_bytes(self, function: Callable[..., int], *arguments: Any) -> bytes:
        """Calls a function whose last output is `keystart_bytes`; the core's own copy is zeroed at once."""
        out, err = self.ffi.new(self._bytes), self.ffi.new(self._error)
        number = function(*arguments, out, err)
        if number:
            raise self._raised(number, err[0])
        try:
            return bytes(self.ffi.buffer(out.data, out.len))
        finally:
            self.lib.keystart_bytes_free(out)

    def _raised(self, number: int, error: Any) -> errors.KeystartError:
        try:
            message = self._decode(error.message, error.message_len)
            secret = None if error.secret == NULL else self._decode(error.secret, error.secret_len)
        finally:
            self.lib.keystart_error_free(error)
        return errors.BY_NUMBER[number](message, secret)

    def _decode(self, data: Any, length: int) -> str:
        return bytes(self.ffi.buffer(data, length)).decode()

    def _check_version(self, package: str) -> None:
        """Refuses a library of another build than this package."""
        found = self.give_bytes(self.lib.keystart_version_read).decode()
        if found != __version__:
            raise ImportError(
                f"{package} {__version__} found its core library in version {found}. "
                f"Install the package again: pip install --force-reinstall {package}"
            )


NULL = _native.ffi.NULL
_own = Library(_native, "keystart")
ffi, lib = _own.ffi, _own.lib
call, give_bytes = _own.call, _own.give_bytes


def give_store(function: Callable[..., int], *arguments: Any) -> Any:
    """Calls a function whose last output is a `keystart_store`, which is freed with the object that is given."""
    out = ffi.new("keystart_store **")
    call(function, *arguments, out)
    return ffi.gc(out[0], lib.keystart_store_free)


def check_name(name: object) -> None:
    """Raises `InvalidName` for what is not the name of a secret."""
    call(lib.keystart_name_check, *text(name))


def text(value: object) -> tuple[Any, int]:
    """Gives text as pointer and length, which for cffi is bytes and theirs; what is no text is NULL."""
    if not isinstance(value, str):
        return NULL, 0
    data = _encode(value)
    return data, len(data)


def root(value: object) -> tuple[Any, int]:
    """Gives a root argument; what is no text is told by a NUL byte."""
    if value is None:
        return NULL, 0
    try:
        data = value.encode() if isinstance(value, str) else b"\0"
    except UnicodeEncodeError:
        data = b"\0"
    return data, len(data)


def milliseconds(seconds: object) -> Any:
    """Gives a timeout argument; what is no number is told by NaN, and a boolean is no number (contract 6.1.4)."""
    if seconds is None:
        return NULL
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return ffi.new("double *", float("nan"))
    try:
        return ffi.new("double *", seconds * 1000.0)
    except OverflowError:  # of an int that no double can hold
        return ffi.new("double *", float("inf"))


def variable(name: str) -> tuple[Any, int]:
    """Gives a variable of the environment; Python reads it, because getenv races with os.environ's putenv."""
    value = os.environb.get(name.encode())
    return (NULL, 0) if value is None else (value, len(value))


def _encode(value: str) -> bytes:
    """Encodes text; a lone surrogate is told as U+FFFD (contract 8.3)."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
