"""Calls the core (core/capi/reader/include/keystart.h). Turns its numbers into exceptions and its bytes into Python's.

The core has the rules of the contract.
"""

from __future__ import annotations

import os

from . import _native
from .version import __version__

TYPE_CHECKING = False  # typing takes longer to load than the rest of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .errors import KeystartError


# No type checker can look into a cffi library.
ffi: Any = _native.ffi
lib: Any = _native.lib
NULL: Any = ffi.NULL
# Looked up once, because ffi.new is faster with a type than with its name.
_BYTES = ffi.typeof("keystart_bytes *")
_ERROR = ffi.typeof("keystart_error **")


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function of the core and raises the exception of its code."""
    err = ffi.new(_ERROR)
    number = function(*arguments, err)
    if number:
        raise _raised(number, err[0])


def call_for_bytes(function: Callable[..., int], *arguments: Any) -> bytes:
    """Calls a function whose last output is `keystart_bytes`, returns the bytes, and zeroes the core's copy at once."""
    out, err = ffi.new(_BYTES), ffi.new(_ERROR)
    number = function(*arguments, out, err)
    if number:
        raise _raised(number, err[0])
    try:
        return bytes(ffi.buffer(out.data, out.len))
    finally:
        lib.keystart_bytes_free(out)


def call_for_store(function: Callable[..., int], *arguments: Any) -> Any:
    """Calls a function whose last output is a `keystart_store`, and returns it. The returned object frees it."""
    out = ffi.new("keystart_store **")
    call(function, *arguments, out)
    return ffi.gc(out[0], lib.keystart_store_free)


def check_name(name: str) -> str:
    """Returns a name as a plain `str`; raises `InvalidName` if it is not the name of a secret."""
    call(lib.keystart_name_check, *text(name))
    return str.__str__(name)


def is_text(value: object) -> bool:
    """Returns whether a value is a `str`, or of a derived class.

    isinstance would believe an object's own claim about its class.
    """
    return issubclass(type(value), str)


def text(value: object) -> tuple[Any, int]:
    """Returns text as pointer and length (cffi takes bytes as a pointer), or NULL if the value is not text."""
    if not is_text(value):
        return NULL, 0
    data = _encode(value)
    return data, len(data)


def root(value: Any) -> tuple[Any, int]:
    """Returns a root argument. A NUL byte stands for a value that is not text."""
    if value is None:
        return NULL, 0
    try:
        data = str.encode(value) if is_text(value) else b"\0"
    except UnicodeEncodeError:
        data = b"\0"
    return data, len(data)


def milliseconds(seconds: Any) -> Any:
    """Returns a timeout argument. NaN stands for a value that is not a number; a boolean is none (contract 6.1.4)."""
    if seconds is None:
        return NULL
    kind = type(seconds)
    try:
        if issubclass(kind, float):
            return ffi.new("double *", float.__mul__(seconds, 1000.0))
        if issubclass(kind, int) and kind is not bool:
            return ffi.new("double *", int.__int__(seconds) * 1000.0)
    except OverflowError:  # no double can hold the int
        return ffi.new("double *", float("inf"))
    return ffi.new("double *", float("nan"))


def variable(name: str) -> tuple[Any, int]:
    """Returns a variable of the environment. Python reads it, because getenv races with os.environ's putenv."""
    value = os.environb.get(name.encode())
    return (NULL, 0) if value is None else (value, len(value))


def _raised(number: int, error: Any) -> KeystartError:
    try:
        message = _decode(error.message, error.message_len)
        secret = None if error.secret == NULL else _decode(error.secret, error.secret_len)
    finally:
        lib.keystart_error_free(error)
    made: KeystartError = errors().BY_NUMBER[number](message, secret)
    return made


_HOMES = {
    "Rejected": "keystart._types",
    "SSLContext": "ssl",
    "Secret": "keystart._secret",
    "T": "keystart._types",
}


def _annotated(name: str) -> Any:
    return getattr(__import__(_HOMES.get(name, "typing"), fromlist=["*"]), name)


# Stands for each module that annotations name, until somebody evaluates them, as get_type_hints does.
annotated: Any = type(os)("annotated")
annotated.__getattr__ = _annotated

_errors: list[Any] = []


def errors() -> Any:
    """Loads the errors' module: making its classes takes as long as loading everything else.

    Returns the same module each time. `mock.patch.dict(sys.modules)` forgets it, and a second one has other classes.
    """
    if not _errors:
        from . import errors as module

        _errors.append(module)
    return _errors[0]


def _decode(data: Any, length: int) -> str:
    return bytes(ffi.buffer(data, length)).decode()


def _encode(value: Any) -> bytes:
    """Encodes text; a lone surrogate becomes U+FFFD (contract 8.3).

    Uses the methods of `str` itself: a derived class may have replaced its own (contract 8.5).
    """
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        return str.encode(value, "utf-16", "surrogatepass").decode("utf-16", "replace").encode()


if (_found := call_for_bytes(lib.keystart_version_read).decode()) != __version__:
    raise ImportError(
        f"keystart {__version__} found its core library in version {_found}. "
        "Install the package again: pip install --force-reinstall keystart"
    )
