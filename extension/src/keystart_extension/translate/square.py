"""The config.yaml of Square's extension, which the core reads."""

from __future__ import annotations

from pathlib import Path

from ..plan import ConfigurationError, Plan
from .documents import Document
from .findings import Findings, Place, Secret


def is_square(document: Document) -> bool:
    """Returns whether a document is Square's."""
    return document.get("SecretManagers") is not None


def read(path: Path, file: str, findings: Findings) -> None:
    """Finds the secrets of the file."""
    try:
        plan = Plan.file(path, {})
    except ConfigurationError as error:
        for problem in error.problems:
            findings.refuse(Place(file, problem["line"] or 1), problem["message"])
        return
    for entry in plan.facts["entries"]:
        place = Place(file, entry["origin"]["line"] or 1)
        findings.secrets.append(Secret(entry["name"], {"secret": entry["id"]}, place, region=entry["region"]))
    findings.note(
        f"Keystart also reads this file as it is, and then makes the files in {plan.facts['links_home']}. With the new "
        "one the code reads the secrets by their names."
    )
