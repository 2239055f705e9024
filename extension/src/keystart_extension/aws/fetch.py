"""Fetches with a person's credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..fetch import Fetch
from . import AwsError
from .login import log_in
from .session import session

if TYPE_CHECKING:
    from ..plan import Plan


def fetch(plan: Plan, profile: str | None) -> Fetch:
    """Logs in, without a deadline, then lets the core fetch with the credentials; returns the ended fetch."""
    try:
        login = log_in(session(profile))
    except AwsError as error:
        return Fetch.refused(plan, error.code, error.message)
    with login.lent() as lent:
        fetch = Fetch.start(plan, lent)
    fetch.wait()
    return fetch
