"""Three readers that are wrong on purpose, each as people are. A case that none of them fails tests nothing.

They are small, so that nobody takes them for readers, and none is asked what is right.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any


class RefusalError(Exception):
    """A refusal in the words of the contract."""

    def __init__(self, code: str, message: str, secret: str | None = None) -> None:
        super().__init__(message)
        self.said = {"code": code, "message": message, "secret": secret}


def _not_found(name: str) -> RefusalError:
    cure = "Add it to the configuration of the extension."
    return RefusalError("secret_not_found", f'There is no secret "{name}" in the store. {cure}', name)


def _contents(path: bytes | Path) -> bytes:
    # However wrong a reader is, the linter must not hang on a FIFO, nor read a device without end.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        return stream.read(1 << 22)


class Trusting:
    """Believes the disk: follows links, ignores modes, owners and sizes, parses what looks like JSON."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        given = asked.get("root") or asked["env"].get("KEYSTART_DIR") or "/tmp/keystart"
        self.root = Path(os.path.normpath(Path.cwd() / str(given).replace("\0", "")))

    def answer(self) -> dict[str, Any]:
        try:
            value = getattr(self, self.asked["call"])(self.asked.get("name"))
        except RefusalError as wrong:
            return {"error": wrong.said}
        return {"value": value}

    def read(self, name: Any) -> bytes:
        path = f"{self.root}/current/secrets/{name}".replace("\0", "").encode(errors="replace")
        try:
            return _contents(path)
        except OSError:
            raise _not_found(str(name)) from None

    def text(self, name: Any) -> str:
        return self.read(name).decode("latin-1")

    def bytes(self, name: Any) -> dict[str, str]:
        return {"base64": base64.b64encode(self.read(name)).decode()}

    def json(self, name: Any) -> Any:
        text = self.read(name).decode("utf-8-sig", errors="surrogateescape")
        try:
            return json.loads(text, strict=False)
        except ValueError:
            return text

    def path(self, name: Any) -> str:
        return os.path.realpath(self.root / "current") + f"/secrets/{name}"

    def names(self, _: Any) -> list[str]:
        folder = self.root / "current" / "secrets"
        prefix = self.asked.get("prefix") or ""
        found = (str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        return sorted((name for name in found if name.startswith(str(prefix))), key=str.casefold)

    def info(self, name: Any) -> dict[str, Any]:
        entry = self._manifest()["secrets"].get(name)
        if entry is None:
            raise _not_found(name)
        return {**entry, "path": self.path(name), "stale": entry.get("refresh_after") is not None}

    def secret(self, name: Any) -> dict[str, Any]:
        return {"name": name, "text": self.text(name), "bytes_base64": self.bytes(name)["base64"]}

    def tls(self, _: Any) -> dict[str, bool]:
        prefix = self.asked.get("prefix")
        parts = [self.read(f"{prefix}/{part}") for part in ("cert", "key")]
        return {"usable": all(part.startswith(b"-----BEGIN") for part in parts)}

    def _manifest(self) -> Any:
        try:
            return json.loads(_contents(self.root / "current" / "manifest.json"))
        except (OSError, ValueError):
            return {"secrets": {}}


class Careless(Trusting):
    """Loses details, and remembers its first answer for ever.

    Trims text, keeps the first of equal members, folds case, makes every number a double, answers nothing for what is
    missing.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__(asked)
        self._first: dict[str, Any] | None = None

    def answer(self) -> dict[str, Any]:
        if self._first is None:
            self._first = super().answer()
        return self._first

    def read(self, name: Any) -> bytes:
        try:
            return super().read(str(name).lower()).strip()
        except RefusalError:
            return b""

    def text(self, name: Any) -> str:
        return self.read(name).decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\0", "")

    def json(self, name: Any) -> Any:
        def first(members: list[tuple[str, Any]]) -> dict[str, Any]:
            return {key.strip("_"): value for key, value in reversed(members)}

        text = self.read(name).decode("utf-8-sig", errors="replace")
        try:
            return json.loads(text, parse_int=float, object_pairs_hook=first)
        except (ValueError, RecursionError):
            return None

    def path(self, name: Any) -> str:
        return str(self.root / "secrets" / str(name))

    def names(self, _: Any) -> list[str]:
        return list(self._manifest()["secrets"])

    def info(self, name: Any) -> dict[str, Any]:
        entry = self._manifest()["secrets"].get(name, {})
        return {"path": self.path(name), "size": entry.get("size"), "stale": False}


class Zealous(Trusting):
    """Refuses what the contract allows: anything that is not the plainest store, name and value."""

    def answer(self) -> dict[str, Any]:
        try:
            if self.asked["env"] or self.asked.get("root") != str(self.root):
                raise RefusalError("invalid_option", "the root is not given as a plain absolute path")
            self._check_modes()
            self._check_manifest()
        except RefusalError as wrong:
            return {"error": wrong.said}
        return super().answer()

    def _check_modes(self) -> None:
        for path in self.root.rglob("*"):
            found = path.lstat()
            shared = found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077
            if (path.is_file() and found.st_nlink > 1) or (shared and not path.is_symlink()):
                raise RefusalError("layout_insecure", f"{path} is not ours alone")

    def _check_manifest(self) -> None:
        try:
            text = _contents(self.root / "current" / "manifest.json")
            if b"\\" in text:
                raise RefusalError("manifest_invalid", "there is an escape in the manifest")
            manifest = json.loads(text, object_pairs_hook=self._once)
            state = json.loads(_contents(self.root / "state.json"))
        except (OSError, ValueError):
            raise RefusalError("manifest_invalid", "a file of the store cannot be understood") from None
        known = {"format", "generation", "published_at", "writer", "secrets", "unavailable"}
        if set(manifest) != known or state["state"] != "ready" or not isinstance(manifest["generation"], int):
            raise RefusalError("manifest_invalid", "the store is not as it was last year")
        for name, entry in manifest["secrets"].items():
            plain = name.replace("/", "").isalpha() and name == name.lower() and len(name) <= 64
            plain = plain and entry["encoding"] == "utf-8" and isinstance(entry["size"], int)
            if not plain or entry["refresh_after"] or not (self.root / "current" / entry["path"]).is_file():
                raise RefusalError("manifest_invalid", f"{name} is not plain")

    def read(self, name: Any) -> bytes:
        data = super().read(name)
        odd = any((byte < 32 and byte != 10) or byte > 126 for byte in data)
        if odd or not 0 < len(data) <= 65536:
            raise RefusalError("secret_corrupt", "the value is not plain", str(name))
        return data

    def json(self, name: Any) -> Any:
        try:
            text = self.read(name)
            if b"\\u" in text or text.count(b"[") + text.count(b"{") not in range(1, 33):
                self._refused("escape, scalar or depth")
            return json.loads(text, object_pairs_hook=self._once, parse_float=self._refused)
        except (ValueError, RecursionError):
            raise RefusalError("secret_not_json", "the value is not plain JSON", str(name)) from None

    def _once(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in members}) < len(members):
            raise RefusalError("manifest_invalid", "a member is there twice")
        return dict(members)

    def _refused(self, what: str) -> Any:
        raise RefusalError("secret_not_json", f"{what} is not plain")


ALL: tuple[type[Trusting], ...] = (Trusting, Careless, Zealous)
