"""Decides what to do with one secret. A pure function of what is wanted and what exists, which tests run at random."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from .digest import Digest
from .secret import LARGEST, OWNER_TAG, ExistingSecret, WantedSecret

Action = Literal["create", "change", "unchanged", "delete", "refused"]
_VALUE, _RESTORE, _ADOPT = "value", "restore", "adopt"
_REMOVED = "removed"

_DEFAULT_KEY = "alias/aws/secretsmanager"  # the service does not name it
_ROTATED = "Secrets Manager rotates it, and a sync would undo each rotation. End one of the two."
_LOSES = "Its JSON would lose {} of its keys, whose entries the source no longer has. To let that happen, add --prune."


class Step(NamedTuple):
    """What happens to one secret: the action, what of it changes, and why if it is refused. It holds no value."""

    name: str
    action: Action
    changes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def loses_keys(self) -> bool:
        """Whether keys vanish from the secret's JSON."""
        return any(change.endswith(_REMOVED) for change in self.changes)


class Choices(NamedTuple):
    """What holds for all secrets of a run."""

    sync: str  # the id
    digest: Digest | None = None  # None: values are read
    may_lose_keys: bool = False


def step_for(
    wanted: WantedSecret, existing: ExistingSecret | None, choices: Choices, *, adopts: bool
) -> Step:
    """Returns what a sync does with a secret of its source. `adopts`: the user named it in --adopt."""
    if len(wanted.value.content) > LARGEST:
        return _refused(wanted.name, f"It has more than the {LARGEST:,} bytes that Secrets Manager takes.")
    if not wanted.value.content:
        return _refused(wanted.name, "It is empty, and Secrets Manager takes no empty secret.")
    if existing is None:
        return Step(wanted.name, "create")
    if (reason := _foreign(existing, choices.sync, adopts=adopts)) is not None:
        return _refused(wanted.name, reason)
    changes = _changes(wanted, existing, choices)
    if (lost := _lost_keys(wanted, existing)) and _VALUE in changes:
        if not choices.may_lose_keys:
            return _refused(wanted.name, _LOSES.format(lost))
        changes = (f"{lost} {'key' if lost == 1 else 'keys'} {_REMOVED}", *changes)
    if existing.is_rotated and _VALUE in changes:
        return _refused(wanted.name, _ROTATED)
    return Step(wanted.name, "change" if changes else "unchanged", changes)


def step_without(name: str, existing: ExistingSecret, sync: str) -> Step:
    """Returns what a sync with --prune does with a secret that its source does not have."""
    if existing.is_deleted:
        return Step(name, "unchanged")
    if (reason := _foreign(existing, sync, adopts=False)) is not None:
        return _refused(name, reason)
    return Step(name, "delete")


def _refused(name: str, reason: str) -> Step:
    return Step(name, "refused", (), reason)


def _foreign(existing: ExistingSecret, sync: str, *, adopts: bool) -> str | None:
    """Returns why a secret may not be touched, None if it may."""
    if existing.service is not None:
        return f"The service {existing.service} owns it."
    if existing.owner == sync:
        return None
    if existing.owner is not None:
        return f"The sync with the id {existing.owner} owns it."
    if not adopts:
        return "Somebody else made it. To let this sync change it, add --adopt with its name."
    return None


def _lost_keys(wanted: WantedSecret, existing: ExistingSecret) -> int:
    """Counts the keys that the JSON of a secret has, and that the JSON of the source's entries has not."""
    if wanted.keys is None or existing.value is None:
        return 0
    try:
        document = json.loads(existing.value.content)
    except (ValueError, RecursionError):
        return 0
    return len(document.keys() - wanted.keys) if isinstance(document, dict) else 0


def _changes(wanted: WantedSecret, existing: ExistingSecret, choices: Choices) -> tuple[str, ...]:
    settings = wanted.settings
    tags = {**settings.tags, OWNER_TAG: choices.sync}
    changes = []
    if existing.is_deleted:
        changes.append(_RESTORE)
    if existing.owner is None:
        changes.append(_ADOPT)
    elif any(existing.tags.get(key) != value for key, value in tags.items()):
        changes.append("tags")
    if settings.description is not None and settings.description != existing.description:
        changes.append("description")
    if settings.kms_key is not None and not _is_same_key(settings.kms_key, existing.kms_key or ""):
        changes.append("kms_key")
    for region in existing.lacks(settings.replicas):
        failure = existing.replicas.get(region)
        again = f" again, which failed: {failure}" if failure is not None else ""
        changes.append(f"replica in {region}{again}")
    # Last: whoever reads the new value finds the rest in place.
    if choices.digest is not None:
        has_value = choices.digest.matches(existing.version, wanted)
    else:
        has_value = not existing.is_deleted and existing.value == wanted.value
    if not has_value:
        changes.append(_VALUE)
    return tuple(changes)


def _is_same_key(wanted: str, existing: str) -> bool:
    """Returns whether both name one key. The service may answer with the ARN of an alias, or with the id of an ARN."""
    return (
        wanted == existing
        or (existing == "" and wanted.endswith(_DEFAULT_KEY))
        or existing.endswith((f":{wanted}", f":key/{wanted}"))
        or (existing != "" and wanted.endswith(f":key/{existing}"))
    )
