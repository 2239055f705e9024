"""Holds one secret in a value object that shows its name, never its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .errors import SecretNotText


class Secret:
    """One secret of the store. `info` is its entry in the manifest (contract 6.5.5)."""

    __slots__ = ("__reveal", "info", "name")

    def __init__(self, name: str, value: bytes, info: dict[str, Any]) -> None:
        self.name = name
        self.info = info
        # In a closure: what walks attributes (debuggers, error trackers) finds a function.
        self.__reveal: Callable[[], bytes] = lambda: value

    def reveal(self) -> str:
        """Gives the value as text; raises `SecretNotText` when it is not valid UTF-8."""
        try:
            return self.__reveal().decode()
        except UnicodeDecodeError:
            pass  # outside of this block, because the exception carries the bytes
        message = f'The secret "{self.name}" is not valid UTF-8 text. Read it as bytes.'
        raise SecretNotText("secret_not_text", message, self.name)

    def reveal_bytes(self) -> bytes:
        """Gives the value's exact bytes."""
        return self.__reveal()

    def __repr__(self) -> str:
        return f'<Secret "{self.name}" (redacted)>'

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied. Reveal what is needed where it is needed.")
