"""Reads Keystart's own file, from `version` to `secrets`."""

from __future__ import annotations

from ..plan import Plan, Start, seconds_text
from . import not_yet
from .document import Mapping, Node, Scalar
from .entries import read_entries
from .errors import Problems
from .reading import boolean, duration, found, refuse_unknown, text
from .references import is_region

DEFAULT_DEADLINE = 8.0
# Init may take 10 s on demand, but 15 min with provisioned concurrency.
_DEADLINES = range(100, 15 * 60_000 + 1)
# What a file of Square's extension begins with (square.py).
SQUARES_KEY = "SecretManagers"
_KEYS = ("version", "start", "deadline", "region", "batch", "env_overwrite", "secrets")


def read_settings(root: Node, file: str, problems: Problems) -> Plan:
    """Gives the plan of a document. It is only of use when there are no problems."""
    if not isinstance(root, Mapping):
        problems.add(f"The configuration must be a mapping, found {found(root)}.", root.origin)
        root = Mapping((), root.origin)
    else:
        elsewhere = (*not_yet.SETTINGS_KEYS, SQUARES_KEY)
        refuse_unknown(root, "The configuration", _KEYS, problems, elsewhere=elsewhere)
        for key, _ in root.members:
            if key.text == SQUARES_KEY:
                problems.add(
                    f'"{SQUARES_KEY}" belongs to the file of Square\'s extension, which has no "version". Remove one.',
                    key.origin,
                )
        not_yet.refuse_in_settings(root, problems)
        _check_version(root, problems)
    region = _read_region(root, problems)
    batch, overwrite = root.get("batch"), root.get("env_overwrite")
    secrets = root.get("secrets")
    if secrets is None and root.members:
        problems.add('"secrets" is missing. Name at least one secret.', root.origin)
    return Plan(
        start=_read_start(root, problems),
        deadline=_read_deadline(root, problems),
        region=region,
        entries=() if secrets is None else read_entries(secrets, region, problems),
        links=(),
        links_home=None,
        source_file=file,
        batch=batch is not None and boolean(batch, '"batch"', problems),
        env_overwrite=overwrite is not None and boolean(overwrite, '"env_overwrite"', problems),
    )


def _check_version(root: Mapping, problems: Problems) -> None:
    version = root.get("version")
    if version is None:
        problems.add('"version" is missing. Write "version: 1" at the top.', root.origin)
    elif not (isinstance(version, Scalar) and version.plain and version.text == "1"):
        problems.add(f'"version" must be the number 1, found {found(version)}.', version.origin)


def _read_start(root: Mapping, problems: Problems) -> Start:
    node = root.get("start")
    if node is None:
        return "overlap"
    match text(node, '"start"', problems):
        case "overlap":
            return "overlap"
        case "before":
            return "before"
        case str():
            what = found(node, "overlap", "before")
            problems.add(f'"start" must be overlap or before, found {what}.', node.origin)
    return "overlap"


def _read_deadline(root: Mapping, problems: Problems) -> float:
    node = root.get("deadline")
    milliseconds = None if node is None else duration(node, '"deadline"', problems)
    if node is None or milliseconds is None:
        return DEFAULT_DEADLINE
    if milliseconds not in _DEADLINES:
        problems.add(
            f'"deadline" must be from 100ms to 15m, found {seconds_text(milliseconds / 1000)}.', node.origin
        )
    return milliseconds / 1000


def _read_region(root: Mapping, problems: Problems) -> str | None:
    node = root.get("region")
    region = None if node is None else text(node, '"region"', problems)
    if node is not None and region is not None and not is_region(region):
        problems.add(f'"region" must be a region such as eu-west-1, found {found(node)}.', node.origin)
    return region
