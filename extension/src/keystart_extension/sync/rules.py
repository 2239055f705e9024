"""Which of a source's entries become which secret: the rules of sync.yaml, the first that matches an entry decides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from .error import SyncError
from .secret import Settings
from .sources import Entry

_FIELD = re.compile(r"\{([^{}]*)\}")
_METADATA = "metadata."
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_LONGEST_TAG = 256  # characters of a tag's value


class Rule(NamedTuple):
    """One rule: the entries that it is for, and templates for their names and settings."""

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    tags: Mapping[str, str]
    description: str | None
    kms_key: str | None
    replicas: tuple[str, ...]
    json: str | None = None  # the key of an entry, if several become one secret in JSON

    def matches(self, entry: Entry) -> bool:
        """Returns whether the rule is for this entry."""
        return any(fnmatchcase(entry.name, pattern) for pattern in self.include) and not any(
            fnmatchcase(entry.name, pattern) for pattern in self.exclude
        )

    def problem(self) -> str | None:
        """Returns what is wrong with the rule itself, None if nothing is."""
        for template in (self.name, self.description or "", self.json or "", *self.tags.values()):
            for field in _FIELD.findall(template):
                if field not in ("name", "basename") and not field.startswith(_METADATA):
                    return "A template knows {name}, {basename} and {metadata.KEY}."
        return None

    def secret_name(self, entry: Entry) -> str:
        """Returns the name in Secrets Manager. Raises SyncError if it could not be one."""
        name = _filled(self.name, entry)
        if not _SECRET_NAME.fullmatch(name):
            raise SyncError(
                "Its name would hold what Secrets Manager does not allow: only letters, digits and /_+=.@-"
            )
        return name

    def key(self, entry: Entry) -> str:
        """Returns the key of an entry in the JSON of its secret. Raises SyncError if it could not be one."""
        key = "" if self.json is None else _filled(self.json, entry)
        if any("\ud800" <= character <= "\udfff" for character in key):  # of a file's name that is not UTF-8
            raise SyncError("The key in its JSON would not be text. Change the rules, or its name.")
        return key

    def settings(self, entry: Entry) -> Settings:
        """Returns what the rule sets on the secret beside its value."""
        tags = {key: _filled(value, entry)[:_LONGEST_TAG] for key, value in self.tags.items()}
        description = None if self.description is None else _filled(self.description, entry)
        return Settings(tags, description, self.kms_key, self.replicas)


def rule_for(rules: Sequence[Rule], entry: Entry) -> Rule | None:
    """Returns the first rule that is for an entry, None if it is not to be synchronised."""
    return next((rule for rule in rules if rule.matches(entry)), None)


def _filled(template: str, entry: Entry) -> str:
    def value(field: re.Match[str]) -> str:
        if field[1] == "name":
            return entry.name
        if field[1] == "basename":
            return entry.name.rpartition("/")[2]
        key = field[1].removeprefix(_METADATA)
        if key not in entry.metadata:
            raise SyncError(f"It has no metadata {key}, which a template of its rule uses.")
        return entry.metadata[key]

    return _FIELD.sub(value, template)
