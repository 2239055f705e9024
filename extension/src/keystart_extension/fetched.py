"""Holds what came back for a plan, and the reason of each entry that has no secrets."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Plan
    from .store import Draft


class Unavailable(Exception):
    """Says why an entry could not be fetched or shaped; `code` is the service's own where it has one."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Fetched:
    """What a source gave: how many secrets, the entries without any, and the way of the secrets into a draft."""

    def __init__(self, count: int, fill: Callable[[Draft], None]) -> None:
        self.count = count
        self.fill = fill
        self.required: dict[str, Unavailable] = {}
        self.optional: dict[str, Unavailable] = {}

    @classmethod
    def none(cls, plan: Plan, why: Unavailable) -> Fetched:
        """Makes one of a fetch that could not begin: no entry has secrets, for one reason."""

        def fill(draft: Draft) -> None:
            for entry in plan.entries:
                if entry["env"] is not None:
                    draft.assign(entry["env"], entry["name"], overwrite=plan.facts["env_overwrite"])

        fetched = cls(0, fill)
        for entry in plan.entries:
            fetched.add(entry["name"], why, optional=entry["optional"])
        return fetched

    def add(self, name: str, why: Unavailable, *, optional: bool) -> None:
        """Notes an entry without secrets."""
        (self.optional if optional else self.required)[name] = why
