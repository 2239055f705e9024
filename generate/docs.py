"""The tables of the contract and of the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from .contract import READER, WRITER, Contract, Error, Message


def codes(contract: Contract) -> str:
    """Returns the table of contract 8.2."""
    rows = (
        f"| `{error.code}` | {error.number} | {error.since} | {error.when} |" for error in contract.errors
    )
    return _table("| code | n | since | when |", rows)


def reader_messages(contract: Contract) -> str:
    """Returns the table of contract 8.4."""
    return _table("| code | message |", _rows(contract, READER))


def writer_messages(contract: Contract) -> str:
    """Returns the table of the writer's messages."""
    return _table("| code | message |", _rows(contract, WRITER))


def numbers(contract: Contract) -> str:
    """Returns the codes as lines of a comment in C."""
    return "".join(f" * {error.number} {error.code}\n" for error in contract.errors if not error.is_reserved)


def variables(contract: Contract) -> str:
    """Returns the table of docs/refused-variables.md."""
    rows = (
        f"| **{group.name}**: {group.what} | {' '.join(_code(name) for name in group.variables)} |"
        for group in contract.variables
    )
    return _table("| what | variables |", rows)


def limits(contract: Contract) -> str:
    """Returns the table of docs/security.md."""
    rows = (f"| {what} | {_size(key, contract.limits[key])} |" for key, what in contract.described.items())
    return _table("| what | at most |", rows)


def _size(key: str, number: int) -> str:
    if not key.endswith("_bytes"):
        return str(number)
    return f"{number >> 20} MiB" if number >= 1 << 20 else f"{number >> 10} KiB"


def _table(head: str, rows: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in (head, "|---" * head.count(" | ") + "|---|", *rows))


def _rows(contract: Contract, who: str) -> Iterator[str]:
    for error in contract.errors:
        messages = error.messages_of(who)
        for message in messages:
            when = f", {message.when}" if message.when else ""
            yield f"| `{error.code}`{when} | {_code(message.text)} |"
            yield from _values_of(message)
        if messages and who == error.raised_by:
            yield from _pieces(error)


def _values_of(message: Message) -> Iterator[str]:
    if message.what:
        yield f"| `{{what}}` | {', '.join(_code(what) for what in message.what)} |"
    if message.member:
        yield f"| `{{member}}` | {', '.join(_code(member) for member in message.member)}, … |"


def _pieces(error: Error) -> Iterator[str]:
    for piece in error.pieces:
        if piece.when:
            yield f"| {piece.when} | {_code(piece.text)} |"


def _code(text: str) -> str:
    return f"`{text.removeprefix(chr(10)).replace(chr(10), '`, a line feed, `')}`"
