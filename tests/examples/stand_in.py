"""A stand-in for AWS: the secrets of the examples, in a store served by moto behind TLS."""

from __future__ import annotations

import secrets

from tests.fakes.aws import Cloud
from tests.fakes.front import Front


class StandIn(Cloud):
    """Secrets Manager and Parameter Store with the secrets of the examples, made up for this run."""

    def __init__(self, endpoint: str, front: Front) -> None:
        self.front = front
        """Returns the URL for functions, behind TLS."""
        super().__init__(endpoint)
        self.canaries: list[str] = []
        """Returns text that no log may hold."""
        self.token_key = self._key()
        self.secret(self.token_key, "prod/token-key")
        self.secret(self._key(), "prod/webhook-key")

    def new_webhook_key(self) -> str:
        """Makes the secret again, without an earlier version."""
        self.secrets.delete_secret(SecretId="prod/webhook-key", ForceDeleteWithoutRecovery=True)
        self.secret(self._key(), "prod/webhook-key")
        return self.canaries[-1]

    def rotate_webhook_key(self) -> str:
        self.secrets.put_secret_value(SecretId="prod/webhook-key", SecretString=self._key())
        return self.canaries[-1]

    def _key(self) -> str:
        self.canaries.append(secrets.token_hex(32))
        return self.canaries[-1]

    def arn(self, secret: str) -> str:
        return self.secrets.describe_secret(SecretId=secret)["ARN"]
