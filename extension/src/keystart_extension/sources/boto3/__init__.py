"""Fetches with boto3: slower to start, and with every source of credentials that people's own machines have."""

from __future__ import annotations

import os
from contextlib import closing

from ...fetched import Fetched, Unavailable
from ...log import Log
from ...plan import Entry, Plan
from ...secret import Secret
from ...store import Draft
from .aws import Aws
from .outside import check_variables
from .prefetch import prefetch
from .refused import Refused


def fetch(plan: Plan, log: Log, profile: str | None = None, *, patient: bool = False) -> Fetched:
    """Returns what became of each entry, at the latest when the plan's deadline is over.

    With `patient` the deadline begins when there are credentials: a person may have to type a code for them.
    """
    with closing(Aws(plan.region, plan.deadline, profile)) as aws:
        try:
            check_variables(os.environ)
            if patient:
                aws.log_in()
            outcomes = prefetch(plan, aws, log)
        except Refused as refused:
            why = Unavailable(refused.code, refused.message)
            outcomes = {entry.name: why for entry in plan.entries}
    secrets: list[Secret] = []
    failures: list[tuple[Entry, Unavailable]] = []
    for entry in plan.entries:
        outcome = outcomes[entry.name]
        if isinstance(outcome, Unavailable):
            failures.append((entry, outcome))
        else:
            secrets.extend(outcome)

    def fill(draft: Draft) -> None:
        for secret in secrets:
            draft.add(secret)
        for entry in plan.entries:
            if entry.env is not None:
                draft.assign(entry.env, entry.name, overwrite=plan.env_overwrite)

    fetched = Fetched(len(secrets), fill)
    for entry, why in failures:
        fetched.add(entry.name, why, optional=entry.optional)
    return fetched
