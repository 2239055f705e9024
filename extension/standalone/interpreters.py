"""Finds the CPythons of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# The versions that Lambda offers.
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def interpreter(version: str) -> str | None:
    """Returns a CPython of a version that works and can make environments: on the PATH, or in pyenv's folder."""
    candidates = [
        shutil.which(f"python{version}"),
        *Path.home().glob(f".pyenv/versions/{version}.*/bin/python"),
    ]
    check = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-I", "-c", check], capture_output=True).returncode == 0:
            return str(candidate)
    return None
