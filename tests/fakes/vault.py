"""Vault on loopback, after the source of Vault 1.21: KV version 2, namespaces, and logins of four kinds.

`tests/servers/vault.py` starts a real one, and the same tests run on both.
"""

from __future__ import annotations

import json
import secrets as randomness
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from .http import Answer, Request, Stub

_GONE = "2026-11-01T08:00:00.000000000Z"  # when a version was deleted


@dataclass
class Secret:
    """A secret of KV version 2. A version is None if it is deleted, and False if it is destroyed."""

    versions: list[dict[str, Any] | bool | None]
    metadata: dict[str, str] = field(default_factory=dict)


class Vault(Stub):
    """The server. Secrets are found by namespace, mount and path."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(self._answer)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://{self.address}"
        self.token = randomness.token_hex(16)
        self.secrets: dict[tuple[str, str, str], Secret] = {}
        self._logins: dict[str, tuple[str, str]] = {}  # by mount: the role and the credential
        self._denied: set[str] = set()  # paths, with their mount
        self.lease = 3600

    def put(
        self,
        path: str,
        data: Mapping[str, Any],
        metadata: Mapping[str, str] | None = None,
        *,
        mount: str = "secret",
        namespace: str = "",
    ) -> None:
        """Writes a version of a secret."""
        secret = self.secrets.setdefault((namespace, mount, path), Secret([]))
        secret.versions.append(dict(data))
        secret.metadata.update(metadata or {})

    def delete(self, path: str, *, destroy: bool = False) -> None:
        """Deletes or destroys the current version of a secret."""
        self.secrets["", "secret", path].versions[-1] = False if destroy else None

    def approle(self) -> tuple[str, str]:
        """Makes a role for applications, and returns its id and its secret id."""
        return self._role("approle")

    def jwt(self, mount: str) -> tuple[str, str]:
        """Makes a role for a pipeline, and returns its name and a token that this pipeline has."""
        return self._role(mount)

    def kubernetes(self, mount: str) -> tuple[str, str]:
        """Makes a role for a pod, and returns its name and the pod's token."""
        return self._role(mount)

    def deny(self, path: str) -> None:
        """Takes a path, with its mount, from the rights of the token."""
        self._denied.add(path)

    def _role(self, mount: str) -> tuple[str, str]:
        self._logins[mount] = (randomness.token_hex(8), randomness.token_hex(16))
        return self._logins[mount]

    def _answer(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        path = unquote(parts.path).removeprefix("/v1/")
        if path.startswith("auth/"):
            return self._log_in(path.split("/")[1], request.json)
        if request.headers.get("x-vault-token") != self.token:
            return _error(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
        mount, _, rest = path.partition("/")
        if path in self._denied:
            return _error(403, "1 error occurred:\n\t* permission denied\n\n")
        namespace = request.headers.get("x-vault-namespace", "").strip("/")
        kind, _, name = rest.partition("/")
        if request.method == "LIST" and kind == "metadata":
            return self._list(namespace, mount, name)
        secret = self.secrets.get((namespace, mount, name))
        if secret is None:
            return _error(404)
        if kind == "metadata":
            return _data(
                {"current_version": len(secret.versions), "custom_metadata": secret.metadata or None}
            )
        version = secret.versions[-1]
        metadata = {
            "created_time": _GONE,
            "custom_metadata": secret.metadata or None,
            "deletion_time": _GONE if version is None else "",
            "destroyed": version is False,
            "version": len(secret.versions),
        }
        if isinstance(version, dict):
            return _data({"data": version, "metadata": metadata})
        return _data({"data": None, "metadata": metadata}, 404)

    def _list(self, namespace: str, mount: str, folder: str) -> Answer:
        folder = folder.rstrip("/") + "/" if folder else ""
        names = [
            path.removeprefix(folder)
            for space, of, path in self.secrets
            if (space, of) == (namespace, mount) and path.startswith(folder)
        ]
        keys = sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in names})
        return _data({"keys": keys}) if keys else _error(404)

    def _log_in(self, mount: str, sent: Mapping[str, str]) -> Answer:
        role = sent.get("role_id") or sent.get("role", "")
        credential = sent.get("secret_id") or sent.get("jwt", "")
        if self._logins.get(mount) != (role, credential):
            return _error(400, "invalid role or secret ID")
        auth = {"client_token": self.token, "lease_duration": self.lease, "renewable": True}
        return _json(200, {"auth": auth})


def _data(data: Mapping[str, Any], status: int = 200) -> Answer:
    return _json(status, {"request_id": "1", "data": data})


def _error(status: int, *errors: str) -> Answer:
    return _json(status, {"errors": errors})


def _json(status: int, document: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
