"""Holds one secret in a value object that shows its name, never its value. It reads nothing."""

from __future__ import annotations

from . import core, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing
else:
    typing = core.annotated


class Secret:
    """One secret as it was when it was read."""

    __slots__ = ("__facts", "__value", "name")

    def __init__(self, name: str, value: bytes, facts: typing.Callable[[], dict[str, typing.Any]]) -> None:
        self.name: str = name
        self.__facts = facts
        # In a closure, because debuggers and error trackers that walk attributes then find a function.
        self.__value: typing.Callable[[], bytes] = lambda: value

    def reveal(self) -> str:
        """Returns the value as text; raises `SecretNotText` if it is not valid UTF-8."""
        try:
            return self.__value().decode()
        except UnicodeDecodeError:
            pass  # raised after this block, because this exception carries the bytes
        raise errors.secret_not_text(self.name)

    def reveal_bytes(self) -> bytes:
        """Returns the value's exact bytes."""
        return self.__value()

    @property
    def info(self) -> dict[str, typing.Any]:
        """Returns what `Keystart.info` returns, for the generation of the value. `stale` is as of now."""
        return self.__facts()

    def __repr__(self) -> str:
        return f'<Secret "{self.name}" (redacted)>'

    def __reduce__(self) -> typing.NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied. Reveal what is needed where it is needed.")
