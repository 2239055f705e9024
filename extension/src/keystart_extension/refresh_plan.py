"""What the configuration says about refreshes."""

from __future__ import annotations

from . import core
from .core import ffi, lib

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class Entry:
    """An entry of the configuration, as far as refreshes need to know it."""

    def __init__(
        self,
        name: str,
        group: int,
        source: int,
        *,
        can_become_due: bool,
        is_folder: bool,
        has_stages: bool,
    ) -> None:
        self.name = name
        self.group = group
        self.source = source
        self.can_become_due = can_become_due
        self.is_folder = is_folder
        self.has_stages = has_stages  # AWSPENDING and AWSPREVIOUS

    def holds(self, name: str) -> bool:
        """Returns whether it brings the secret with that name, or everything below that folder."""
        return (
            self.name == name
            or self.name.startswith(f"{name}/")
            or (self.is_folder and name.startswith(f"{self.name}/"))
        )


class RefreshPlan:
    """Reads from the core's plan what refreshes need of it."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        facts, counts = ffi.new("keystart_freshness *"), ffi.new("keystart_plan_counts *")
        core.call(lib.keystart_plan_freshness, handle, facts)
        core.call(lib.keystart_plan_count, handle, counts)
        self.ttl = facts.ttl_ms / 1000 if facts.is_refreshed else None
        self.deadline = facts.refresh_deadline_ms / 1000
        groups, sources = (ffi.new("uint64_t[]", counts.entries) for _ in range(2))
        core.call(lib.keystart_plan_groups, handle, groups, sources, counts.entries)
        self.entries = [self._entry(index, groups[index], sources[index]) for index in range(counts.entries)]

    def _entry(self, index: int, group: int, source: int) -> Entry:
        out = ffi.new("keystart_entry *")
        core.call(lib.keystart_plan_entry, self.handle, index, out)
        name = core.copy_text(out.name, out.name_len)
        return Entry(
            name,
            group,
            source,
            can_become_due=bool(out.can_become_due),
            is_folder=bool(out.is_folder),
            has_stages=bool(out.has_stages),
        )
