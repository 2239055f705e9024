"""The tables of contract/: error codes, messages, limits, rejections. It checks the tables, and writes nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import rejections
from .rejections import ContractError as ContractError
from .rejections import Rejections

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "contract"

READER, WRITER, NOBODY = "reader", "writer", "nobody yet"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_LIMIT = re.compile(r"\{(\w+\.\w+)\}")


@dataclass(frozen=True)
class Text:
    """A text with placeholders, which becomes a function in each language."""

    name: str
    when: str
    text: str

    @property
    def placeholders(self) -> list[str]:
        """The placeholders, in the order of their first occurrence."""
        return list(dict.fromkeys(_PLACEHOLDER.findall(self.text)))


@dataclass(frozen=True)
class Message(Text):
    """One message of an error."""

    raised_by: str
    what: tuple[str, ...]
    member: tuple[str, ...]


@dataclass(frozen=True)
class Error:
    """One error code."""

    code: str
    number: int
    since: str
    raised_by: str
    in_testing: bool
    in_core: bool
    when: str
    summary: str
    messages: tuple[Message, ...]
    pieces: tuple[Text, ...]

    @property
    def class_name(self) -> str:
        """The name of the class, by contract 8.1."""
        return "".join(word.capitalize() for word in self.code.split("_"))

    @property
    def is_about_a_secret(self) -> bool:
        """Whether the error has the name of a secret, by contract 8.1."""
        return 301 <= self.number <= 308

    @property
    def is_reserved(self) -> bool:
        """Whether no version raises it yet."""
        return self.raised_by == NOBODY

    def parameters(self, message: Text) -> list[str]:
        """Returns the parameters of a message's function, in order."""
        first = ["name"] if self.is_about_a_secret else []
        return list(dict.fromkeys([*first, *message.placeholders]))

    def messages_of(self, who: str) -> list[Message]:
        """Returns the messages that a reader or the writer uses."""
        return [message for message in self.messages if message.raised_by == who]


@dataclass(frozen=True)
class Reason:
    """Why `env:` may not name a variable, and what to do instead."""

    because: str
    cure: str


@dataclass(frozen=True)
class VariableGroup:
    """Variables that `env:` may not name: a row of the documentation."""

    name: str
    what: str
    reason: Reason
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """All tables of the contract."""

    errors: tuple[Error, ...]
    limits: Mapping[str, int]
    described: Mapping[str, str]  # the descriptions of the limits that the documentation lists
    variables: tuple[VariableGroup, ...]
    rejections: Rejections

    @property
    def of_readers(self) -> list[Error]:
        """The codes that every reader has a class for."""
        return [error for error in self.errors if error.raised_by != WRITER]

    @property
    def of_testing(self) -> list[Error]:
        """The codes of the writer that the readers' test stores raise."""
        return [error for error in self.errors if error.in_testing]


def load(folder: Path = FOLDER) -> Contract:
    """Reads and checks the tables. Raises `ContractError`."""
    limits, described = _limits(tomllib.loads((folder / "limits.toml").read_text()))
    document = tomllib.loads((folder / "errors.toml").read_text())
    pieces = _pieces(document["piece"], limits)
    fixed = {piece.name: piece.text for _, piece in pieces if not piece.placeholders}
    errors = tuple(_error(data, limits, pieces, fixed) for data in document["error"])
    codes = {error.code for error in errors}
    names = [text.name for error in errors for text in (*error.messages, *error.pieces)]
    _check_unique("errors.toml", "code", [error.code for error in errors])
    _check_unique("errors.toml", "number", [error.number for error in errors])
    _check_unique("errors.toml", "name", names)
    if unknown := [piece.name for of, piece in pieces if of not in codes]:
        raise ContractError(f"errors.toml: the piece {unknown[0]} is of no code")
    if [error.number for error in errors] != sorted(error.number for error in errors):
        raise ContractError("errors.toml: the codes are not in the order of their numbers")
    variables = _groups(tomllib.loads((folder / "variables.toml").read_text()))
    return Contract(errors, limits, described, variables, rejections.load(folder / "rejections.json"))


def _limits(document: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    """Returns the limits by key, and the descriptions of those that have one."""
    found = {f"{group}.{name}": limit for group, table in document.items() for name, limit in table.items()}
    described = {key: limit for key, limit in found.items() if isinstance(limit, dict)}
    return (
        {key: limit["value"] if key in described else limit for key, limit in found.items()},
        {key: limit["what"] for key, limit in described.items()},
    )


def _groups(document: Mapping[str, Any]) -> tuple[VariableGroup, ...]:
    reasons = {name: Reason(**reason) for name, reason in document["reason"].items()}
    groups = tuple(
        VariableGroup(group["name"], group["what"], reasons[group["reason"]], tuple(group["variables"]))
        for group in document["group"]
    )
    names = [name for group in groups for name in group.variables]
    _check_unique("variables.toml", "variable", names)
    for name in names:
        if not re.fullmatch(r"[A-Z][A-Z0-9_]+\*?", name):
            raise ContractError(f"variables.toml: {name} is not a name in capitals")
    for begin in (name[:-1] for name in names if name.endswith("*")):
        if covered := [name for name in names if name.startswith(begin) and name != f"{begin}*"]:
            raise ContractError(f"variables.toml: {covered[0]} is one of {begin}* already")
    return groups


def _pieces(data: list[dict[str, str]], limits: Mapping[str, int]) -> list[tuple[str, Text]]:
    return [(one["of"], Text(one["name"], one.get("when", ""), _filled(one["text"], limits))) for one in data]


def _error(
    data: dict[str, Any],
    limits: Mapping[str, int],
    pieces: list[tuple[str, Text]],
    fixed: Mapping[str, str],
) -> Error:
    code, raised_by = data["code"], data["raised_by"]
    if raised_by not in (READER, WRITER, NOBODY):
        raise ContractError(f"errors.toml: {code} is raised by {raised_by!r}")
    return Error(
        code=code,
        number=data["number"],
        since=data["since"],
        raised_by=raised_by,
        in_testing=data.get("in_testing", False),
        in_core=data.get("in_core", True),
        when=data["when"],
        summary=data["summary"],
        messages=tuple(_messages(data, limits, fixed)),
        pieces=tuple(piece for of, piece in pieces if of == code),
    )


def _messages(data: dict[str, Any], limits: Mapping[str, int], fixed: Mapping[str, str]) -> Iterator[Message]:
    for message in data.get("message", []):
        yield Message(
            name=message["name"],
            when=message.get("when", ""),
            text=_filled(message["text"], limits, fixed),
            raised_by=message.get("raised_by", data["raised_by"]),
            what=tuple(_filled(what, limits) for what in message.get("what", [])),
            member=tuple(message.get("member", [])),
        )


def _filled(text: str, limits: Mapping[str, int], fixed: Mapping[str, str] | None = None) -> str:
    """Returns a text with its limits and fixed pieces in place."""
    unknown = [key for key in _LIMIT.findall(text) if key not in limits]
    if unknown:
        raise ContractError(f"errors.toml: there is no limit {unknown[0]}")
    text = _LIMIT.sub(lambda found: str(limits[found[1]]), text)
    pieces = fixed or {}
    return _PLACEHOLDER.sub(lambda found: pieces.get(found[1], found[0]), text)


def _check_unique(file: str, what: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ContractError(f"{file}: the {what} {value} is there twice")
