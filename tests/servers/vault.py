"""A real Vault or OpenBao in memory, if its program is on PATH: `vault server -dev` with what a test stores there."""

from __future__ import annotations

import os
import secrets as randomness
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import hvac
import requests

if TYPE_CHECKING:
    from typing_extensions import Self

_PATIENCE = 30.0  # seconds until it answers


def program() -> str | None:
    """Returns the path of the program, None if there is none."""
    return shutil.which("bao") or shutil.which("vault")


class Vault:
    """The server during the `with` block. It has the calls of `tests.fakes.vault.Vault`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.token = randomness.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self._client = hvac.Client(self.url, token=self.token)

    def __enter__(self) -> Self:
        command = [program(), "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={self.address}"]
        with (self._folder / "vault.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                # In its environment, because every user sees the arguments of a process.
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self._folder),
                    "VAULT_DEV_ROOT_TOKEN_ID": self.token,
                },
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _PATIENCE
        while not self._is_ready():
            assert time.monotonic() < end, (self._folder / "vault.log").read_text()
            time.sleep(0.1)
        return self

    def _is_ready(self) -> bool:
        try:
            return "secret/" in self._client.sys.list_mounted_secrets_engines()["data"]
        except (requests.exceptions.ConnectionError, hvac.exceptions.VaultError):
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def put(self, path: str, data: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
        """Writes a version of a secret."""
        self._client.secrets.kv.v2.create_or_update_secret(path, dict(data))
        if metadata:
            self._client.secrets.kv.v2.update_metadata(path, custom_metadata=dict(metadata))

    def delete(self, path: str, *, destroy: bool = False) -> None:
        """Deletes or destroys the current version of a secret."""
        kv = self._client.secrets.kv.v2
        version = kv.read_secret_metadata(path)["data"]["current_version"]
        if destroy:
            kv.destroy_secret_versions(path, [version])
        else:
            kv.delete_secret_versions(path, [version])

    def approle(self) -> tuple[str, str]:
        """Makes a role for applications, and returns its id and its secret id."""
        policy = 'path "secret/*" { capabilities = ["read", "list"] }'
        self._client.sys.create_or_update_policy("payments", policy)
        self._client.sys.enable_auth_method("approle")
        approle = self._client.auth.approle
        approle.create_or_update_approle("payments", token_policies=["payments"], token_ttl="1h")
        role = approle.read_role_id("payments")["data"]["role_id"]
        return role, approle.generate_secret_id("payments")["data"]["secret_id"]
