"""Checks a published store where a case cannot: a case asks a reader, and these rules are the writer's."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

from keystart_extension.store import Draft, Writer

from tests.draft import add


def draft(name: str, value: bytes) -> Draft:
    draft = Draft()
    add(draft, name, value, {"provider": "test", "id": name})
    return draft


def published(root: Path, name: str, value: bytes) -> dict[str, Any]:
    """Returns the manifest of a generation with this secret, without the time of its publish."""
    Writer.open(str(root)).publish(draft(name, value))
    manifest: dict[str, Any] = json.loads((root / "current/manifest.json").read_text())
    del manifest["published_at"]
    return manifest


def test_cat_prints_the_secret(tmp_path: Path) -> None:
    value = secrets.token_bytes(100)
    published(tmp_path / "store", "tls/key", value)
    shown = subprocess.run(
        ["cat", tmp_path / "store/current/secrets/tls/key"], capture_output=True, check=True
    )
    assert shown.stdout == value


def test_of_a_value_the_manifest_shows_only_its_size(tmp_path: Path) -> None:
    one, other = (secrets.token_hex(16).encode() for _ in range(2))
    assert one != other
    assert published(tmp_path / "one", "db", one) == published(tmp_path / "other", "db", other)


def test_a_published_generation_is_not_changed_by_the_next(tmp_path: Path) -> None:
    root = tmp_path / "store"
    writer = Writer.open(str(root))
    writer.publish(draft("db", b"first"))
    before = contents(root / "generations/1")
    writer.publish(draft("db", b"second"))
    assert contents(root / "generations/1") == before
    assert before["secrets/db"] == (b"first", 0o100600)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Returns the bytes and mode of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}
