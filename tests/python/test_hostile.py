"""Values of other types, and objects that pretend: contract 8.5 for each call and each option."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keystart
import pytest

from .publisher import Publisher
from .test_reading import CALLS


class Pretender:
    """Claims to be text, and refuses everything else."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return str

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked at")

    def __str__(self) -> str:
        raise AssertionError("it was made text")


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a method of a derived class was called")


REPLACED = ["encode", "__str__", "__format__", "__eq__", "__len__", "__iter__", "__add__", "__contains__"]
Liar = type("Liar", (str,), {**dict.fromkeys(REPLACED, refuse), "__hash__": str.__hash__})
LyingInt = type("LyingInt", (int,), dict.fromkeys(["__mul__", "__float__", "__int__", "__index__"], refuse))
LyingFloat = type("LyingFloat", (float,), dict.fromkeys(["__mul__", "__float__", "__int__"], refuse))


class Names(str, enum.Enum):
    """As applications list the names of their secrets; format() shows the member, not the text."""

    DB = "db"
    MTLS = "mtls"
    WRONG = "../x"


class Number:
    """Turns into a number when asked to."""

    def __float__(self) -> float:
        return 0.0

    def __index__(self) -> int:
        return 0


NOT_TEXT = [
    *(
        True,
        False,
        7,
        2**70,
        1.5,
        1j,
        b"db",
        bytearray(b"db"),
        memoryview(b"db"),
        ["db"],
        ("db",),
        {},
        {"db"},
    ),
    *(object(), Pretender(), str, Path("db"), Number(), lambda: "db", ..., NotImplemented),
]
NOT_NUMBERS = [True, "1", b"1", [], {}, object(), Number(), Pretender(), 1j, float("nan"), ...]


@pytest.mark.parametrize("value", NOT_TEXT, ids=lambda value: type(value).__name__)
def test_hostile_values_are_refused_in_the_words_of_the_contract(
    value: Any, publisher: Publisher, client: keystart.Keystart
) -> None:
    publisher.publish({"db": "x"})
    calls: dict[str, Callable[[Any, Any], object]] = {
        **CALLS,
        "names": lambda reader, name: reader.names(name),
    }
    for reader in (client, client.snapshot()):
        for call in calls.values():
            with pytest.raises(keystart.InvalidName) as failure:
                call(reader, value)
            assert str(failure.value) == "The name of a secret must be a string."
    with pytest.raises(keystart.InvalidOption, match=r"^The root must be a path: text in UTF-8"):
        keystart.Keystart(value)


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_turns_into_a_number_is_none(value: Any) -> None:
    with pytest.raises(keystart.InvalidOption, match=r"^The timeout must be a number"):
        keystart.Keystart(timeout=value)


def test_a_derived_text_counts_as_what_it_holds(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"db": "x"})
    name: Any = Liar("db")
    assert (client.get(name), client.get_bytes(name), client.info(name)["size"]) == ("x", b"x", 1)
    assert client.path(name) == f"{publisher.root}/current/secrets/db"
    assert client.names(name) == []
    assert type(client.secret(name).name) is str
    assert keystart.Keystart(Liar(publisher.root), timeout=LyingInt(0)).names() == ["db"]
    assert keystart.Keystart(str(publisher.root), timeout=LyingFloat(0.0)).names() == ["db"]
    with pytest.raises(keystart.InvalidName, match=r'^"\.\./x" is not a valid secret name'):
        client.get(Liar("../x"))
    with pytest.raises(keystart.InvalidName, match=r"^\"\\xef\\xbf\\xbd\" is not"):
        client.get(Liar("\ud800"))


def test_a_member_of_an_enumeration_is_a_name(publisher: Publisher, client: keystart.Keystart) -> None:
    publisher.publish({"db": "x", "mtls/cert": "c", "mtls/key": "k"})
    assert client.get(Names.DB) == "x"
    assert repr(client.secret(Names.DB)) == '<Secret "db" (redacted)>'
    with pytest.raises(keystart.TlsInvalid):  # and does not claim that the secret is missing
        client.tls(Names.MTLS)
    with pytest.raises(keystart.InvalidName, match=r'^"\.\./x" is not'):
        client.tls(Names.WRONG)


def test_an_option_that_does_not_exist_is_refused() -> None:
    wrong: Callable[..., object] = keystart.Keystart
    with pytest.raises(TypeError, match="unexpected keyword argument 'timeout_ms'"):
        wrong(timeout_ms=5)
