"""Stands in for AWS: what the examples ask for, in a store served by moto behind TLS."""

from __future__ import annotations

import secrets

import boto3

from tests.fakes.front import Front

from .deployed import REGION


class StandIn:
    """Secrets Manager and Parameter Store with what the examples ask for, made up for this run."""

    def __init__(self, endpoint: str, front: Front) -> None:
        self.front = front
        """Where functions find it, behind TLS."""
        session = boto3.Session("made-up", "made-up", region_name=REGION)
        self.manager = session.client("secretsmanager", endpoint_url=endpoint)
        self.parameters = session.client("ssm", endpoint_url=endpoint)
        self.canaries: list[str] = []
        """Text that no log may hold."""
        self.token_key = self._key()
        self.manager.create_secret(Name="prod/token-key", SecretString=self.token_key)
        self.manager.create_secret(Name="prod/webhook-key", SecretString=self._key())

    def put(self, name: str, value: str) -> None:
        self.parameters.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)

    def new_webhook_key(self) -> str:
        """Makes the secret anew: there is no version before this one."""
        self.manager.delete_secret(SecretId="prod/webhook-key", ForceDeleteWithoutRecovery=True)
        self.manager.create_secret(Name="prod/webhook-key", SecretString=self._key())
        return self.canaries[-1]

    def rotate_webhook_key(self) -> str:
        self.manager.put_secret_value(SecretId="prod/webhook-key", SecretString=self._key())
        return self.canaries[-1]

    def _key(self) -> str:
        self.canaries.append(secrets.token_hex(32))
        return self.canaries[-1]

    def arn(self, secret: str) -> str:
        return self.manager.describe_secret(SecretId=secret)["ARN"]
