"""Reads the config.yaml of Square's extension as its own program does; it makes no links."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as Environ

from ..names import is_certain, is_name, quote
from ..plan import Entry, Link, Plan
from .document import Mapping, Node, Scalar, place
from .entries import check_together, refuse_name, short_entry
from .errors import Problems
from .reading import found, is_nothing, mapping, plain_text, refuse_unknown, sequence
from .references import IN_BASE64
from .settings import DEFAULT_DEADLINE
from .settings import SQUARES_KEY as KEY

# Documented is the first; their program listens only to the second.
_HOMES = ("SecretsHome", "secretshome")
# What a path may be of so that it certainly is no secret (names.py).
_CHARACTERS = 'letters, digits and "/_.@+!,~-", or "=" before a letter or digit'
_DEFAULT_HOME = "/tmp/secrets"  # noqa: S108
_DEFAULT_STORE = "/tmp/keystart"  # contract 6.1.1  # noqa: S108


def is_square(root: Mapping) -> bool:
    """Says whether a document is theirs. Other keys beside theirs may be the function's own."""
    keys = {key.text for key, _ in root.members}
    return KEY in keys and not {"version", "secrets"} <= keys


def read_square(root: Mapping, file: str, environ: Environ[str, str], problems: Problems) -> Plan:
    """Gives the plan of a document that `is_square`. It is only of use when there are no problems."""
    home = _read_home(root, problems)
    read = _read_managers(root, problems)
    _refuse_merged(read, problems)
    check_together([entry for entry, _ in read], problems)
    store = os.path.abspath(environ.get("KEYSTART_DIR") or _DEFAULT_STORE)  # noqa: PTH100 it is not read
    for entry, link in read:
        if _overlap(os.path.normpath(f"{home}/{link.path}"), store):
            problems.add(
                f"The file {quote(link.path)} would lie in the store itself. Choose another SecretsHome or file name.",
                entry.origin,
            )
    return Plan(
        start="before",  # their functions read the files at import
        deadline=DEFAULT_DEADLINE,
        region=None,
        entries=tuple(entry for entry, _ in read),
        links=tuple(link for _, link in read),
        links_home=home or "/",
        source_file=file,
    )


def _read_home(root: Mapping, problems: Problems) -> str:
    homes: list[tuple[Scalar, str]] = []
    for key, node in root.members:
        if key.text in _HOMES:
            home = _text(node, f'"{key.text}"', problems)
            if home is not None and not home.startswith("/"):
                problems.add(f'"{key.text}" must be an absolute path, found {found(node)}.', node.origin)
            elif home is not None and home.strip("/") and not is_certain(home.rstrip("/"), "path"):
                problems.add(f'"{key.text}" must be a path of {_CHARACTERS}.', node.origin)
            elif home is not None:
                homes.append((key, home.rstrip("/")))
        elif key.text.lower() == _HOMES[1]:
            problems.add(
                f'Square\'s extension has no key {quote(key.text)}. Did you mean "SecretsHome"?', key.origin
            )
    if len(homes) == 2 and homes[0][1] != homes[1][1]:
        problems.add(
            f'"{homes[1][0].text}" is not the same as "{homes[0][0].text}" ({place(homes[0][0].origin)}). '
            "Keep one of them.",
            homes[1][0].origin,
        )
    return homes[0][1] if homes else _DEFAULT_HOME


def _read_managers(root: Mapping, problems: Problems) -> list[tuple[Entry, Link]]:
    told = problems.count
    managers = next((value for key, value in root.members if key.text == KEY))
    read: list[tuple[Entry, Link] | None] = []
    for manager in _items(managers, f'"{KEY}"', problems):
        members = mapping(manager, f'An item of "{KEY}"', problems)
        if members is None:
            continue
        refuse_unknown(members, f'An item of "{KEY}"', ("prefix", "secrets"), problems)
        prefix = _text(members.get("prefix"), '"prefix"', problems) or ""
        if prefix.endswith("="):
            problems.add(f'"prefix" ends in "=". {IN_BASE64}', members.origin)
        secrets = _items(members.get("secrets"), '"secrets"', problems)
        read.extend(_read_secret(prefix, secret, problems) for secret in secrets)
    if not read and problems.count == told:
        problems.add("There are no secrets. Name at least one.", managers.origin)
    return [secret for secret in read if secret is not None]


def _read_secret(prefix: str, node: Node, problems: Problems) -> tuple[Entry, Link] | None:
    secret = mapping(node, 'An item of "secrets"', problems)
    if secret is None:
        return None
    told = problems.count
    refuse_unknown(secret, 'An item of "secrets"', ("secretname", "filename"), problems)
    secretname = _text(secret.get("secretname"), '"secretname"', problems)
    filename = _text(secret.get("filename"), '"filename"', problems) or secretname
    if problems.count > told:
        return None
    if secretname is None or filename is None:
        problems.add('"secretname" is missing.', secret.origin)
        return None
    entry = short_entry(
        _stored_name(filename), prefix + secretname, None, secret.origin, secret.origin, "", problems
    )
    if any(segment in ("", ".", "..") for segment in filename.split("/")):
        problems.add(
            "The file name is not a path inside the folder of secrets. Give one that is "
            'relative, without "." and "..", and without empty parts.',
            secret.origin,
        )
    elif not is_certain(filename, "path"):
        # Its name in the store would show most of it.
        problems.add(f"The file name must be of {_CHARACTERS}.", secret.origin)
    elif entry is not None and not is_name(entry.name):
        refuse_name(entry.name, "The file's name names a secret too. ", secret.origin, problems)
    elif entry is not None:
        return entry, Link(entry.name, filename)
    return None


def _stored_name(filename: str) -> str:
    """Puts `_` for each byte that a name cannot have, and for a dot or dash at the front of a segment."""
    name = re.sub("[^A-Za-z0-9_./-]", lambda other: "_" * len(other[0].encode()), filename)
    return re.sub("(?:^|(?<=/))[.-]", "_", name)


def _refuse_merged(read: list[tuple[Entry, Link]], problems: Problems) -> None:
    seen: dict[str, tuple[Entry, Link]] = {}
    for entry, link in read:
        first, first_link = seen.setdefault(entry.name, (entry, link))
        if first is not entry:
            problems.add(
                f"The files {quote(first_link.path)} ({place(first.origin)}) and {quote(link.path)} are both "
                f"stored as {quote(entry.name)}. Rename one of them.",
                entry.origin,
            )


def _overlap(path: str, store: str) -> bool:
    return path == store or path.startswith(f"{store}/") or store.startswith(f"{path}/")


def _items(node: Node | None, what: str, problems: Problems) -> tuple[Node, ...]:
    """Reads a list; nothing is an empty one, as in their program."""
    return () if node is None or is_nothing(node) else sequence(node, what, problems)


def _text(node: Node | None, what: str, problems: Problems) -> str | None:
    """Reads a text as their program does: as it was written, `0123` too; nothing and "" count as missing."""
    if node is None or is_nothing(node) or (isinstance(node, Scalar) and node.text == ""):
        return None
    if not isinstance(node, Scalar):
        problems.add(f"{what} must be text, found {found(node)}.", node.origin)
        return None
    return plain_text(node, what, problems)
