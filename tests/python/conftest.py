"""Fixtures: a separate store for each test, and values that appear nowhere else."""

from __future__ import annotations

import secrets
from pathlib import Path

import keystart
import pytest

from tests.conformance.store import build

from .publisher import Publisher


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYSTART_DIR", raising=False)
    monkeypatch.delenv("KEYSTART_TIMEOUT_MS", raising=False)
    monkeypatch.setattr(keystart, "_default", {})


@pytest.fixture
def canary() -> str:
    """Returns a value to look for where no value may be."""
    return f"canary-{secrets.token_hex(16)}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the root of a store that the default client reads."""
    build(root, {"base": "good"})
    monkeypatch.setenv("KEYSTART_DIR", str(root))
    monkeypatch.setenv("KEYSTART_TIMEOUT_MS", "5000")
    return root


@pytest.fixture
def publisher(root: Path) -> Publisher:
    return Publisher(root)


@pytest.fixture
def client(root: Path) -> keystart.Keystart:
    """Returns a client that does not wait."""
    return keystart.Keystart(str(root), timeout=0)
