"""Holds what a checked configuration asks for, as plain data; it reads no file and fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .names import characters, is_certain, shown_path

Kind = Literal["secret", "parameter", "parameters"]
Start = Literal["overlap", "before"]


class Origin(NamedTuple):
    """Says where something was configured: a file's path or `KEYSTART_SECRETS`, line and column from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


class Entry(NamedTuple):
    """One thing to fetch.

    `id` is what the service's API takes: a name or an ARN, for a parameter with its `:version` or `:label`,
    for `parameters` a path without a slash at its end (`/` alone stays). `region` None means AWS_REGION. `env` is the
    variable that the exec wrapper puts it into.
    """

    name: str
    kind: Kind
    id: str
    region: str | None
    field: str | None
    expand: bool
    stage: str | None
    version_id: str | None
    role: str | None
    optional: bool
    env: str | None
    origin: Origin


class Link(NamedTuple):
    """A file name below `Plan.links_home` that must lead to the published secret `name`."""

    name: str
    path: str


class Plan(NamedTuple):
    """The whole configuration of one start.

    `deadline` is in seconds, `links_home` is None without links, `batch` asks for secrets with BatchGetSecretValue.
    """

    start: Start
    deadline: float
    region: str | None
    entries: tuple[Entry, ...]
    links: tuple[Link, ...]
    links_home: str | None
    source_file: str
    batch: bool = False
    env_overwrite: bool = False

    @property
    def source(self) -> str:
        """What messages call the file, or the variable, that the plan is from."""
        return self.source_file if self.source_file == "KEYSTART_SECRETS" else shown_path(self.source_file)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of the plan as data, for the core."""
        entries = [{**entry._asdict(), "origin": entry.origin._asdict()} for entry in self.entries]
        return {**self._asdict(), "entries": entries, "links": [link._asdict() for link in self.links]}

    def to_shown_dict(self) -> dict[str, Any]:
        """Returns the plan as data for `keystart check --json`: with ids, and nothing that may be a secret."""
        shown = self.to_dict()
        for entry in shown["entries"]:
            field = entry["field"]
            if field is not None and not is_certain(field, "name"):
                entry["field"] = {"characters": len(field)}
        return {**shown, "source_file": self.source}

    def describe(self) -> str:
        """Gives the plan as text for people, one line an entry."""
        region = self.region or "AWS_REGION"
        lines = [
            f"configuration  {self.source}",
            f"start          {self.start}",
            f"deadline       {seconds_text(self.deadline)}",
            f"region         {region}",
            *(["batch          true"] if self.batch else []),
        ]
        lines += ["env_overwrite  true"] if self.env_overwrite else []
        rows = [("NAME", "SOURCE", "ID", "REGION", "DETAILS")]
        rows += [
            (_target(entry), entry.kind, entry.id, entry.region or region, _details(entry))
            for entry in self.entries
        ]
        lines += ["", *_table(rows)]
        if self.links_home is not None:
            links = [("LINK", "SECRET")] + [
                (f"{self.links_home}/{link.path}", link.name) for link in self.links
            ]
            lines += ["", *_table(links)]
        return "\n".join(lines) + "\n"


def seconds_text(seconds: float) -> str:
    """Writes seconds the way a configuration writes them: `500ms`, `8s`."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _target(entry: Entry) -> str:
    """Shows that the names below an entry are known only after the fetch."""
    return f"{entry.name}/*" if entry.expand or entry.kind == "parameters" else entry.name


def _details(entry: Entry) -> str:
    details = [_field(entry.field)] if entry.field is not None else []
    details += [f"stage {entry.stage}"] if entry.stage is not None else []
    details += [f"version {entry.version_id}"] if entry.version_id is not None else []
    details += [f"role {entry.role}"] if entry.role is not None else []
    details += ["expand"] if entry.expand else []
    details += ["optional"] if entry.optional else []
    details += [f"env {entry.env}"] if entry.env is not None else []
    return ", ".join(details)


def _field(field: str) -> str:
    return f"field {field}" if is_certain(field, "name") else f"field of {characters(field)}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
