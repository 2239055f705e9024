"""Adds values to a draft by hand. In the product they come from a fetch, inside the core."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keystart_extension import core
from keystart_extension.core import ffi, lib, text
from keystart_extension.store import Draft

FETCHED_AT = "2026-11-23T09:20:00.180Z"


def add(
    draft: Draft, name: str, value: bytes, source: Mapping[str, Any], fetched_at: str = FETCHED_AT
) -> None:
    """Adds a copy of a value, as text."""
    entry = {"encoding": "utf-8", "fetched_at": fetched_at, "refresh_after": None, "source": source}
    data = ffi.from_buffer(value)
    core.call(lib.keystart_draft_add, draft.handle, *text(name), data, len(value), *text(json.dumps(entry)))
