"""What a case cannot say of a published store, because there a writer is asked and no reader."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

from keystart_extension.secret import Secret
from keystart_extension.store import Draft, Writer

FETCHED_AT = "2026-11-23T09:20:00.180Z"


def secret(name: str, value: bytes) -> Secret:
    return Secret(name, value, "utf-8", {"provider": "test", "id": name}, FETCHED_AT)


def draft(*made: Secret) -> Draft:
    draft = Draft()
    for one in made:
        draft.add(one)
    return draft


def published(root: Path, *made: Secret) -> dict[str, Any]:
    """The manifest of a generation with these secrets, without the time of its publish."""
    Writer.open(str(root)).publish(draft(*made))
    manifest: dict[str, Any] = json.loads((root / "current/manifest.json").read_text())
    del manifest["published_at"]
    return manifest


def test_cat_prints_the_secret(tmp_path: Path) -> None:
    value = secrets.token_bytes(100)
    published(tmp_path / "store", secret("tls/key", value))
    shown = subprocess.run(
        ["cat", tmp_path / "store/current/secrets/tls/key"], capture_output=True, check=True
    )
    assert shown.stdout == value


def test_of_a_value_the_manifest_tells_nothing_but_its_size(tmp_path: Path) -> None:
    one, other = (secret("db", secrets.token_hex(16).encode()) for _ in range(2))
    assert one.value != other.value
    assert published(tmp_path / "one", one) == published(tmp_path / "other", other)


def test_a_published_generation_is_not_changed_by_the_next(tmp_path: Path) -> None:
    root = tmp_path / "store"
    writer = Writer.open(str(root))
    writer.publish(draft(secret("db", b"first")))
    before = contents(root / "generations/1")
    writer.publish(draft(secret("db", b"second")))
    assert contents(root / "generations/1") == before
    assert before["secrets/db"] == (b"first", 0o100600)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and mode of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}
