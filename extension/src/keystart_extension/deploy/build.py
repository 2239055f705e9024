"""Builds the layer's zip in a checkout, where its sources are, as `./dev layer` does."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from .terms import NO_SOURCES, DeployError

# A package that pip installs from a wheel has no sources of the layer around it.
CHECKOUT = Path(__file__).parents[4]
_ARCHITECTURES = {"aarch64": "arm64"}


def build(checkout: Path, architecture: str | None) -> int:
    """Builds the zip into dist/ of the checkout and returns the exit code."""
    if not (checkout / "extension/standalone/layer.py").exists():
        raise DeployError(NO_SOURCES)
    machine = platform.machine()
    architecture = architecture or _ARCHITECTURES.get(machine, machine)
    # With an architecture it only builds. Without one it also runs tests, which take longer than people expect.
    return subprocess.run([checkout / "dev", "layer", "--arch", architecture], check=False).returncode
