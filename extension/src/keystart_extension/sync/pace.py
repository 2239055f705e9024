"""Keeps a run below the quotas of Secrets Manager, with a token bucket for the operations that share a quota."""

from __future__ import annotations

import time
from collections.abc import Callable

# Requests a second in each region, which nobody can raise. Source: "AWS Secrets Manager quotas" in its User Guide.
QUOTAS = (
    (10_000, ("DescribeSecret", "GetSecretValue")),
    (100, ("BatchGetSecretValue",)),
    (100, ("ListSecrets",)),
    (50, ("CreateSecret",)),
    (50, ("DeleteSecret",)),
    (50, ("RestoreSecret",)),
    (50, ("TagResource",)),
    (50, ("PutSecretValue", "UpdateSecret", "ReplicateSecretToRegions", "RemoveRegionsFromReplication")),
)
SHARE = 2  # a run uses half of a quota, because functions and people use the same account


class _Bucket:
    """The requests that may be sent now: at most those of one second."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at = now

    def take(self, now: float) -> float:
        """Takes one request, and returns how long to wait before it is sent."""
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class Pace:
    """Waits before a request if the quota of its operation would be used up."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._buckets: dict[str, _Bucket] = {}
        for quota, operations in QUOTAS:
            self._buckets |= dict.fromkeys(operations, _Bucket(quota / SHARE, now()))

    def wait(self, operation: str) -> None:
        """Waits until a request of this operation may be sent."""
        if delay := self._buckets[operation].take(self._now()):
            self._sleep(delay)
