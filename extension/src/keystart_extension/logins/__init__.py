"""Decides which version of a secret each login of `attempt` uses, and which calls wait.

Every process of the environment asks here before it logs in, and reports the outcome. This package is a pure function
of these events: it has no clock, does no I/O, and draws no random numbers. Each event carries its time, in seconds of
a clock that never runs backwards. It returns actions, and whoever runs them reports what became of them as events.

    event                           from               meaning
    asked, left                     control.sock       a call wants to log in; it ended without a report
    rejected, accepted              control.sock       a login took place, and this is its outcome
    fetched, not_fetched            the store          the answer about one stage of one source
    published, not_published        the writer         a generation became current, or could not be published
    made, not_made, lost            the writer         a candidate exists, could not be made, or exists no more
    passed                          a timer            the time `wake_at` has come

The numbers in comments are the steps of `attempt`:

    (1) Before each login a call asks which generation to use. One call logs in first, and the others wait.
    (2) Each login that is accepted or rejected is reported.
    (3) After a rejection: the published version, else what AWSCURRENT is now, else AWSPENDING or AWSPREVIOUS.
    (4) The sources of a candidate that is accepted are published.
    (5) A refused version is not tried again while another one is left. Then all are tried again, ever more rarely.
    (6) What the reader alone decides: its budget, and which error it raises. `locked` ends the logins of all calls.
"""

from __future__ import annotations

from .actions import Retry
from .credential import KEPT, Credential
from .sources import Answer, Group

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .actions import Action
    from .credential import Versions
    from .sources import Source, Stage

# In seconds.
CROWDED = 0.1  # the shortest pause of a call that finds too many others waiting
CROWDED_SPREAD = 0.15  # how much longer the pauses of others are, so that they do not all ask at once


class Logins:
    """What is known of logins, for all credentials.

    A credential is the sources of a name or folder. Each is always passed as the same tuple. `versions` are the
    published ones of all sources, in this `generation`. Each of the `groups` is sources that are published together or
    not at all; a credential lies within one, and is one if its sources are in none. The socket serves as many requests
    at once as there are `places`. If there were other versions before in this environment, it `is_later`.
    """

    def __init__(
        self,
        generation: int,
        versions: Mapping[Source, str],
        places: int = 64,
        groups: Iterable[tuple[Source, ...]] = (),
        *,
        is_later: bool = False,
    ) -> None:
        self._generation = generation
        self._versions = dict(versions)
        self._changed = set(versions) if is_later else set()
        self._places = places
        self._credentials: dict[tuple[Source, ...], Credential] = {}
        self._groups: dict[Source, Group] = {}
        for sources in groups:
            self._add_group(sources)

    def asked(self, now: float, call: int, credential: tuple[Source, ...]) -> list[Action]:
        """Decides what a call that wants to log in does: at once, or with a later event.

        A call that waits takes a place of the socket. When half of them are taken, the call asks again later instead:
        whoever finds no place would get no answer.
        """
        asked = self._credential(credential)
        actions = asked.asked(now, call)
        if call in asked.waiting and len(self.waiting()) > self._places // 2:
            del asked.waiting[call]
            actions.append(Retry(call, CROWDED + CROWDED_SPREAD * (call * 0.618 % 1)))
        return actions

    def left(self, now: float, call: int) -> list[Action]:
        """Notes that a call ended without a report: it gave up waiting, failed otherwise, or was killed."""
        return [action for credential in self._credentials.values() for action in credential.left(now, call)]

    def leads(self, call: int) -> bool:
        """Returns whether others wait for this call, so that its end matters."""
        return any(credential.is_led_by(call) for credential in self._credentials.values())

    def accepted(self, now: float, credential: tuple[Source, ...], generation: int) -> list[Action]:
        """Notes a login that the server accepted."""
        if generation > self._highest():
            return []
        return self._credential(credential).was_accepted(now, generation)

    def rejected(
        self, now: float, credential: tuple[Source, ...], generation: int, *, locked: bool = False
    ) -> list[Action]:
        """Notes a login that the server rejected; `locked` if it will reject every other one too."""
        if generation > self._highest():
            return []
        return self._credential(credential).was_rejected(now, generation, locked=locked)

    def fetched(
        self, now: float, stage: Stage, source: Source, version: str | None, age: float | None = None
    ) -> list[Action]:
        """Notes the answer about a stage, whoever asked for it. The version is None if no version has it.

        `age` is how long ago the version was created, by the wall clock, if the store says so.
        """
        return self._answer(now, stage, source, Answer(now, version, age))

    def not_fetched(self, now: float, stage: Stage, source: Source) -> list[Action]:
        """Notes that a stage could not be fetched, for any reason except that no version has it."""
        return self._answer(now, stage, source, Answer(now, None, None, failed=True))

    def published(
        self, now: float, generation: int, versions: Mapping[Source, str], *, is_anew: bool = False
    ) -> list[Action]:
        """Notes a new current generation, whoever published it. `versions` are at least those that changed.

        If it `is_anew`, the store was lost: AWSCURRENT of everything is published, and no candidate exists any more.
        """
        changed = {source for source, version in versions.items() if version != self._versions[source]}
        self._generation = generation
        self._versions.update(versions)
        self._changed |= changed
        groups = dict.fromkeys(self._groups[source] for source in versions if source in self._groups)
        credentials = [credential for group in groups for credential in self._within(group)]
        lost = {credential: is_anew and credential.loses(changed) for credential in credentials}
        for group in groups:
            group.was_published(changed)
        if is_anew:
            for candidate in self.candidates(now):
                self.lost(candidate)
        return [
            action
            for credential, is_lost in lost.items()
            for action in credential.was_published(
                now, generation, self._of(credential.sources), is_lost=is_lost
            )
        ]

    def not_published(self, now: float, sources: Iterable[Source]) -> list[Action]:
        """Notes that a `Publish` or `PublishCandidate` of these sources failed."""
        actions = []
        for group in dict.fromkeys(self._groups[source] for source in sources):
            failed = group.was_not_published()
            for credential in self._within(group):
                actions += credential.was_not_published(now, is_own=credential.sources == failed)
        return actions

    def made(self, now: float, credential: tuple[Source, ...], generation: int) -> list[Action]:
        """Notes the candidate that a credential asked for."""
        return self._credential(credential).was_made(now, generation)

    def not_made(self, now: float, credential: tuple[Source, ...]) -> list[Action]:
        """Notes that a candidate could not be made."""
        return self._credential(credential).was_not_made(now)

    def waiting(self) -> list[int]:
        """Returns the calls without an answer."""
        return [call for credential in self._credentials.values() for call in credential.waiting]

    def candidates(self, now: float) -> set[int]:
        """Returns the candidates that a call may be sent to log in with."""
        return {
            generation
            for credential in self._credentials.values()
            for generation, candidate in credential.candidates.items()
            if now < candidate.made_at + KEPT
        }

    def lost(self, generation: int) -> None:
        """Notes that a candidate does not exist any more."""
        for credential in self._credentials.values():
            if generation in credential.candidates:
                credential.candidates[generation].made_at = float("-inf")

    def passed(self, now: float) -> list[Action]:
        """Answers whoever has waited for long enough."""
        return [action for credential in self._credentials.values() for action in credential.passed(now)]

    @property
    def wake_at(self) -> float | None:
        """When `passed` is to be called, if nothing else happens before."""
        times = (credential.wake_at for credential in self._credentials.values())
        return min((at for at in times if at is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Whether a decision is open, which may need what was fetched."""
        return any(credential.waiting or credential.is_busy for credential in self._credentials.values())

    def keeps(self, source: Source) -> bool:
        """Returns whether a refresh leaves this source as it is published, after it reported what it `fetched`.

        (4) An accepted version stays until AWSCURRENT moves to another id or the version is refused.
        """
        return source in self._groups and source in self._groups[source].pins

    def _answer(self, now: float, stage: Stage, source: Source, answer: Answer) -> list[Action]:
        group, key = self._groups.get(source), (stage, source)
        if group is None:
            return []
        group.was_answered(stage, source, answer)
        return [
            action
            for credential in self._within(group)
            if source in credential.sources or credential.awaits(key)
            for action in credential.was_answered(now, key)
        ]

    def _credential(self, sources: tuple[Source, ...]) -> Credential:
        if sources not in self._credentials:
            group = self._groups.get(sources[0]) or self._add_group(sources)
            is_untried = not self._changed.isdisjoint(sources)
            self._credentials[sources] = Credential(
                sources, group, self._generation, self._of(sources), is_untried=is_untried
            )
        return self._credentials[sources]

    def _add_group(self, sources: tuple[Source, ...]) -> Group:
        group = Group(sources, self._versions)
        self._groups.update(dict.fromkeys(sources, group))
        return group

    def _within(self, group: Group) -> list[Credential]:
        return [credential for credential in self._credentials.values() if credential.group is group]

    def _of(self, sources: tuple[Source, ...]) -> Versions:
        return tuple(self._versions[source] for source in sources)

    def _highest(self) -> int:
        """The highest generation that a reader can have used."""
        made = (number for credential in self._credentials.values() for number in credential.candidates)
        return max([self._generation, *made])
