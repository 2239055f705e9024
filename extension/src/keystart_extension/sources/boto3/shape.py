"""Turns what the services gave into named secrets: `field`, `expand`, and the parameters below a path.

It knows the names before anything is written, so it refuses every illegal one here (contract §2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from math import isinf
from typing import Any

from ...fetched import Unavailable
from ...names import NAME_RULE, characters, is_certain, is_name, quote
from ...plan import Entry
from ...secret import Answer, Secret


def _refuse(constant: str) -> Any:
    """Refuses NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def _number(text: str) -> str:
    """Keeps a number as it stands; one that no double can hold is refused (contract 6.4.3)."""
    if isinf(float(text)):
        raise ValueError(text)
    return text


# Every member is kept, also one that a later equal one replaces: the contract looks at all of them.
_DECODER = json.JSONDecoder(
    object_pairs_hook=list, parse_int=_number, parse_float=_number, parse_constant=_refuse
)
_DEEPEST = 64  # contract 6.4.4
_PROBLEMS_AT_MOST = 50  # told of one entry; state.json must hold all of them


def shape_secret(entry: Entry, answer: Answer) -> tuple[Secret, ...]:
    """Names the answer for a `secret` entry, or the members that `field` or `expand` take from it."""
    if entry.field is None and not entry.expand:
        return (Secret(entry.name, answer.value, answer.encoding, answer.source, answer.fetched_at),)
    members = _members(entry, answer.value)
    if entry.field is not None:
        if entry.field not in members:
            is_shown = is_certain(entry.field, "name")
            shown = quote(entry.field) if is_shown else f"with the {characters(entry.field)} of `field`"
            raise Unavailable(
                "FieldNotFound", f"{entry.id} has no member {shown}. Correct `field` or the secret."
            )
        return (_member(entry.name, entry.field, members[entry.field], answer),)
    if not members:
        raise Unavailable("NothingToExpand", f"{entry.id} is an object without members. Correct the secret.")
    names = {f"{entry.name}/{member}": member for member in members}
    _check(entry, "member", names)
    return tuple(_member(name, member, members[member], answer) for name, member in names.items())


def shape_parameters(entry: Entry, answers: Iterable[tuple[str, Answer]]) -> tuple[Secret, ...]:
    """Names each parameter below the path of a `parameters` entry: `<entry>/<rest of its name>`."""
    path = entry.id.rstrip("/") + "/"
    secrets = tuple(
        Secret(
            f"{entry.name}/{name.removeprefix(path)}",
            answer.value,
            answer.encoding,
            answer.source,
            answer.fetched_at,
        )
        for name, answer in answers
    )
    if not secrets:
        raise Unavailable(
            "ParameterNotFound", f"There is no parameter below {entry.id}. Correct the path or the region."
        )
    _check(entry, "parameter", [secret.name for secret in secrets])
    return secrets


def check_beside(entry: Entry, secrets: tuple[Secret, ...], others: Iterable[str]) -> tuple[Secret, ...]:
    """Gives the secrets of `entry`, unless names of them are, or nest with, other entries (contract 2.4).

    Only an entry below the folder that `entry` fills can be in its way: `tls/ca` beside an expanded `tls`.
    """
    below = {other for other in others if other.startswith(f"{entry.name}/")}
    around = {folder for other in below for folder in _folders(other)}
    _tell(
        f'"{secret.name}" is in the way of another entry, or another entry of it. Rename one of them.'
        for secret in secrets
        if secret.name in below | around or not below.isdisjoint(_folders(secret.name))
    )
    return secrets


def _check(entry: Entry, what: str, names: Collection[str]) -> None:
    """Refuses all illegal, equal and nested names together: below the path `/`, `flag` and `/flag` are one name.

    An illegal one is part of what was fetched, and may be a secret: it is described, not repeated.
    """
    known = Counter(iter(names))
    problems = []
    if invalid := [(number, name) for number, name in enumerate(names, 1) if not is_name(name)]:
        number, name = invalid[0]
        cure = "Take each with `field` under a valid name" if what == "member" else "Configure each by itself"
        problems.append(
            f'{len(invalid)} of {len(names)} {what}s of {entry.id} cannot be published below "{entry.name}", '
            f"because their names are not valid there. The first is {what} {number}, with a name of "
            f"{len(name) - len(entry.name) - 1} characters. {NAME_RULE} {cure}, or rename it."
        )
    problems += [
        f'"{name}" is there twice. Rename one of them.'
        for name, times in known.items()
        if times > 1 and is_name(name)
    ]
    problems += [
        f'"{folder}" and "{name}": one name cannot be the folder of another.'
        for name in names
        if is_name(name)
        for folder in _folders(name)
        if folder in known
    ]
    _tell(problems)


def _tell(problems: Iterable[str]) -> None:
    problems = list(problems)
    if len(problems) > _PROBLEMS_AT_MOST:
        problems[_PROBLEMS_AT_MOST:] = [f"There are {len(problems) - _PROBLEMS_AT_MOST} more."]
    if problems:
        raise Unavailable("InvalidName", " ".join(problems))


def _folders(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _member(name: str, member: str, value: str, answer: Answer) -> Secret:
    """A string is published as its text, everything else as the JSON that stands in the secret."""
    text: str = json.loads(value) if value.startswith('"') else value
    source = {**answer.source, "field": member}
    return Secret(name, text.encode(), "utf-8", source, answer.fetched_at)


def _members(entry: Entry, value: bytes) -> dict[str, str]:
    """Gives each member of a JSON object as the text it stands as, so that no number is rewritten."""
    text = _json_text(value)
    if text is None:
        raise Unavailable(
            "NotJson", f"{entry.id} is not valid JSON, which `field` and `expand` need. Correct the secret."
        )
    if not text.lstrip().startswith("{"):
        raise Unavailable(
            "NotAnObject",
            f"{entry.id} is not a JSON object, so it has no members to take. Correct the secret.",
        )
    return dict(_raw_members(text))


def _json_text(value: bytes) -> str | None:
    """Gives the text when it is JSON by contract 6.4, which is what readers take for JSON.

    No exception comes out: those of the decoder carry the whole text.
    """
    try:
        text = value.decode()
        whole = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return text if _is_exact(whole, _DEEPEST) else None


def _is_exact(value: object, deepest: int) -> bool:
    """Checks what Python's decoder does not: half of a surrogate pair, and the depth."""
    match value:
        case str():
            return not any("\ud800" <= character <= "\udfff" for character in value)
        case tuple():  # a member: its name and its value
            return all(_is_exact(part, deepest) for part in value)
        case list():
            return deepest > 0 and all(_is_exact(part, deepest - 1) for part in value)
        case _:
            return True


def _raw_members(text: str) -> Iterator[tuple[str, str]]:
    """Walks the top level of a text that is known to be a JSON object."""
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] == '"':
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, start)
        yield key, text[start:end]
        at = _skip(text, end)
        if text[at] == "}":
            return
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
