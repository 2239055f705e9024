"""Waits for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 20.0  # seconds; only a test that fails waits for so long


def until(is_so: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Waits until something is true, and returns whether it became true."""
    end = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
