"""Writes a checked configuration as the keystart.json that a cold start reads fastest; it reads none itself."""

from __future__ import annotations

import json
from typing import Any

from .plan import Entry, Plan, seconds_text


def compiled(plan: Plan) -> str:
    """Gives the text of a keystart.json with the same plan: ASCII, and with a plan of Square's in their form."""
    document = _settings(plan) if plan.links_home is None else _square(plan)
    return json.dumps(document, indent=2) + "\n"


def _settings(plan: Plan) -> dict[str, Any]:
    region = {} if plan.region is None else {"region": plan.region}
    batch = {"batch": True} if plan.batch else {}
    secrets = {entry.name: _secret(entry) for entry in plan.entries}
    deadline = seconds_text(plan.deadline)
    return {"version": 1, "start": plan.start, "deadline": deadline, **region, **batch, "secrets": secrets}


def _secret(entry: Entry) -> dict[str, Any]:
    # Its region is that of the plan, or that of an ARN, which stands in the id.
    parts: dict[str, Any] = {entry.kind: entry.id}
    for key in ("field", "expand", "stage", "version_id", "role", "optional"):
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
