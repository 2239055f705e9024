"""Checks the package before anything is read: its names, its cost, its library."""

from __future__ import annotations

import subprocess
import sys

import keystart
from keystart import errors

INTERFACE = {
    *("Keystart", "Secret", "Snapshot", "__version__"),
    *(
        "attempt",
        "get",
        "get_bytes",
        "get_json",
        "info",
        "names",
        "path",
        "refresh",
        "refresh_async",
        "secret",
        "snapshot",
        "tls",
    ),
    *errors.__all__,
}
# Every cold start of a function loads each of these.
LOADED = {
    *(
        "keystart",
        "keystart.core",
        "keystart.errors",
        "keystart.secret",
        "keystart.client",
        "keystart.version",
    ),
    *("keystart._native", "keystart._native.ffi", "_cffi_backend", "__future__"),
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_the_interface_is_what_was_promised() -> None:
    assert len(keystart.__all__) == len(INTERFACE)
    assert set(keystart.__all__) == INTERFACE
    assert all(hasattr(keystart, name) for name in INTERFACE)


def test_importing_loads_only_itself_and_the_library() -> None:
    code = "import sys; before = set(sys.modules); import keystart; print(*set(sys.modules) - before)"
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) <= LOADED


def test_a_library_of_another_version_is_refused_with_the_cure() -> None:
    code = """
import sys, types
sys.modules["keystart.version"] = types.ModuleType("keystart.version")
sys.modules["keystart.version"].__version__ = "9.9.9"
import keystart
"""
    run = python("-c", code)
    assert run.returncode == 1
    assert run.stderr.endswith(
        f"ImportError: keystart 9.9.9 found its core library in version {keystart.__version__}. "
        "Install the package again: pip install --force-reinstall keystart\n"
    )
