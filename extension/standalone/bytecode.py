"""Compiles the Python reader for the layer, once for each CPython that Lambda offers.

Python keeps what it compiles beside the sources, which Lambda mounts read-only. So each cold start would compile the
reader again, in seven times the instructions that loading takes.
"""

from __future__ import annotations

from pathlib import Path

from .interpreters import VERSIONS, interpreter
from .toolchain import run

# They are for tests of functions, on other machines.
_FOR_TESTS = ("testing", "pytest_plugin")


def write_bytecode(package: Path) -> list[str]:
    """Compiles the modules of a package. Returns the versions that this machine lacks.

    Their CPythons compile the sources themselves. The bytes depend on the sources and the version alone: they have a
    hash instead of a time, and Python does not compare it, because nobody can change a source of a layer.
    """
    missing = []
    files = sorted(file for file in package.rglob("*.py") if file.stem not in _FOR_TESTS)
    for version in VERSIONS:
        program = interpreter(version)
        if program is None:
            missing.append(version)
            continue
        options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(package)]
        # A frozen set orders its items by their hashes, so fix the seed.
        run([program, "-m", "compileall", *options, *files], {"PYTHONHASHSEED": "0"}, package.parent)
    return missing
