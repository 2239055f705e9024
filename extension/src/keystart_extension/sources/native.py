"""Fetches with AWS's SDK in the core, where the values stay: Python sees names and reasons."""

from __future__ import annotations

from .. import core
from ..fetched import Fetched, Unavailable
from ..log import Log
from ..plan import Plan


def fetch(plan: Plan, log: Log) -> Fetched:
    """Gives what became of each entry, at the latest when the plan's deadline is over."""
    task = core.Task(core.lib.keystart_fetch_start, *core.as_json(plan.to_dict()))
    told = task.wait()
    for line in told["again"]:
        log.debug(line)
    entries = told["entries"]
    count = sum(len(entry["names"]) for entry in entries.values() if "names" in entry)
    unavailable = {
        name: Unavailable(entry["code"], entry["message"])
        for name, entry in entries.items()
        if "names" not in entry
    }
    return Fetched(count, unavailable, lambda draft: draft.take(task))
