"""Runs `keystart sync apply` as a scheduled Lambda function."""

import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-m", "keystart_extension", "sync", "apply", "--yes", "sync.yaml"]


def handler(event: object, context: Any) -> None:
    """Brings the secrets. If the run fails, the invocation fails, and its log names the secrets that failed."""
    subprocess.run(COMMAND, check=True)
