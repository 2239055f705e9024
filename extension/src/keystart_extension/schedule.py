"""When entries are fetched again. The numbers in comments are clauses of the contract."""

from __future__ import annotations

from posix import urandom

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable

# In seconds.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 900.0


class Schedule:
    """When each entry is due (11.2, 11.4).

    Times are seconds of the wall clock, because a frozen environment may stop every other clock. If the clock was set
    back, an entry is due at once.
    """

    def __init__(self, entries: Iterable[int], ttl: float, checked_at: float) -> None:
        self._ttl = ttl
        self._factor: float | None = None
        self._checked_at = dict.fromkeys(entries, checked_at)  # when the fetch of each began
        # When an entry was tried last, and how often it failed in a row.
        self._failed: dict[int, tuple[float, int]] = {}

    def __contains__(self, entry: int) -> bool:
        return entry in self._checked_at

    def spread(self) -> None:
        """Draws the factor of this environment (11.2), at the first call.

        SnapStart copies the process after Init, and copies must not have the same factor.
        """
        if self._factor is None:
            self._factor = 0.9 + 0.1 * int.from_bytes(urandom(4), "big") / 2**32

    def due(self, now: float) -> list[int]:
        """Returns the entries that are due."""
        return [entry for entry in self._checked_at if not self._since(entry) <= now < self.due_at(entry)]

    def due_at(self, entry: int) -> float:
        """Returns when an entry becomes due."""
        wait = self._ttl
        if entry in self._failed:
            pause = _FIRST_PAUSE * 2 ** min(self._failed[entry][1] - 1, 16)
            wait = min(pause, self._ttl, _LONGEST_PAUSE)
        return self._since(entry) + wait * (self._factor or 1.0)

    def next_due(self) -> float | None:
        """Returns when the first entry becomes due."""
        return min(map(self.due_at, self._checked_at), default=None)

    def succeed(self, entry: int, began: float) -> None:
        """Notes that an entry was fetched, with a fetch that began then."""
        self._failed.pop(entry, None)
        if entry in self._checked_at:
            self._checked_at[entry] = began

    def fail(self, entry: int, now: float) -> None:
        """Notes that an entry could not be fetched."""
        self._failed[entry] = (now, self._failed.get(entry, (0.0, 0))[1] + 1)

    def is_pausing(self, now: float) -> bool:
        """Returns whether an entry has failed and the pause after that is not over."""
        return any(failed_at <= now < self.due_at(entry) for entry, (failed_at, _) in self._failed.items())

    def _since(self, entry: int) -> float:
        failed = self._failed.get(entry)
        return self._checked_at[entry] if failed is None else failed[0]
