"""Fetches in the core, where the values stay: Python sees counts, names and reasons."""

from __future__ import annotations

from . import core
from .core import ffi, lib, text

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from .plan import Plan


class Failure:
    """Why an entry has no secrets. `code` is the provider's word if it has one.

    `label` is the entry's name, id, region and account, for people; `source` is the id, for programs.
    """

    def __init__(
        self,
        name: str,
        label: str,
        code: str,
        message: str,
        *,
        optional: bool,
        source: str = "",
        region: str = "",
        account: str = "",
    ) -> None:
        self.name = name
        self.label = label
        self.code = code
        self.message = message
        self.optional = optional
        self.source = source
        self.region = region
        self.account = account

    @property
    def members(self) -> dict[str, str | int]:
        """The members of a line about it in a log in JSON."""
        place = {"id": self.source, "region": self.region, "account": self.account}
        return {"secret": self.name, "code": self.code, **place}

    def __str__(self) -> str:
        return f"{self.label}: {self.code}: {self.message}"


class Fetch:
    """A fetch of everything in a configuration, by its handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = ffi.gc(handle, lib.keystart_fetch_free)

    @classmethod
    def start(cls, plan: Plan, login: Any = ffi.NULL) -> Fetch:
        """Starts a fetch, with the credentials of a `keystart_login` or with those that the core finds."""
        out = ffi.new("keystart_fetch **")
        core.call(lib.keystart_fetch_start, plan.handle, login, out)
        return cls(out[0])

    @classmethod
    def refused(cls, plan: Plan, code: str, message: str) -> Fetch:
        """Returns a fetch that could not begin: each entry has failed for the same reason."""
        out = ffi.new("keystart_fetch **")
        core.call(lib.keystart_fetch_refuse, plan.handle, *text(code), *text(message), out)
        return cls(out[0])

    def wait(self) -> None:
        """Waits for the end, which comes soon after the deadline at the latest. Signal handlers run meanwhile."""
        is_over = ffi.new("uint32_t *")
        while not is_over[0]:
            core.call(lib.keystart_fetch_wait, self.handle, is_over)

    @property
    def count(self) -> int:
        """The number of secrets."""
        return int(self._counts().secrets)

    def failures(self) -> list[Failure]:
        """Returns the failures, in the order of the configuration."""
        return [self._failure(index) for index in range(self._counts().failures)]

    def fingerprint(self, plan: Any, entry: int) -> tuple[int, float | None]:
        """Returns a number that is equal for equal values, and when their version was created, if that is known."""
        out = ffi.new("keystart_entry_version *")
        core.call(lib.keystart_fetch_entry, self.handle, plan, entry, out)
        return int(out.fingerprint), out.created_at / 1000 if out.created_at else None

    def retries(self) -> list[str]:
        """Returns a log line for each retry."""
        return [self._line(False, index) for index in range(self._counts().retries)]

    def warnings(self) -> list[str]:
        """Returns a log line for each value that was skipped or looks damaged."""
        return [self._line(True, index) for index in range(self._counts().warnings)]

    def _counts(self) -> Any:
        counts = ffi.new("keystart_fetch_counts *")
        core.call(lib.keystart_fetch_count, self.handle, counts)
        return counts

    def _failure(self, index: int) -> Failure:
        out = ffi.new("keystart_failure *")
        core.call(lib.keystart_fetch_failure, self.handle, index, out)
        name, code = core.copy_text(out.name, out.name_len), core.copy_text(out.code, out.code_len)
        label = core.copy_text(out.label, out.label_len)
        return Failure(
            name,
            label,
            code,
            core.copy_text(out.message, out.message_len),
            optional=bool(out.optional),
            source=core.copy_text(out.id, out.id_len),
            region=core.copy_text(out.region, out.region_len),
            account=core.copy_text(out.account, out.account_len),
        )

    def _line(self, is_warning: bool, index: int) -> str:
        line, length = ffi.new("uint8_t **"), ffi.new("size_t *")
        core.call(lib.keystart_fetch_line, self.handle, is_warning, index, line, length)
        return core.copy_text(line[0], length[0])
