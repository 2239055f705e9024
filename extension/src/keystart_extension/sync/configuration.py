"""Reads sync.yaml: where the secrets live, what they are called in Secrets Manager, and the id that marks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..text import is_region, shown_path
from .error import SyncError
from .rules import Rule
from .secret import OWNER_TAG
from .sources import Source, keywhiz
from .sources.folder import Folder
from .sources.keywhiz import Keywhiz

_ID = re.compile("[a-z0-9][a-z0-9-]{0,62}")
_LARGEST = 1 << 20  # bytes of sync.yaml
_TWICE = "a key stands twice"
# PyYAML raises all of them, for example an IndexError for `!!int ""`.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_SHORTEST_WINDOW, _LONGEST_WINDOW = 7, 30  # days, as Secrets Manager defines them


class Configuration(NamedTuple):
    """The contents of sync.yaml."""

    id: str
    source: Source
    region: str | None
    recovery_days: int
    rules: tuple[Rule, ...]


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML would take the last one."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = set()
    for key, _ in node.value:
        name = loader.construct_object(key)
        if name in names:
            raise yaml.constructor.ConstructorError(None, None, _TWICE, key.start_mark)
        names.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def is_of_sync(path: Path) -> bool:
    """Returns whether a file can be read and is a mapping with a `source`, as only a sync.yaml is."""
    try:
        document = _document(path)
    except SyncError:
        return False
    return isinstance(document, dict) and "source" in document


def read(path: Path) -> Configuration:
    """Reads a sync.yaml. Raises SyncError with the key that is wrong."""
    document = _document(path)
    try:
        return _configuration(document, path.parent)
    except SyncError as error:
        raise SyncError(f"{shown_path(str(path))}: {error}") from None


def _document(path: Path) -> object:
    shown = shown_path(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise SyncError(f"{shown} cannot be read: {error.strerror}.") from None
    if len(data) > _LARGEST:
        raise SyncError(f"{shown} has more than {_LARGEST:,} bytes.")
    try:
        document: object = yaml.load(data, _Loader)  # noqa: S506 (_Loader is a SafeLoader)
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = _TWICE if getattr(error, "problem", None) == _TWICE else "this is not YAML"
        raise SyncError(f"{shown}{where}: {problem}.") from None
    return document


def _configuration(document: object, folder: Path) -> Configuration:
    keys = _keys(document, "", required=("version", "id", "source", "secrets"), optional=("target",))
    if type(keys["version"]) is not int or keys["version"] != 1:
        raise SyncError("`version` must be 1.")
    identity = _text(keys["id"], "id")
    if not _ID.fullmatch(identity):
        raise SyncError(
            "`id` must be 1 to 63 lowercase letters, digits and hyphens, such as payments. It marks the secrets of "
            "this sync, so never change it."
        )
    target = _keys(keys.get("target", {}), "target", optional=("region", "recovery_days"))
    region = target.get("region")
    if region is not None and not (isinstance(region, str) and is_region(region)):
        raise SyncError("`target.region` is not a region such as eu-west-1.")
    days = target.get("recovery_days", _LONGEST_WINDOW)
    if type(days) is not int or not _SHORTEST_WINDOW <= days <= _LONGEST_WINDOW:
        raise SyncError(f"`target.recovery_days` must be {_SHORTEST_WINDOW} to {_LONGEST_WINDOW} days.")
    rules = keys["secrets"]
    if not isinstance(rules, list) or not rules:
        raise SyncError("`secrets` must be a list of rules, such as: - name: prod/{name}")
    return Configuration(
        identity,
        _source(keys["source"], folder),
        region,
        days,
        tuple(_rule(rule, f"secrets[{position}]") for position, rule in enumerate(rules)),
    )


def _source(document: object, folder: Path) -> Source:
    kinds: Mapping[str, Callable[[object], Source]] = {
        "folder": lambda value: Folder(folder / _text(value, "source.folder")),
        "keywhiz": lambda value: _keywhiz(value, folder),
    }
    keys = _keys(document, "source", optional=tuple(kinds))
    if len(keys) != 1:
        raise SyncError(f"`source` must have one of these keys: {', '.join(kinds)}.")
    ((kind, value),) = keys.items()
    return kinds[kind](value)


def _keywhiz(document: object, folder: Path) -> Source:
    where = "source.keywhiz"
    files = ("certificate", "key", "ca")
    keys = _keys(document, where, required=("url", *files), optional=("automation",))
    url = _text(keys["url"], f"{where}.url")
    if not url.startswith("https://"):
        raise SyncError(f"`{where}.url` must begin with https://")
    automation = keys.get("automation", False)
    if not isinstance(automation, bool):
        raise SyncError(f"`{where}.automation` must be true or false.")
    certificate, key, authority = (_file(folder, keys[name], f"{where}.{name}") for name in files)
    return Keywhiz(keywhiz.Settings(url, certificate, key, authority, is_automation=automation))


def _file(folder: Path, value: object, where: str) -> Path:
    path = folder / _text(value, where)
    if not path.is_file():
        raise SyncError(f"`{where}` does not name a file.")
    return path


def _rule(document: object, where: str) -> Rule:
    keys = _keys(
        document,
        where,
        required=("name",),
        optional=("include", "exclude", "tags", "description", "kms_key", "replicas"),
    )
    tags = keys.get("tags", {})
    if not isinstance(tags, dict):
        raise SyncError(f"`{where}.tags` must be a mapping of tags to values.")
    for key, value in tags.items():
        _text(key, f"{where}.tags")
        _text(value, f"{where}.tags.{key}")
        if key == OWNER_TAG or key.startswith("aws:"):
            raise SyncError(f"`{where}.tags` must not set {key}.")
    regions = _texts(keys.get("replicas", []), f"{where}.replicas")
    if not all(map(is_region, regions)):
        raise SyncError(f"`{where}.replicas` must list regions such as eu-west-1.")
    rule = Rule(
        name=_text(keys["name"], f"{where}.name"),
        include=_texts(keys.get("include", ["*"]), f"{where}.include"),
        exclude=_texts(keys.get("exclude", []), f"{where}.exclude"),
        tags=tags,
        description=_text(keys["description"], f"{where}.description") if "description" in keys else None,
        kms_key=_text(keys["kms_key"], f"{where}.kms_key") if "kms_key" in keys else None,
        replicas=regions,
    )
    if (problem := rule.problem()) is not None:
        raise SyncError(f"`{where}`: {problem}")
    return rule


def _keys(
    document: object, where: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns a mapping that has all required keys, and no unknown one."""
    of = f"`{where}`" if where else "The file"
    if not isinstance(document, dict):
        raise SyncError(f"{of} must be a mapping.")
    known = required + optional
    for key in document:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            # An unknown key that is close to a known one is not a secret.
            cure = f"Did you mean `{close[0]}`?" if close else f"Known are {', '.join(known)}."
            raise SyncError(f"{of} has an unknown key. {cure}")
    if missing := [key for key in required if key not in document]:
        raise SyncError(f"{of} lacks `{missing[0]}`.")
    return document


def _text(value: object, where: str) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise SyncError(f"`{where}` must be text.")


def _texts(value: object, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(_text(item, where) for item in values)
