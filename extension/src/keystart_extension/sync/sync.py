"""Plans what to change, and changes it. A secret that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from ..aws import AwsError
from ..deploy.selection import progress
from .configuration import Configuration
from .error import SyncError
from .rules import Rule, rule_for
from .secret import OWNER_TAG, ExistingSecret, Settings, Value, WantedSecret
from .sources import BatchSource, Entry
from .step import Choices, Step, step_for, step_without
from .target import READ_AT_ONCE, Target

_PRUNE_SHARE = 10  # without --prune-limit, at most one of so many is deleted at once

_UNNAMED = (
    "Nothing is deleted, because another entry of the source has no name for Secrets Manager. Fix that first."
)
_CHANGED = "It changed after it was planned. Run the command again."
_OWN = (
    "{} of the source was made by this sync, and would be copied again with each run. Exclude it, or choose another "
    "`prefix`. If it comes from another account, change the `id` of one of the two syncs."
)
_TWICE = "Several entries of the source have this name. Change the rules."
_SAME_KEY = "Several of its entries have the same key in its JSON. Change the rules."


class _Origin(NamedTuple):
    """The entries of the source that make one secret, by their key in its JSON, and the rule for them."""

    rule: Rule
    entries: dict[str, Entry]


class Sync:
    """One run: what the source has, and what to do with it. It keeps the values of a few secrets at a time."""

    def __init__(
        self,
        configuration: Configuration,
        target: Target,
        adopted: frozenset[str],
        choices: Choices | None = None,
    ) -> None:
        self._configuration = configuration
        self._target = target
        self._adopted = adopted
        self._choices = choices or Choices(configuration.id)
        self._origins: dict[str, _Origin] = {}
        self._before_each: Callable[[], None] = lambda: None

    def plan(
        self, *, prune: bool, limit: int | None, before_each: Callable[[], None] = lambda: None
    ) -> list[Step]:
        """Returns a step for each secret of the source, and, with `prune`, for each that it no longer has.

        If `before_each` raises, so does the plan.
        """
        self._before_each = before_each
        steps = self._list_source()
        has_all_names = not steps
        self._choices = self._choices._replace(may_lose_keys=prune and has_all_names)
        owned = dict(self._target.own_secrets())
        names = iter(self._origins)
        number = 0
        while some := list(islice(names, READ_AT_ONCE)):
            known = {name: owned[name] for name in some if name in owned}
            read = self._read_some(some)
            wanted: dict[str, WantedSecret] = {}
            for name in some:
                number += 1
                before_each()
                progress("looking at", number, len(self._origins))
                try:
                    wanted[name] = self._wanted(name, read)
                except (AwsError, SyncError) as error:
                    steps.append(_refusal(name, str(error)))
            values = {} if self._choices.digest else self._target.values(known)
            for name, one in wanted.items():
                step = partial(self._step, one, known.get(name), values.get(name))
                steps.append(self._attempt(name, step))
        steps += self._unknown({step.name for step in steps})
        if prune:
            steps += self._removals(owned, limit, has_all_names=has_all_names)
        return sorted(steps)

    def apply(self, steps: Sequence[Step], before_each: Callable[[], None] = lambda: None) -> Iterator[Step]:
        """Carries out each step, if it is still what is needed, and yields how each ended.

        If `before_each` raises SyncError, that step fails, and the sync writes nothing any more.
        """
        self._before_each = before_each
        planned = {step.name: step for step in steps}
        if any(step.loses_keys for step in steps):
            # The plan may be old by now.
            reason = self._relist()
            if reason is not None and not self._origins:
                yield from (_refusal(step.name, reason) for step in steps)
                return
            self._choices = self._choices._replace(may_lose_keys=reason is None)
        writes = [step.name for step in steps if step.action != "delete"]
        for number, name in enumerate(writes, 1):
            progress("changing", number, len(writes))
            yield self._attempt(name, partial(self._write, planned[name]))
        deletions = [step for step in steps if step.action == "delete"]
        if not deletions:
            return
        # The plan may be old by now, so list the source again.
        reason = self._relist()
        for step in deletions:
            if reason is not None:
                yield _refusal(step.name, reason)
            elif step.name in self._origins:
                yield Step(step.name, "unchanged")
            else:
                yield self._attempt(step.name, partial(self._remove, step))

    def _relist(self) -> str | None:
        """Lists the source again. Returns why the run may remove nothing, None if the list is whole.

        If it cannot list the source, it forgets the earlier list too: a secret in JSON must not lose what a list lacks.
        """
        try:
            problems = self._list_source()
        except (AwsError, SyncError) as error:
            self._origins.clear()
            return str(error)
        return _UNNAMED if problems else None

    def _list_source(self) -> list[Step]:
        """Fills `_origins`, and returns a refusal for each entry that cannot be a secret."""
        self._origins.clear()
        refusals = []
        broken: dict[str, str] = {}
        for entry in self._configuration.source.entries():
            rule = rule_for(self._configuration.rules, entry)
            if rule is None:
                continue
            if entry.metadata.get(OWNER_TAG) == self._configuration.id:
                raise SyncError(_OWN.format(_printable(entry.name)))
            try:
                name = rule.secret_name(entry)
            except SyncError as error:
                refusals.append(_refusal(_printable(entry.name), str(error)))
                continue
            try:
                key = rule.key(entry)
            except SyncError as error:
                broken[name] = f"{_printable(entry.name)}: {error}"
                continue
            origin = self._origins.setdefault(name, _Origin(rule, {}))
            if origin.rule is not rule or key in origin.entries:
                broken[name] = _TWICE if rule.json is None or origin.rule is not rule else _SAME_KEY
            origin.entries[key] = entry
        for name, reason in broken.items():
            self._origins.pop(name, None)
            refusals.append(_refusal(name, reason))
        return refusals

    def _unknown(self, known: set[str]) -> list[Step]:
        """Returns a refusal for each name of --adopt that the source does not have."""
        refusals = []
        for name in self._adopted - known:
            close = get_close_matches(name, known, n=1)
            cure = f" Did you mean {close[0]}?" if close else ""
            refusals.append(
                _refusal(name, f"The source has no secret of this name, so --adopt has nothing for it.{cure}")
            )
        return refusals

    def _read_some(self, names: Sequence[str]) -> Mapping[str, Value]:
        """Returns the values of the entries of some secrets, by entry, if the source reads several at once."""
        source = self._configuration.source
        if not isinstance(source, BatchSource):
            return {}
        return source.read_some([entry for name in names for entry in self._origins[name].entries.values()])

    def _wanted(self, name: str, known: Mapping[str, Value] = MappingProxyType({})) -> WantedSecret:
        """Returns what the source wants. It reads the entries, except for those whose values are `known`."""
        rule, entries = self._origins[name]

        def read(entry: Entry) -> Value:
            return known[entry.name] if entry.name in known else self._configuration.source.read(entry)

        if rule.json is None:
            (entry,) = entries.values()
            return WantedSecret(name, read(entry), rule.settings(entry))
        document: dict[str, str] = {}
        settings: list[Settings] = []
        for key, entry in entries.items():
            self._before_each()  # many entries take longer than a lock lasts
            try:
                value = read(entry)
                settings.append(rule.settings(entry))
            except (AwsError, SyncError) as error:
                raise SyncError(f"Its entry {_printable(entry.name)} fails: {error}") from None
            if value.is_binary:
                raise SyncError(f"Its entry {_printable(entry.name)} is not text, which JSON needs.")
            document[key] = value.content.decode()
        if any(other != settings[0] for other in settings):
            raise SyncError(
                "Its entries ask for different tags or descriptions. Name the same for all of them."
            )
        content = json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
        return WantedSecret(name, Value(content, is_binary=False), settings[0], frozenset(document))

    def _step(self, wanted: WantedSecret, listed: ExistingSecret | None, value: Value | None) -> Step:
        """Returns the step for a secret. A list can only show that nothing has to change."""
        if listed is not None and not wanted.settings.replicas:  # a list lacks them
            step = self._step_for(wanted, replace(listed, value=value))
            if step.action == "unchanged":
                return step
        return self._step_for(wanted, self._find(wanted.name))

    def _step_for(self, wanted: WantedSecret, existing: ExistingSecret | None) -> Step:
        return step_for(wanted, existing, self._choices, adopts=wanted.name in self._adopted)

    def _find(self, name: str) -> ExistingSecret | None:
        return self._target.find(name, adopts=name in self._adopted)

    def _removals(
        self, owned: Mapping[str, ExistingSecret], limit: int | None, *, has_all_names: bool
    ) -> list[Step]:
        steps = [
            self._attempt(name, partial(self._removal, name)) for name in owned if name not in self._origins
        ]
        deletions = sum(step.action == "delete" for step in steps)
        most = len(owned) // _PRUNE_SHARE if limit is None else limit
        if not has_all_names:
            reason = _UNNAMED
        elif deletions > most:
            reason = (
                f"This run would delete {deletions} of {len(owned)} secrets, and may delete {most}. If the source "
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
        if planned.name not in self._origins:  # it vanished before the source was listed again
            return _refusal(planned.name, _CHANGED)
        wanted = self._wanted(planned.name)
        existing = self._find(planned.name)
        step = self._step_for(wanted, existing)
        if step != planned:
            return _late(step)
        self._before_each()  # a source may answer late
        if existing is None:
            self._target.create(wanted)
            return step
        rest = step
        if existing.is_deleted:
            existing = self._target.restore(existing)
            rest = self._step_for(wanted, existing)
            if rest.action == "refused":  # its JSON has keys that it would lose
                return rest
        self._target.change(wanted, existing, rest)
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

    def _attempt(self, name: str, work: Callable[[], Step]) -> Step:
        """Turns the failure of one secret into a refusal, so that it stops no other one."""
        try:
            return work()
        except (AwsError, SyncError) as error:
            return _refusal(name, str(error))


def _late(step: Step) -> Step:
    """Returns the end of a step that is not what was planned: somebody changed the secret or the source meanwhile."""
    if step.action in ("unchanged", "refused"):
        return step
    return _refusal(step.name, _CHANGED)


def _printable(name: str) -> str:
    """Returns the name of an entry for a terminal: it may hold control characters, or bytes that are not text."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in name)


def _refusal(name: str, reason: str) -> Step:
    return Step(name, "refused", (), reason)
