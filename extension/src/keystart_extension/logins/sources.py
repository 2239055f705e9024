"""The sources of credentials: what the store has of each, and which are published together."""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, TypeAlias

    Source: TypeAlias = int  # one id with region, role and stage: its place in the configuration
    Stage = Literal["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]

PENDING: Stage = "AWSPENDING"
CURRENT: Stage = "AWSCURRENT"  # or the stage that the configuration names for the source
PREVIOUS: Stage = "AWSPREVIOUS"

LOOK = 1.0  # seconds between two requests for one stage of one source


class Answer:
    """What the store said about a stage of a source, asked for at that time."""

    __slots__ = ("age", "asked_at", "created_at", "failed", "version")

    def __init__(
        self, asked_at: float, version: str | None, age: float | None, *, failed: bool = False
    ) -> None:
        self.asked_at = asked_at
        self.version = version
        self.age = age
        self.created_at = None if age is None else asked_at - age
        self.failed = failed


class Group:
    """Sources that are published together or not at all, and what the store has of them."""

    def __init__(self, sources: tuple[Source, ...], versions: Mapping[Source, str]) -> None:
        self.sources = sources
        self.pins: dict[Source, str] = {}  # (4) what AWSCURRENT was when another version was accepted
        self.publisher: tuple[Source, ...] | None = None  # the credential that waits for a publish
        self.accepting: tuple[Source, ...] = ()  # the sources of the candidate that is being published
        self._versions = versions  # the published ones, which its owner keeps up to date
        self._answers: dict[tuple[Stage, Source], Answer] = {}
        self._asked_at: dict[tuple[Stage, Source], float] = {}  # of the stages that are being fetched

    def due(self, now: float, stage: Stage, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        """Returns the sources of which a stage may be fetched now, and notes that it is."""
        due = tuple(source for source in sources if self._is_due(now, stage, source))
        self._asked_at.update({(stage, source): now for source in due})
        return due

    def fetching(self, stage: Stage, sources: tuple[Source, ...]) -> set[tuple[Stage, Source]]:
        """Returns those of the sources of which the stage is being fetched."""
        return {(stage, source) for source in sources if (stage, source) in self._asked_at}

    def answer(self, stage: Stage, source: Source) -> Answer | None:
        """Returns what the store said last about a stage."""
        return self._answers.get((stage, source))

    def moved(self, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        """Returns the sources whose AWSCURRENT is to be published; none if it could not be fetched for all of them."""
        answers = {source: self._answers.get((CURRENT, source)) for source in sources}
        if any(answer is None or answer.failed for answer in answers.values()):
            return ()
        return tuple(
            source
            for source, answer in answers.items()
            if source not in self.pins
            and answer is not None
            and answer.version not in (None, self._versions[source])
        )

    def was_answered(self, stage: Stage, source: Source, answer: Answer) -> None:
        """Notes what the store said about a stage."""
        key = (stage, source)
        answer.asked_at = self._asked_at.pop(key, answer.asked_at)
        self._answers[key] = answer
        if (
            stage == CURRENT
            and not answer.failed
            and source in self.pins
            and answer.version != self.pins[source]
        ):
            del self.pins[source]

    def was_published(self, changed: set[Source]) -> None:
        """Notes a publish that changed these sources."""
        for source in changed.difference(self.accepting):
            self.pins.pop(source, None)
        self.publisher, self.accepting = None, ()

    def was_not_published(self) -> tuple[Source, ...] | None:
        """Notes a publish that failed, and returns the credential that waited for it."""
        failed, self.publisher = self.publisher, None
        for source in self.accepting:
            self.pins.pop(source, None)
        self.accepting = ()
        return failed

    def _is_due(self, now: float, stage: Stage, source: Source) -> bool:
        answer = self._answers.get((stage, source))
        is_old = answer is None or now >= answer.asked_at + LOOK
        return is_old and (stage, source) not in self._asked_at
