"""Fetches with AWS's SDK in the core, where the values stay: Python sees names and reasons."""

from __future__ import annotations

from . import core
from .fetched import Fetched, Unavailable

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from .log import Log
    from .plan import Plan


def start(plan: Plan, login: Any = core.ffi.NULL) -> core.Task:
    """Starts to fetch, with the credentials of a `keystart_login` or with those that the core finds."""
    return core.Task.start(core.lib.keystart_fetch_start, plan.handle, login)


def end(task: core.Task, log: Log) -> Fetched:
    """Returns what became of each entry when a fetch is over, at the latest with the plan's deadline."""
    told = task.wait()
    if told.isdigit():
        return Fetched(int(told), lambda draft: draft.take(task))
    import json  # here, because a start that goes well needs none of it

    outcome = json.loads(told)
    for line in outcome["again"]:
        log.debug(line)
    fetched = Fetched(outcome["count"], lambda draft: draft.take(task))
    for name, why in outcome["unavailable"].items():
        fetched.add(name, Unavailable(why["code"], why["message"]), optional=why["optional"])
    return fetched
