"""Plans what to change, and changes it. A secret that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..aws import AwsError
from ..deploy.selection import progress
from .configuration import Configuration
from .error import SyncError
from .rules import Rule, rule_for
from .secret import ExistingSecret, WantedSecret
from .sources import Entry
from .step import Step, step_for, step_without
from .target import Target

_PRUNE_SHARE = 10  # without --prune-limit, at most one of so many is deleted at once

_UNNAMED = "Nothing is deleted, because another entry of the source has no name for Secrets Manager. Mend that first."


class _Origin(NamedTuple):
    """An entry of the source, and the rule for it."""

    entry: Entry
    rule: Rule


class Sync:
    """One run: what the source has, and what to do with it. It keeps no value longer than for one secret."""

    def __init__(self, configuration: Configuration, target: Target, adopted: frozenset[str]) -> None:
        self._configuration = configuration
        self._target = target
        self._adopted = adopted
        self._origins: dict[str, _Origin] = {}
        self._before_each: Callable[[], None] = lambda: None

    def plan(
        self, *, prune: bool, limit: int | None, before_each: Callable[[], None] = lambda: None
    ) -> list[Step]:
        """Returns a step for each secret of the source, and, with `prune`, for each that it no longer has.

        If `before_each` raises, so does the plan.
        """
        steps = self._list_source()
        has_all_names = not steps
        for number, name in enumerate(self._origins, 1):
            before_each()
            progress("looking at", number, len(self._origins))
            steps.append(self._attempt(name, self._step))
        if prune:
            steps += self._removals(limit, has_all_names=has_all_names)
        return sorted(steps)

    def apply(self, steps: Sequence[Step], before_each: Callable[[], None] = lambda: None) -> list[Step]:
        """Carries out each step, if it is still what is needed, and returns how each ended.

        If `before_each` raises SyncError, that step fails, and the sync writes nothing any more.
        """
        self._before_each = before_each
        planned = {step.name: step for step in steps}
        writes = [step.name for step in steps if step.action != "delete"]
        ends = []
        for number, name in enumerate(writes, 1):
            progress("changing", number, len(writes))
            ends.append(self._attempt(name, lambda name: self._write(planned[name])))
        ends += self._delete([step for step in steps if step.action == "delete"])
        return ends

    def _delete(self, deletions: Sequence[Step]) -> list[Step]:
        """Deletes what the source still does not have. It lists the source again: the plan may be old by now."""
        if not deletions:
            return []
        try:
            problems = self._list_source()
        except SyncError as error:
            return [_refusal(step.name, str(error)) for step in deletions]
        if problems:
            return [_refusal(step.name, _UNNAMED) for step in deletions]
        planned = {step.name: step for step in deletions}
        return [
            Step(name, "unchanged")
            if name in self._origins
            else self._attempt(name, lambda name: self._remove(planned[name]))
            for name in planned
        ]

    def _list_source(self) -> list[Step]:
        """Fills `_origins`, and returns a refusal for each entry that cannot be a secret."""
        self._origins.clear()
        refusals = []
        twice = set[str]()
        for entry in self._configuration.source.entries():
            rule = rule_for(self._configuration.rules, entry)
            if rule is None:
                continue
            try:
                name = rule.secret_name(entry)
            except SyncError as error:
                refusals.append(_refusal(_shown(entry.name), str(error)))
                continue
            if name in self._origins:
                twice.add(name)
            self._origins[name] = _Origin(entry, rule)
        for name in twice:
            del self._origins[name]
            refusals.append(_refusal(name, "Several entries of the source have this name. Change the rules."))
        return refusals

    def _wanted(self, name: str) -> WantedSecret:
        entry, rule = self._origins[name]
        value = self._configuration.source.read(entry)
        return WantedSecret(name, value, rule.settings(entry))

    def _step(self, name: str) -> Step:
        return self._step_for(self._wanted(name), self._target.find(name, adopts=name in self._adopted))

    def _step_for(self, wanted: WantedSecret, existing: ExistingSecret | None) -> Step:
        return step_for(wanted, existing, self._configuration.id, adopts=wanted.name in self._adopted)

    def _removals(self, limit: int | None, *, has_all_names: bool) -> list[Step]:
        owned = list(self._target.owned_names())
        steps = [self._attempt(name, self._removal) for name in owned if name not in self._origins]
        deletions = sum(step.action == "delete" for step in steps)
        most = len(owned) // _PRUNE_SHARE if limit is None else limit
        if not has_all_names:
            reason = _UNNAMED
        elif deletions > most:
            reason = (
                f"{deletions} of {len(owned)} secrets would be deleted at once, and {most} may be. If the source "
                f"really lost them, add --prune-limit {deletions}."
            )
        else:
            return steps
        return [_refusal(step.name, reason) if step.action == "delete" else step for step in steps]

    def _removal(self, name: str) -> Step:
        existing = self._target.find(name)
        if existing is None:
            return Step(name, "unchanged")
        return step_without(name, existing, self._configuration.id)

    def _write(self, planned: Step) -> Step:
        self._before_each()
        wanted = self._wanted(planned.name)
        existing = self._target.find(planned.name, adopts=planned.name in self._adopted)
        step = self._step_for(wanted, existing)
        if step != planned:
            return _late(step)
        if existing is None:
            self._target.create(wanted)
        else:
            self._target.change(wanted, existing, step)
        return step

    def _remove(self, planned: Step) -> Step:
        self._before_each()
        existing = self._target.find(planned.name)
        if existing is None:
            return Step(planned.name, "unchanged")
        step = step_without(planned.name, existing, self._configuration.id)
        if step != planned:
            return _late(step)
        self._target.delete(existing)
        return step

    def _attempt(self, name: str, work: Callable[[str], Step]) -> Step:
        """Turns the failure of one secret into a refusal, so that it stops no other one."""
        try:
            return work(name)
        except (AwsError, SyncError) as error:
            return _refusal(name, str(error))


def _late(step: Step) -> Step:
    """Returns the end of a step that is not what was planned: somebody changed the secret or the source meanwhile."""
    if step.action in ("unchanged", "refused"):
        return step
    return _refusal(step.name, "It changed after it was planned. Look again.")


def _shown(name: str) -> str:
    """Returns the name of an entry for a terminal: it may hold control characters, or bytes that are not text."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in name)


def _refusal(name: str, reason: str) -> Step:
    return Step(name, "refused", (), reason)
