"""Sets of secrets whose values prove themselves: every byte follows from the value's first line.

`run` distinguishes the true writer's values from an attacker's, `mix` is new for each value, and the number is that of
the generation. So whoever has only the value recognises one that is torn, mixed, zeroed, cut, or of another name or
writer. Each reader program has the same check in its language.
"""

from __future__ import annotations

import random

LONGEST = 65_536
NAMES = ("json", "text", "tiny", "tls/cert", "tls/key")


class WrongError(Exception):
    """A value is not what was published. The message holds no part of it."""


def text(run: str, number: int, name: str, length: int, chance: random.Random) -> bytes:
    """Returns a value of `length` bytes, or of its first line if that is longer."""
    mix = f"{chance.getrandbits(64):016x}"
    head = f"{run} {mix} {number} {name} {length}\n"
    return (head + _filler(mix, number, length - len(head))).encode()


def number_of(value: bytes, run: str, name: str) -> int:
    """Returns the generation that a value of `text` belongs to."""
    head, line_feed, rest = value.partition(b"\n")
    parts = head.decode("ascii", "replace").split(" ")
    if not line_feed or len(parts) != 5:
        raise WrongError(
            "its first line is damaged" + (", all bytes are zero" if not value.strip(b"\0") else "")
        )
    if parts[0] != run:
        raise WrongError("it is of another writer")
    if parts[3] != name:
        raise WrongError(f"it is the value of {parts[3]}")
    number, length = int(parts[2]), int(parts[4])
    if len(value) != max(length, len(head) + 1):
        raise WrongError(f"it has {len(value)} bytes, not {length}")
    if rest.decode("ascii", "replace") != _filler(parts[1], number, len(rest)):
        raise WrongError("its bytes do not belong to its first line")
    return number


def tiny(number: int) -> bytes:
    """Returns a value of 1 to 16 bytes, too short to name its generation: for readers who know the number."""
    return bytes([33 + number % 90]) * (1 + number % 16)


def is_too_old(number: int) -> bool:
    """Returns whether a writer that limits the age of values publishes this generation too late."""
    return number % 8 == 7


def lone(number: int) -> str:
    """Returns a name that only this generation has."""
    return f"at/{number}"


def published(run: str, number: int, chance: random.Random) -> dict[str, bytes]:
    """Returns one whole set. The lengths differ from set to set."""

    def some(name: str) -> bytes:
        return text(
            run, number, name, chance.choice((1, 100, 4096, chance.randint(1, LONGEST), LONGEST)), chance
        )

    in_json = b'{"proof": "' + some("json").replace(b"\n", b"\\n") + b'"}'
    sized = {name: some(name) for name in ("text", "tls/cert", "tls/key", lone(number))}
    return {"json": in_json, "tiny": tiny(number), **sized}


def _filler(mix: str, number: int, length: int) -> str:
    unit = f"{mix}:{number}:"
    return (unit * (length // len(unit) + 1))[: max(length, 0)]
