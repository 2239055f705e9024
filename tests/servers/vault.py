"""A real OpenBao or Vault in memory, if its program is on PATH: `bao server -dev` with what a test stores there."""

from __future__ import annotations

import json
import os
import secrets as randomness
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import hvac
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.fakes.certificates import Authority
from tests.fakes.http import Answer, Request, Stub

if TYPE_CHECKING:
    from typing_extensions import Self

_PATIENCE = 30.0  # seconds until it answers
_ROLE = "payments"
# What docs/sync.md asks for, for the whole mount.
_READS = """
path "secret/metadata/*" { capabilities = ["list", "read"] }
path "secret/data/*" { capabilities = ["read"] }
"""


def program() -> str | None:
    """Returns the path of the program, None if there is none."""
    return shutil.which("bao") or shutil.which("vault")


class Vault:
    """The server during the `with` block. It has the calls of `tests.fakes.vault.Vault`."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self._folder = folder
        self._tls = tls
        self._more = ExitStack()
        self._key = RSAKey.generate_key(2048)  # signs the tokens of a cluster and of a pipeline
        self.token = randomness.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self.authority = folder / "vault-ca.pem"  # where the program writes it
        self._client = hvac.Client(self.url, token=self.token, verify=str(self.authority) if tls else True)

    def __enter__(self) -> Self:
        command = [program(), "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={self.address}"]
        if self._tls:
            command += ["-dev-tls", f"-dev-tls-cert-dir={self._folder}"]
        with (self._folder / "vault.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                # In its environment, because every user sees the arguments of a process.
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self._folder),
                    "VAULT_DEV_ROOT_TOKEN_ID": self.token,  # OpenBao reads it too
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
            # An error until the mount is ready.
            return bool(self._client.secrets.kv.v2.read_configuration())
        # The errors of requests are OSErrors, as is a missing authority.
        except (OSError, hvac.exceptions.VaultError):
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._more.close()

    def put(
        self,
        path: str,
        data: Mapping[str, Any],
        metadata: Mapping[str, str] | None = None,
        *,
        namespace: str = "",
    ) -> None:
        """Writes a version of a secret. The namespace must be new."""
        client = self._client
        if namespace:
            self._client.sys.create_namespace(namespace)
            client = hvac.Client(self.url, token=self.token, namespace=namespace)
            client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        client.secrets.kv.v2.create_or_update_secret(path, dict(data))
        if metadata:
            client.secrets.kv.v2.update_metadata(path, custom_metadata=dict(metadata))

    def delete(self, path: str, *, destroy: bool = False) -> None:
        """Deletes or destroys the current version of a secret."""
        kv = self._client.secrets.kv.v2
        version = kv.read_secret_metadata(path)["data"]["current_version"]
        if destroy:
            kv.destroy_secret_versions(path, [version])
        else:
            kv.delete_secret_versions(path, [version])

    def deny(self, path: str) -> None:
        """Takes a path, with its mount, from the rights of the token."""
        closed = f'path "{path}" {{ capabilities = ["deny"] }} path "{path}/" {{ capabilities = ["deny"] }}'
        self._client.sys.create_or_update_policy("closed", f"{_READS} {closed}")
        self.token = self._client.auth.token.create(policies=["closed"])["auth"]["client_token"]

    def approle(self) -> tuple[str, str]:
        """Makes a role for applications, and returns its id and its secret id."""
        self._enable("approle", "approle")
        approle = self._client.auth.approle
        approle.create_or_update_approle(_ROLE, token_policies=[_ROLE], token_ttl="1h")
        role = approle.read_role_id(_ROLE)["data"]["role_id"]
        return role, approle.generate_secret_id(_ROLE)["data"]["secret_id"]

    def jwt(self, mount: str) -> tuple[str, str]:
        """Makes a role for a pipeline, and returns its name and a token that this pipeline has."""
        self._enable("jwt", mount)
        public = self._key.as_pem(private=False).decode()
        self._client.auth.jwt.configure(jwt_validation_pubkeys=[public], path=mount)
        self._client.auth.jwt.create_role(
            _ROLE,
            user_claim="sub",
            allowed_redirect_uris=[],
            role_type="jwt",
            bound_audiences=["vault"],
            token_policies=[_ROLE],
            path=mount,
        )
        return _ROLE, self._signed({"sub": "pipeline", "aud": "vault"})

    def kubernetes(self, mount: str) -> tuple[str, str]:
        """Makes a role for a pod, and returns its name and the pod's token. A fake cluster knows that one alone."""
        account = {"name": _ROLE, "uid": "1"}
        token = self._signed(
            {
                "sub": f"system:serviceaccount:default:{_ROLE}",
                "aud": ["vault"],
                "kubernetes.io": {"namespace": "default", "serviceaccount": account},
            }
        )
        cluster = self._more.enter_context(Stub(lambda request: _review(request, token)))
        self._enable("kubernetes", mount)
        self._client.auth.kubernetes.configure(
            # The authority is for TLS, which the fake does not speak. Without it the server looks for a pod's file.
            cluster.url,
            kubernetes_ca_cert=Authority().pem,
            token_reviewer_jwt=self._signed({"sub": "reviewer"}),
            mount_point=mount,
        )
        self._client.auth.kubernetes.create_role(
            _ROLE, [account["name"]], ["default"], policies=[_ROLE], audience="vault", mount_point=mount
        )
        return _ROLE, token

    def _enable(self, method: str, mount: str) -> None:
        """Enables a method of login, for a role that reads everything."""
        self._client.sys.create_or_update_policy(_ROLE, _READS)
        self._client.sys.enable_auth_method(method, path=mount)

    def _signed(self, claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        return jwt.encode(
            {"alg": "RS256"}, {**claims, "iat": now, "nbf": now - 60, "exp": now + 3600}, self._key
        )


def _review(request: Request, token: str) -> Answer:
    """Answers like Kubernetes' TokenReview."""
    if request.json["spec"]["token"] == token:
        user = {"username": f"system:serviceaccount:default:{_ROLE}", "uid": "1"}
        status = {"authenticated": True, "audiences": ["vault"], "user": user}
    else:
        status = {"authenticated": False, "error": "unknown"}
    return Answer(201, json.dumps({"kind": "TokenReview", "status": status}).encode())
