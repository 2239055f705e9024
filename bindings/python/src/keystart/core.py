"""Calls the core (core/include/keystart.h): turns its numbers into exceptions and its bytes into Python's.

The rules of the contract are in the core, not here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from . import _native, errors
from .version import __version__

# cffi gives a library that no type checker can look into.
ffi: Any = _native.ffi
lib: Any = _native.lib
NULL = ffi.NULL


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function of the core and raises the exception of its code."""
    err = ffi.new("keystart_error **")
    number = function(*arguments, err)
    if number:
        raise _error(number, err[0])


def give_bytes(function: Callable[..., int], *arguments: Any) -> bytes:
    """Calls a function whose last output is `keystart_bytes`; the core's own copy is zeroed at once."""
    out = ffi.new("keystart_bytes *")
    call(function, *arguments, out)
    try:
        return bytes(ffi.buffer(out.data, out.len))
    finally:
        lib.keystart_bytes_free(out)


def give_store(function: Callable[..., int], *arguments: Any) -> Any:
    """Calls a function whose last output is a `keystart_store`, which is freed with the object that is given."""
    out = ffi.new("keystart_store **")
    call(function, *arguments, out)
    return ffi.gc(out[0], lib.keystart_store_free)


def text(value: object) -> tuple[Any, int]:
    """Gives a name to the core as pointer and length; what is no text is NULL there."""
    if not isinstance(value, str):
        return NULL, 0
    data = encode(value)
    return ffi.from_buffer(data), len(data)


def encode(value: str) -> bytes:
    """Encodes a name; a lone surrogate is told as U+FFFD (contract 8.3)."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def root(value: object) -> tuple[Any, int]:
    """Gives a root argument; what is no text is told by a NUL byte."""
    if value is None:
        return NULL, 0
    data = os.fsencode(value) if isinstance(value, str) else b"\0"
    return ffi.from_buffer(data), len(data)


def milliseconds(seconds: object) -> Any:
    """Gives a timeout argument; what is no number is told by NaN, and a boolean is no number (contract 6.1.4)."""
    if seconds is None:
        return NULL
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return ffi.new("double *", math.nan)
    try:
        return ffi.new("double *", seconds * 1000.0)
    except OverflowError:
        return ffi.new("double *", math.inf)


def variable(name: str) -> tuple[Any, int]:
    """Gives a variable of the environment; Python reads it, because getenv races with os.environ's putenv."""
    value = os.environb.get(name.encode())
    return (NULL, 0) if value is None else (ffi.from_buffer(value), len(value))


def _error(number: int, error: Any) -> errors.KeystartError:
    try:
        secret = None if error.secret == NULL else _text(error.secret, error.secret_len)
        return errors.BY_NUMBER[number](
            _text(error.code_name, error.code_name_len), _text(error.message, error.message_len), secret
        )
    finally:
        lib.keystart_error_free(error)


def _text(data: Any, length: int) -> str:
    return bytes(ffi.buffer(data, length)).decode(errors="replace")


def _check_version() -> None:
    """Refuses a library of another build than this package."""
    found = give_bytes(lib.keystart_version_read).decode()
    if found != __version__:
        raise ImportError(
            f"keystart {__version__} found its core library in version {found}. "
            "Install the package again: pip install --force-reinstall keystart"
        )


_check_version()
