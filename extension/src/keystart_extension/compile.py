"""Writes a checked configuration in the forms that a cold start reads fastest: keystart.json, or KEYSTART_SECRETS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .plan import Entry, Origin, Plan, seconds_text

_JSON, _YAML = 0, 1  # of keystart_plan_read


class DoesNotFit(Exception):
    """Says what of a configuration KEYSTART_SECRETS cannot hold."""


def compiled(plan: Plan) -> str:
    """Gives the text of a keystart.json with the same plan: ASCII, and with a plan of Square's in their form."""
    document = _settings(plan) if plan.links_home is None else _square(plan)
    return json.dumps(document, indent=2) + "\n"


def is_compiled(file: Path) -> bool:
    """Says whether `compiled` wrote a file: the plan in it, compiled again, is the same text."""
    from .configuration import ConfigurationError, load_file

    try:
        return compiled(load_file(file, os.environ)).encode() == file.read_bytes()
    except ConfigurationError:
        return False


def is_quicker(plan: Plan) -> bool:
    """Says whether a cold start reads at once what `compiled` gives, and not the file that the plan is from."""
    file = Path(plan.source_file)
    if not file.is_file():  # a variable
        return False
    form = _JSON if file.suffix == ".json" else _YAML
    return not _is_read_at_once(file.read_bytes(), form) and _is_read_at_once(compiled(plan).encode(), _JSON)


def _is_read_at_once(text: bytes, form: int) -> bool:
    """Says whether the core reads it by itself."""
    from . import core

    return core.give_text(core.lib.keystart_plan_read, text, len(text), form) != ""


def inline(plan: Plan, region: str) -> str:
    """Gives the text of KEYSTART_SECRETS that means the same to a function in `region`; raises DoesNotFit."""
    from .configuration import ConfigurationError, load
    from .configuration.inline import VARIABLE

    pairs = ",".join(f"{entry.name}={_reference(entry)}" for entry in plan.entries)
    secrets = {entry.name: _shortest(entry) for entry in plan.entries}
    wanted, lost = _meaning(plan, region), set[str]()
    # Read again, so that nothing is taken that would be lost on the way.
    for text in (pairs, json.dumps(secrets, separators=(",", ":"))):
        try:
            read = _meaning(load({VARIABLE: text}), region)
        except ConfigurationError:
            continue
        if read == wanted:
            return text
        lost = {key for key in wanted if read[key] != wanted[key]} - {"entries"}
    what = "Square's file" if plan.links_home is not None else " and ".join(f"{key}:" for key in sorted(lost))
    raise DoesNotFit(f"{VARIABLE} holds what stands under secrets: and nothing else, so not {what}.")


def _meaning(plan: Plan, region: str) -> dict[str, Any]:
    """Gives all of a plan that a start depends on."""
    nowhere = Origin("")
    entries = [
        entry._replace(region=entry.region or plan.region or region, origin=nowhere) for entry in plan.entries
    ]
    return plan._replace(region=plan.region or region, entries=tuple(entries), source_file="")._asdict()


def _shortest(entry: Entry) -> str | dict[str, Any]:
    parts = _secret(entry)
    return _reference(entry) if list(parts) in (["secret"], ["parameter"]) else parts


def _settings(plan: Plan) -> dict[str, Any]:
    region = {} if plan.region is None else {"region": plan.region}
    batch = {"batch": True} if plan.batch else {}
    secrets = {entry.name: _secret(entry) for entry in plan.entries}
    deadline = seconds_text(plan.deadline)
    overwrite = {"env_overwrite": True} if plan.env_overwrite else {}
    return {
        "version": 1,
        "start": plan.start,
        "deadline": deadline,
        **region,
        **batch,
        **overwrite,
        "secrets": secrets,
    }


def _secret(entry: Entry) -> dict[str, Any]:
    # Its region is that of the plan, or that of an ARN, which stands in the id.
    parts: dict[str, Any] = {entry.kind: entry.id}
    for key in ("field", "expand", "stage", "version_id", "role", "optional", "env"):
        if value := getattr(entry, key):
            parts[key] = value
    return parts


def _square(plan: Plan) -> dict[str, Any]:
    entries = {entry.name: entry for entry in plan.entries}
    secrets = [{"secretname": _reference(entries[link.name]), "filename": link.path} for link in plan.links]
    return {"SecretManagers": [{"secrets": secrets}], "SecretsHome": plan.links_home}


def _reference(entry: Entry) -> str:
    if entry.kind == "parameter":
        return entry.id if entry.id.startswith("arn:") else f"ssm:{entry.id}"
    parts = (entry.field, entry.stage, entry.version_id)
    return ":".join((entry.id, *(part or "" for part in parts))) if any(parts) else entry.id
