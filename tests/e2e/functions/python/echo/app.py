"""Answers with its event and with where it runs; {"fail": WORDS} raises, {"exit": CODE} ends the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if "fail" in event:
        raise ValueError(event["fail"])
    if "exit" in event:
        os._exit(event["exit"])
    return {
        "event": event,
        "request_id": context.aws_request_id,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "folder": str(Path.cwd()),
    }
