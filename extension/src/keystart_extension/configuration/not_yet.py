"""Refuses what a later version brings, each with its own message, so that nothing is taken without effect."""

from __future__ import annotations

from ..plan import Origin
from .document import Mapping, Node, Scalar
from .errors import Problems
from .reading import found

SETTINGS_KEYS = ("ttl", "snapstart")
ENTRY_KEYS = ("ttl",)


def refuse_in_settings(node: Mapping, problems: Problems) -> None:
    """Checks the keys of the whole configuration; a value that asks for what is done anyway may stay."""
    _refuse_ttl(node, "", problems)
    _refuse_snapstart(node, problems)


def refuse_in_entry(node: Mapping, label: str, problems: Problems) -> None:
    _refuse_ttl(node, f"{label}: ", problems)


def _refuse_ttl(node: Mapping, prefix: str, problems: Problems) -> None:
    ttl = node.get("ttl")
    if ttl is not None and not _is_text(ttl, "none"):
        problems.add(
            f"{prefix}ttl is not there yet in this version: secrets are fetched once per environment. "
            "Remove it.",
            _key_origin(node, "ttl"),
        )


def _refuse_snapstart(node: Mapping, problems: Problems) -> None:
    snapstart = node.get("snapstart")
    if snapstart is None or _is_text(snapstart, "init"):
        return
    if _is_text(snapstart, "first-invoke"):
        problems.add(
            "snapstart: first-invoke is not there yet in this version: under SnapStart the secrets are "
            "fetched during Init, and the snapshot holds them. Write init to accept that.",
            snapstart.origin,
        )
    else:
        problems.add(
            f'"snapstart" must be init, found {found(snapstart, "init", "first-invoke")}.', snapstart.origin
        )


def _is_text(node: Node, text: str) -> bool:
    return isinstance(node, Scalar) and node.text == text


def _key_origin(node: Mapping, key: str) -> Origin:
    return next(name.origin for name, _ in node.members if name.text == key)
