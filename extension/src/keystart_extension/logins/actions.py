"""What is to be done about logins. Whoever does it reports what became of it as an event."""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from .sources import Source, Stage


class Action:
    """Something to do. Two actions with the same members are equal."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._members() == other._members()

    def __hash__(self) -> int:
        return hash(self._members())

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({members})"

    def _members(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


class Use(Action):
    """Answer the call: log in with this candidate, or with the current generation if it is None."""

    __slots__ = ("call", "candidate")

    def __init__(self, call: int, candidate: int | None) -> None:
        self.call = call
        self.candidate = candidate


class Retry(Action):
    """Answer the call: do not log in, and ask again after so many seconds. 0 means at once."""

    __slots__ = ("after", "call")

    def __init__(self, call: int, after: float) -> None:
        self.call = call
        self.after = after


class Fetch(Action):
    """Fetch this stage of these sources. The answer is one `fetched` or `not_fetched` for each of them."""

    __slots__ = ("sources", "stage")

    def __init__(self, stage: Stage, sources: tuple[Source, ...]) -> None:
        self.stage = stage
        self.sources = sources


class Publish(Action):
    """Publish the current generation with what AWSCURRENT of these sources is now. The answer is `published`.

    A refresh may have fetched it, up to a second ago.
    """

    __slots__ = ("sources",)

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.sources = sources


class MakeCandidate(Action):
    """Make a candidate: the current generation with that stage of these sources. The answer is `made`."""

    __slots__ = ("credential", "sources", "stage")

    def __init__(self, credential: tuple[Source, ...], stage: Stage, sources: tuple[Source, ...]) -> None:
        self.credential = credential
        self.stage = stage
        self.sources = sources


class PublishCandidate(Action):
    """Publish the current generation with these sources as they are in the candidate. The answer is `published`."""

    __slots__ = ("candidate", "sources")

    def __init__(self, candidate: int, sources: tuple[Source, ...]) -> None:
        self.candidate = candidate
        self.sources = sources


class LogExhausted(Action):
    """Log that the server refused a credential, and that one call tries again in so many seconds.

    It refused the published version if `stages` has None, and the versions of the others. If it `is_locked`, the server
    has locked the account.
    """

    __slots__ = ("after", "credential", "is_locked", "stages")

    def __init__(
        self,
        credential: tuple[Source, ...],
        stages: tuple[Stage | None, ...],
        after: float,
        *,
        is_locked: bool = False,
    ) -> None:
        self.credential = credential
        self.stages = stages
        self.after = after
        self.is_locked = is_locked
