"""Logins of `attempt`: runs what `logins` decides, and reports to it what became of that.

The process loads this module with the first request about a login. The numbers in comments are clauses of the contract.
"""

from __future__ import annotations

import time

from .core import lib
from .logins import (
    CURRENT,
    Fetch,
    LogExhausted,
    Logins,
    MakeCandidate,
    Publish,
    PublishCandidate,
    Retry,
    Use,
)

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .extension import Extension, Request
    from .log import Log
    from .logins import Action
    from .refresh import Refresher


class Attempts:
    """All logins of an environment."""

    def __init__(self, extension: Extension, refreshes: Refresher, log: Log) -> None:
        self._extension = extension
        self._refreshes = refreshes
        self._log = log
        self._versions = dict.fromkeys(range(len(refreshes.entries)), _version(refreshes.generation))
        self._logins = Logins(refreshes.generation, self._versions, extension.places())
        refreshes.attempts = self

    @property
    def seconds_to_wait(self) -> float | None:
        """How long the process waits for other events until a call that waits needs an answer."""
        wake_at = self._logins.wake_at
        return None if wake_at is None else max(0.0, wake_at - time.monotonic())

    def asked(self, number: int, request: Request) -> None:
        """Takes a request about a login. A report is answered when what follows from it is done."""
        name = request.name
        group = self._refreshes.group_of(name)
        if not group:
            self._extension.answer(number, self._refreshes.generation, [self._refreshes.unknown(name)])
            return
        now = time.monotonic()
        if request.op == lib.KEYSTART_TRY:
            self._run(self._logins.asked(now, number, group))
            return
        if request.op == lib.KEYSTART_ACCEPTED:
            actions = self._logins.accepted(now, group, request.generation)
        else:
            actions = self._logins.rejected(now, group, request.generation, locked=request.is_locked)
        self._run(actions)
        self._extension.answer(number, self._refreshes.generation, [])

    def left(self, number: int) -> None:
        """Takes note that a client that asked is gone."""
        self._run(self._logins.left(time.monotonic(), number))

    def passed(self) -> None:
        """Answers whoever has waited for long enough."""
        self._run(self._logins.passed(time.monotonic()))

    def refreshed(self, generation: int, changed: Iterable[int], outcomes: Mapping[int, bool]) -> None:
        """Takes note of what a refresh published, and whether each of its entries could be fetched."""
        now = time.monotonic()
        versions = {entry: _version(generation) for entry in changed}
        self._versions.update(versions)
        if versions:
            self._run(self._logins.published(now, generation, versions))
        for entry, is_fetched in outcomes.items():
            if is_fetched:
                self._run(self._logins.fetched(now, CURRENT, entry, self._versions[entry]))
            else:
                self._run(self._logins.not_fetched(now, CURRENT, entry))

    def _run(self, actions: list[Action]) -> None:
        """Does what was decided, in its order, and what follows from it."""
        while actions:
            first, *others = actions
            actions = [*others, *self._do(first)]

    def _do(self, action: Action) -> list[Action]:
        """Does one thing, and returns what follows from it."""
        now, generation = time.monotonic(), self._refreshes.generation
        if isinstance(action, Use):
            is_watched = self._logins.leads(action.call)
            self._extension.answer(
                action.call, generation, [], candidate=action.candidate, is_watched=is_watched
            )
        elif isinstance(action, Retry):
            self._extension.answer(action.call, generation, [], retry_after=action.after)
        elif isinstance(action, Fetch):
            return self._fetch(action)
        elif isinstance(action, LogExhausted):
            self._log_exhausted(action)
        elif isinstance(action, (Publish, PublishCandidate)):
            return self._logins.not_published(now, action.sources)
        elif isinstance(action, MakeCandidate):
            return self._logins.not_made(now, action.group)
        return []

    def _fetch(self, action: Fetch) -> list[Action]:
        now = time.monotonic()
        if action.stage == CURRENT:
            return [
                follows
                for entry in self._refreshes.fetch(action.sources)
                for follows in self._logins.not_fetched(now, CURRENT, entry)
            ]
        return [
            follows
            for entry in action.sources
            for follows in self._logins.fetched(now, action.stage, entry, None)
        ]

    def _log_exhausted(self, action: LogExhausted) -> None:
        names = ", ".join(self._refreshes.entries[entry].name for entry in action.group)
        self._log.warn(
            f"The server refused every version of {names}. One login tries again in {action.after:.0f} s. "
            "Check that the secret and the server agree."
        )


def _version(generation: int) -> str:
    return f"generation {generation}"
