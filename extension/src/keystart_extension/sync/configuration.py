"""Reads sync.yaml: where the secrets live, what they are called in Secrets Manager, and the id that marks them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..files import FileError, read_bytes
from ..text import is_region, shown_path
from .digest import Settings as DigestSettings
from .error import SyncError
from .keys import Place, keys_of, region_of, some_of, text_of, texts_of
from .rules import Rule
from .secret import OWNER_TAG
from .sources import Source

_ID = re.compile("[a-z0-9][a-z0-9-]{0,62}")
_LARGEST = 1 << 20  # bytes of sync.yaml
_TWICE = "a key is there twice"
# PyYAML raises all of them, for example an IndexError for `!!int ""`.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_KINDS = ("folder", "keywhiz", "vault", "sops", "dotenv", "secrets_manager", "parameter_store")
_PACKAGES = {"vault": "hvac", "dotenv": "python-dotenv"}  # what a kind needs, under an extra of its name
_SHORTEST_WINDOW, _LONGEST_WINDOW = 7, 30  # days, as Secrets Manager defines them


class Configuration(NamedTuple):
    """The contents of sync.yaml."""

    id: str
    source: Source
    region: str | None
    recovery_days: int
    rules: tuple[Rule, ...]
    digest: DigestSettings | None = None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice; YAML would take the last one."""


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


def read(path: Path, profile: str | None = None) -> Configuration:
    """Reads a sync.yaml, for an AWS profile. Raises SyncError with the key that is wrong."""
    document = _document(path)
    try:
        return _configuration(document, Place(path.parent, profile))
    except SyncError as error:
        raise SyncError(f"{shown_path(str(path))}: {error}") from None


def _document(path: Path) -> object:
    shown = shown_path(str(path))
    try:
        data = read_bytes(path, _LARGEST)
    except FileError as error:
        cure = "" if path.exists() else " Name your sync.yaml, or change to its folder."
        raise SyncError(f"{shown} {error}{cure}") from None
    try:
        document: object = yaml.load(data, _Loader)  # noqa: S506 (_Loader is a SafeLoader)
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = _TWICE if getattr(error, "problem", None) == _TWICE else "this is not YAML"
        raise SyncError(f"{shown}{where}: {problem}.") from None
    return document


def _is_of_function(document: dict[Any, Any]) -> bool:
    """Returns whether a file without a source has secrets as a function's configuration has them, or Square's."""
    return "source" not in document and (
        isinstance(document.get("secrets"), dict) or "SecretManagers" in document
    )


def _configuration(document: object, place: Place) -> Configuration:
    if isinstance(document, dict) and _is_of_function(document):
        raise SyncError(
            "This is the configuration of a function. Run keystart check with it, or name a sync.yaml, which has a "
            "`source`."
        )
    given = keys_of(document, "", required=("version", "id", "source", "secrets"), optional=("target",))
    if type(given["version"]) is not int or given["version"] != 1:
        raise SyncError("`version` must be 1.")
    identity = text_of(given["id"], "id")
    if not _ID.fullmatch(identity):
        raise SyncError(
            "`id` must be 1 to 63 lowercase letters, digits and hyphens, such as payments. It marks the secrets of "
            "this sync, so never change it."
        )
    target = keys_of(given.get("target", {}), "target", optional=("region", "recovery_days", "digest"))
    region = region_of(target["region"], "target.region") if "region" in target else None
    days = target.get("recovery_days", _LONGEST_WINDOW)
    if type(days) is not int or not _SHORTEST_WINDOW <= days <= _LONGEST_WINDOW:
        raise SyncError(f"`target.recovery_days` must be {_SHORTEST_WINDOW} to {_LONGEST_WINDOW} days.")
    rules = given["secrets"]
    if not isinstance(rules, list) or not rules:
        raise SyncError("`secrets` must be a list of rules, such as: - name: prod/{name}")
    found = tuple(_rule(rule, f"secrets[{position}]") for position, rule in enumerate(rules))
    compared = _digest(target["digest"]) if "digest" in target else None
    if compared is not None and any(rule.json is not None for rule in found):
        # Nobody could say which keys the secret loses.
        raise SyncError(
            "`json` needs to read secrets, so it cannot be used with `target.digest`. Leave one of them out."
        )
    return Configuration(identity, _source(given["source"], place), region, days, found, compared)


def _digest(document: object) -> DigestSettings:
    where = "target.digest"
    kinds = ("kms", "secret")
    given = keys_of(document, where, optional=kinds)
    if len(given) != 1:
        raise SyncError(f"`{where}` must have exactly one of these keys: {', '.join(kinds)}.")
    kms, secret = (text_of(given[kind], f"{where}.{kind}") if kind in given else None for kind in kinds)
    return DigestSettings(kms, secret)


def _source(document: object, place: Place) -> Source:
    given = keys_of(document, "source", optional=_KINDS)
    if len(given) != 1:
        raise SyncError(f"`source` must have exactly one of these keys: {', '.join(_KINDS)}.")
    ((kind, value),) = given.items()
    try:
        # Only the source that a file names: each may need a package that others do not.
        module = import_module(f".sources.{kind}", __package__)
    except ModuleNotFoundError:
        if kind not in _PACKAGES:
            raise
        raise SyncError(
            f"{_PACKAGES[kind]}, which reads the source {kind}, is not installed. Run: pip install "
            f"'keystart-extension[{kind}]'"
        ) from None
    made: Source = module.source(value, place)
    return made


def _rule(document: object, where: str) -> Rule:
    given = keys_of(
        document,
        where,
        required=("name",),
        optional=("include", "exclude", "tags", "description", "kms_key", "replicas", "json"),
    )
    tags = given.get("tags", {})
    if not isinstance(tags, dict):
        raise SyncError(f"`{where}.tags` must be a mapping of tags to values.")
    for key, value in tags.items():
        text_of(key, f"{where}.tags")
        text_of(value, f"{where}.tags.{key}")
        if key == OWNER_TAG or key.startswith("aws:"):
            raise SyncError(f"`{where}.tags` must not set {key}.")
    regions = texts_of(given.get("replicas", []), f"{where}.replicas")
    if not all(map(is_region, regions)):
        raise SyncError(f"`{where}.replicas` must list regions such as eu-west-1.")
    rule = Rule(
        name=text_of(given["name"], f"{where}.name"),
        include=some_of(given.get("include", ["*"]), f"{where}.include"),
        exclude=texts_of(given.get("exclude", []), f"{where}.exclude"),
        tags=tags,
        description=text_of(given["description"], f"{where}.description") if "description" in given else None,
        kms_key=text_of(given["kms_key"], f"{where}.kms_key") if "kms_key" in given else None,
        replicas=regions,
        json=text_of(given["json"], f"{where}.json") if "json" in given else None,
    )
    if (problem := rule.problem()) is not None:
        raise SyncError(f"`{where}`: {problem}")
    return rule
