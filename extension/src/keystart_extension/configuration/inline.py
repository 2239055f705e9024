"""Reads the variable KEYSTART_SECRETS: the mapping of secrets as JSON, or `name=id` pairs."""

from __future__ import annotations

from ..names import is_name, quote
from ..plan import Entry, Origin, Plan
from .document import Mapping, place
from .entries import check_together, read_entries, refuse_name, short_entry
from .errors import Problems
from .json_document import Positions, parse_json
from .settings import DEFAULT_DEADLINE

VARIABLE = "KEYSTART_SECRETS"


def read_inline(value: str, problems: Problems) -> Plan:
    """Gives the plan of the variable's value; everything but the secrets is as by default."""
    is_json = value.lstrip().startswith("{")
    entries = _read_json(value, problems) if is_json else _read_pairs(value, problems)
    return Plan("overlap", DEFAULT_DEADLINE, None, entries, (), None, VARIABLE)


def _read_json(value: str, problems: Problems) -> tuple[Entry, ...]:
    root = parse_json(value, VARIABLE)
    if isinstance(root, Mapping) and root.get("version") is not None and root.get("secrets") is not None:
        problems.add(
            'This variable holds only what stands under "secrets". For the rest write a file.', root.origin
        )
        return ()
    return read_entries(root, None, problems)


def _read_pairs(value: str, problems: Problems) -> tuple[Entry, ...]:
    positions = Positions(value, VARIABLE)
    entries: list[Entry] = []
    end = -1
    for number, pair in enumerate(value.split(","), 1):
        start = end + 1
        end = start + len(pair)
        origin = positions.at(start + len(pair) - len(pair.lstrip()))
        entry = _read_pair(pair, f"Pair {number}: ", origin, problems)
        if entry is not None:
            entries.append(entry)
    # Unless each pair is one, commas and "=" may have cut up a pasted secret, and what looks like a name may be a part.
    if problems.count == 0:
        _refuse_equal(entries, problems)
        check_together(entries, problems)
    return tuple(entries)


def _read_pair(pair: str, label: str, origin: Origin, problems: Problems) -> Entry | None:
    # The first "=" ends the name; ids may hold more of them.
    name, _, id = (part.strip() for part in pair.partition("="))
    if id == "":
        problems.add(
            f"{label}Each secret must be name=id, with one comma between two of them.",
            origin,
        )
    elif not is_name(name):
        refuse_name(name, label, origin, problems)
    else:
        return short_entry(name, id, None, origin, origin, label, problems)
    return None


def _refuse_equal(entries: list[Entry], problems: Problems) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.name, entry)
        if first is not entry:
            problems.add(
                f"The name {quote(entry.name)} is here for the second time; the first is at "
                f"{place(first.origin)}. Rename one of them.",
                entry.origin,
            )
