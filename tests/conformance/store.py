"""Builds the store of a case on disk. It knows the layout of the contract, and no reader.

Everything is written in one fixed order, so that a description has one meaning:
published generation, `state`, `removed`, `files`, `crowds`, `moved`, `hard_links`, `links`, `fifos`, `sockets`,
`devices`, `current`, `modes`, `owners`. Paths are relative to the root; `.` is the root, `../x` lies beside it.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

Description = dict[str, Any]

PUBLISHED_AT = "2026-11-23T09:20:00.187Z"
FETCHED_AT = "2026-11-23T09:20:00.180Z"


def content(described: Any) -> bytes:
    """Returns the bytes of a `content` of the schema."""
    data: bytes
    if isinstance(described, str):
        return described.encode()
    if "base64" in described:
        data = base64.b64decode(described["base64"], validate=True)
    elif "json" in described:
        data = json.dumps(described["json"], ensure_ascii=False).encode()
    elif "pem" in described:
        data = _certificate_and_key()[described["pem"]]
    else:
        data = described["text"].encode()
    data *= described.get("repeat", 1)
    if len(data) > described.get("pad", len(data)):
        raise ValueError(f"the content is longer than its pad of {described['pad']} bytes")
    return data.ljust(described.get("pad", 0), b" ")


@cache
def _certificate_and_key() -> dict[str, bytes]:
    # Made in each run: no key lies in the repository.
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "-"]
    command = ["openssl", "req", "-x509", *key, "-out", "-", "-days", "2", "-subj", "/CN=conformance"]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    start = made.index(b"-----BEGIN CERTIFICATE-----")
    return {"key": made[:start], "certificate": made[start:]}


def moment(seconds: float) -> str:
    """Returns the time that many seconds from now, as a store has it (contract 4.3)."""
    now = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"


def build(root: Path, store: Description) -> None:
    """Builds a store from nothing. `root` must not exist, its parent must."""
    if store["base"] == "good":
        _folder(root / "generations")
        _write(root / "lock", b"")
        _publish(root, {"generation": 3, "secrets": {"db": "value of db\n"}, **store})
    change(root, {key: value for key, value in store.items() if key not in _GENERATION})


def change(root: Path, edits: Description) -> None:
    """Changes an existing store. With `generation` it publishes a new one first."""
    if "generation" in edits:
        _publish(root, {"secrets": {}, **edits})
    if "state" in edits:
        _write(root / "state.json", content(edits["state"]))
    for path in edits.get("removed", []):
        _remove(_within(root, path))
    for path, described in edits.get("files", {}).items():
        target = _within(root, path)
        _folder(target.parent)
        _write(target, content(described))
    for path, count in edits.get("crowds", {}).items():
        _crowd(_within(root, path), count)
    for path, destination in edits.get("moved", {}).items():
        _within(root, path).rename(_within(root, destination))
    for path, existing in edits.get("hard_links", {}).items():
        _emptied(root, path).hardlink_to(_within(root, existing))
    for path, text in edits.get("links", {}).items():
        _emptied(root, path).symlink_to(text.replace("{root}", str(root)))
    for path in edits.get("fifos", []):
        os.mkfifo(_emptied(root, path), 0o600)
    for path in edits.get("sockets", []):
        _bind(_emptied(root, path))
    for path in edits.get("devices", []):
        os.mknod(_emptied(root, path), stat.S_IFCHR | 0o600, os.makedev(1, 5))
    if "current" in edits:
        _point(root, edits["current"])
    for path, mode in edits.get("modes", {}).items():
        _set_mode(_within(root, path), int(mode, 8))
    for path, owner in edits.get("owners", {}).items():
        os.chown(_within(root, path), owner, owner, follow_symlinks=False)


_GENERATION = {"base", "generation", "secrets", "unavailable", "manifest"}


def _publish(root: Path, described: Description) -> None:
    number = described["generation"]
    folder = root / "generations" / str(number)
    secrets = {name: content(value) for name, value in described["secrets"].items()}
    for name, value in secrets.items():
        file = folder / "secrets" / name
        _folder(file.parent)
        _write(file, value)
    _folder(folder / "secrets")
    _write(folder / "manifest.json", manifest(described))
    _write(root / "state.json", content({"json": state("ready", number)}))
    _point(root, f"generations/{number}")


def state(name: str, generation: int) -> dict[str, object]:
    """Returns the state.json that a writer writes if nothing is wrong."""
    return {
        "format": "keystart.state/1",
        "state": name,
        "generation": generation,
        "pid": 17,
        "at": PUBLISHED_AT,
        "message": None,
        "failures": {},
    }


def manifest(described: Description) -> bytes:
    """Returns the text of the manifest for `generation`, `secrets`, `unavailable` and `manifest`."""
    document = {
        "format": "keystart.manifest/1",
        "generation": described["generation"],
        "published_at": PUBLISHED_AT,
        "writer": {"name": "keystart-extension", "version": "0.1.0"},
        "secrets": {name: _entry(name, content(value)) for name, value in described["secrets"].items()},
        "unavailable": described.get("unavailable", {}),
    }
    # A copy, because the description must not change.
    return _edited(copy.deepcopy(document), copy.deepcopy(described.get("manifest", {})))


def _entry(name: str, value: bytes) -> dict[str, object]:
    try:
        value.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "binary"
    return {
        "path": f"secrets/{name}",
        "size": len(value),
        "encoding": encoding,
        "fetched_at": FETCHED_AT,
        "refresh_after": None,
        "source": {"provider": "secretsmanager", "id": f"test/{name}"},
    }


def _laid_out(manifest: dict[str, Any]) -> str:
    """Returns a manifest as the writer lays it out, because Node's quick way reads no other."""

    def entry(value: Any) -> str:
        if not isinstance(value, dict):
            return _json(value)
        members = (
            f"{_json(member)}: {_json(of, compact=member == 'source')}" for member, of in value.items()
        )
        return "{" + ", ".join(members) + "}"

    def part(name: str, value: Any) -> str:
        if name not in ("secrets", "unavailable") or not isinstance(value, dict):
            return _json(value)
        return "{" + ",".join(f"\n    {_json(member)}: {entry(of)}" for member, of in value.items()) + "\n  }"

    members = (f"\n  {_json(name)}: {part(name, value)}" for name, value in manifest.items())
    return "{" + ",".join(members) + "\n}\n"


def _json(value: Any, *, compact: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":") if compact else None)


def _edited(manifest: dict[str, Any], edits: Description) -> bytes:
    if "raw" in edits:
        return content(edits["raw"])
    for pointer, value in edits.get("set", {}).items():
        parent, member = _resolved(manifest, pointer)
        parent[member] = value
    for pointer in edits.get("remove", []):
        parent, member = _resolved(manifest, pointer)
        del parent[member]
    if "fill" in edits:
        _fill(manifest, edits["fill"])
    # `fill` counts bytes, and `replace` finds pieces, of a text without line feeds.
    text = _json(manifest) if {"fill", "replace"} & set(edits) else _laid_out(manifest)
    data = text.encode()
    for replacement in edits.get("replace", []):
        found = content(replacement["find"])
        if data.count(found) != 1:
            raise ValueError(f"{found!r} is in the manifest {data.count(found)} times, not once")
        data = data.replace(found, content(replacement["with"]))
    if len(data) > edits.get("pad", len(data)):
        raise ValueError(f"the manifest is longer than its pad of {edits['pad']} bytes")
    return data.ljust(edits.get("pad", 0), b" ")


def _fill(manifest: dict[str, Any], length: int) -> None:
    # Adds the shortest entries that are valid, as many as the text can hold; `pad` makes up the rest.
    def entry(number: int) -> tuple[str, dict[str, object]]:
        name = f"fill{number:05}"
        return name, {**_entry(name, b""), "fetched_at": "", "source": {"provider": "", "id": ""}}

    secrets = manifest["secrets"]
    there = len(json.dumps(manifest, ensure_ascii=False).encode())
    # A single entry has braces around it and no separator: two bytes either way.
    count = (length - there) // len(json.dumps(dict([entry(0)])))
    secrets.update(entry(number) for number in range(count))


def _resolved(document: dict[str, Any], pointer: str) -> tuple[dict[str, Any], str]:
    # RFC 6901; the manifest has objects only where cases change something.
    *parents, member = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for name in parents:
        document = document[name]
    return document, member


def _within(root: Path, path: str) -> Path:
    # `..` is removed here, because the system refuses it below a missing root.
    target = Path(os.path.normpath(root / path))
    # A described link may lead anywhere, even to `/`: nothing behind one is made, removed or changed.
    if not target.parent.resolve().is_relative_to(root.parent.resolve()):
        raise ValueError(f"{path} leads out of the folder of the store")
    return target


def _set_mode(path: Path, mode: int) -> None:
    if path.is_symlink():
        raise ValueError(f"{path.name} is a link, which has no mode of its own")
    path.chmod(mode)


def _folder(path: Path) -> None:
    if not path.is_dir():
        _folder(path.parent)
        path.mkdir()
        path.chmod(0o700)


def _write(path: Path, data: bytes) -> None:
    # Never through a link. A FIFO without a reader raises an error.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o600)


def _point(root: Path, target: str | None) -> None:
    # Renames, as a writer does: a reader at work must never find `current` missing.
    if target is None:
        (root / "current").unlink()
        return
    new = root / ".current-new"
    new.symlink_to(target.replace("{root}", str(root)))
    new.rename(root / "current")


def _crowd(folder: Path, count: int) -> None:
    # Hard links to few files: making and removing 100,000 files would take most of the time of all cases.
    for number in range(count):
        path = folder / f"crowd{number:06}"
        if number % 50_000 == 0:  # ext4 allows 65,000 names
            first = path
            _write(first, b"")
        else:
            os.link(first, path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _emptied(root: Path, path: str) -> Path:
    target = _within(root, path)
    _folder(target.parent)
    if os.path.lexists(target):
        _remove(target)
    return target


def bind(server: socket.socket, path: Path) -> None:
    """Binds a Unix socket."""
    _at_its_folder(path, server.bind)


def connect(client: socket.socket, path: Path) -> None:
    """Connects to a Unix socket."""
    _at_its_folder(path, client.connect)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        bind(server, path)


def _at_its_folder(path: Path, use: Callable[[str], None]) -> None:
    # By a short relative path, because the path of a socket has at most 107 bytes.
    back = Path.cwd()
    os.chdir(path.parent)
    try:
        use(path.name)
    finally:
        os.chdir(back)
