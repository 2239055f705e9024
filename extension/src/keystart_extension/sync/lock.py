"""Keeps two syncs with the same id from writing at once, with numbered parameters in Parameter Store.

(1) Whoever wants the lock creates the parameter after the highest one; Parameter Store lets only one create it.
(2) The holder renews its time while it works. A lock whose time is over may be superseded by the next number.
(3) Before it writes, a holder looks for a higher number. If there is one, it has lost the lock and stops. It looks
    again after it has renewed, and the next one looks after it has created: one of them sees the other.
(4) The highest parameter stays, marked as free: a number is never used twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ..aws import AwsError
from ..aws.errors import ask
from .error import SyncError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from typing_extensions import Self

Result = TypeVar("Result")

FOLDER = "/keystart/sync"
_LEASE = 600  # seconds until a lock that nobody renews may be superseded
_RENEWAL = 60  # seconds between two renewals
_FREE = 0
_MOST_NAMES = 10  # in one DeleteParameters


class Lock:
    """The lock of one id, held during the `with` block."""

    def __init__(self, client: SSMClient, sync: str, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._sync = sync
        self._now = now
        self._path = f"{FOLDER}/{sync}"
        self._number = 0
        self._renewed = 0.0
        self._is_lost = False

    def __enter__(self) -> Self:
        locks = self._locks()
        highest = max(locks, default=0)
        if locks.get(highest, _FREE) > self._now():
            raise SyncError(self._busy(locks[highest]))
        self._number = highest + 1
        try:
            self._write(self._number, self._until(), overwrite=False)
        except AwsError as error:
            if error.code == "ParameterAlreadyExists":
                raise SyncError(self._busy(self._until())) from None
            raise
        try:
            self._finish(sorted(locks))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _finish(self, old: list[int]) -> None:
        """Makes sure that no other lock is held, and deletes the lower ones."""
        for number, until in sorted(self._locks().items(), reverse=True):
            # Higher: the list of before was so old that this number had been used and deleted.
            # Lower: its holder has renewed it meanwhile.
            if number > self._number or (number < self._number and until > self._now()):
                raise SyncError(self._busy(until))
        names = [self._name(number) for number in old]
        for start in range(0, len(names), _MOST_NAMES):
            some = names[start : start + _MOST_NAMES]
            self._call("DeleteParameters", partial(self._client.delete_parameters, Names=some))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if max(self._locks(), default=0) == self._number:
            self._write(self._number, _FREE, overwrite=True)

    def check(self) -> None:
        """Renews the lock, and raises if another sync has it now. Call it before a write."""
        # A clock that was set back says nothing.
        if not self._is_lost and 0 <= self._now() - self._renewed < _RENEWAL:
            return
        self._look()
        self._write(self._number, self._until(), overwrite=True)
        self._look()  # another sync that has not seen the new time may have come between

    def _look(self) -> None:
        self._is_lost = self._is_lost or max(self._locks(), default=0) != self._number
        if self._is_lost:
            raise SyncError(
                f"Another sync with the id {self._sync} took over, because this one took too long."
            )

    def _busy(self, until: int) -> str:
        seconds = max(1, round(until - self._now()))
        if seconds > 2 * _LEASE:
            return f"The newest lock below {self._path} ends in {seconds} seconds, so a clock was wrong. Delete it."
        return f"Another sync with the id {self._sync} is running. If it crashed, its lock ends in {seconds} seconds."

    def _until(self) -> int:
        return int(self._now()) + _LEASE

    def _name(self, number: int) -> str:
        return f"{self._path}/{number}"

    def _write(self, number: int, until: int, *, overwrite: bool) -> None:
        value = json.dumps({"until": until})
        began = self._now()
        self._call(
            "PutParameter",
            lambda: self._client.put_parameter(
                Name=self._name(number), Value=value, Type="String", Overwrite=overwrite
            ),
        )
        self._renewed = began

    def _locks(self) -> dict[int, int]:
        """Returns the end of each lock by its number."""
        locks = {}
        pages = iter(self._client.get_paginator("get_parameters_by_path").paginate(Path=self._path))

        def ask_next() -> list[tuple[str, str]] | None:
            page = next(pages, None)
            return None if page is None else [(one["Name"], one["Value"]) for one in page["Parameters"]]

        while (found := self._call("GetParametersByPath", ask_next)) is not None:
            for name, value in found:
                try:
                    locks[int(name.rpartition("/")[2])] = int(json.loads(value)["until"])
                except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    raise SyncError(
                        f"The parameter {name} is not a lock of keystart sync. Find out who made it."
                    ) from None
        return locks

    def _call(self, operation: str, call: Callable[[], Result]) -> Result:
        return ask(f"ssm:{operation} on {self._path}", call)
