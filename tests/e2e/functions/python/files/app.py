"""Reads files while it is imported, without a reader or a wait, as code written for other extensions does."""

import json
import os
from pathlib import Path

SIZES = {path: len(Path(path).read_bytes()) for path in json.loads(os.environ["FILES"])}


def handler(_event: object, _context: object) -> dict[str, int]:
    return SIZES
