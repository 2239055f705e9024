"""The extension's core: the store's writer, AWS's SDK and the Extensions API in one library.

It does not use the reader's package: a second library would cost a tenth of a start's CPU.
"""

from __future__ import annotations

from . import __version__, _native

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# No type checker can look into a cffi library.
ffi: Any = _native.ffi
lib: Any = _native.lib


class CoreError(Exception):
    """The core refused a call. `code` is the word of contract §8, the message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function of the core, and raises `CoreError` if it refuses."""
    err = ffi.new("keystart_error **")
    if function(*arguments, err):
        error = err[0]
        try:
            code = copy_text(error.code_name, error.code_name_len)
            message = copy_text(error.message, error.message_len)
        finally:
            lib.keystart_error_free(error)
        raise CoreError(code, call_for_text(lib.keystart_message_show, *text(message)))


def call_for_text(function: Callable[..., int], *arguments: Any) -> str:
    """Calls a function whose last output is `keystart_bytes` with text, and returns the text."""
    out = ffi.new("keystart_bytes *")
    call(function, *arguments, out)
    return take_text(out)


def take_text(output: Any) -> str:
    """Returns the text in `keystart_bytes`, which it frees."""
    try:
        return bytes(ffi.buffer(output.data, output.len)).decode()
    finally:
        lib.keystart_bytes_free(output)


def copy_text(data: Any, length: int) -> str:
    """Returns a copy of the text that a struct of the core points to."""
    return bytes(ffi.buffer(data, length)).decode()


def text(value: str) -> tuple[bytes, int]:
    """Returns text as pointer and length. A lone surrogate becomes U+FFFD (contract 8.3)."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return data, len(data)


def text_or_null(value: str | None) -> tuple[Any, int]:
    """Returns text as pointer and length, or NULL for None."""
    return (ffi.NULL, 0) if value is None else text(value)


if (_found := call_for_text(lib.keystart_version_read)) != __version__:
    raise ImportError(
        f"keystart-extension {__version__} found its core library in version {_found}. "
        "Install the package again: pip install --force-reinstall keystart-extension"
    )
