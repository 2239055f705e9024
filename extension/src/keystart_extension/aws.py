"""Asks Secrets Manager, Parameter Store and STS through boto3: one call a method, no retries, no policy.

Every failure comes out as `Refused`, which says whether asking again can help.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from .fetched import Answer, wall_clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueRequestTypeDef

# aws-facts: what Secrets Manager, Parameter Store and STS name when asking again can help.
_RETRYABLE = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_CONNECT_TIMEOUT = 2.0


class Refused(Exception):
    """A call that gave no value: the service's code and message, with the cure where we know one."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable

    @property
    def denied(self) -> bool:
        return self.code in _DENIED


class Aws:
    """The clients of one start, each made once for its service, region and role; safe from several threads."""

    def __init__(self, region: str | None, deadline: float, profile: str | None = None) -> None:
        self._lock = threading.Lock()
        self._region = region
        self._profile = profile
        self._sessions: dict[str | None, boto3.Session] = {}
        self._clients: dict[tuple[str, str | None, str | None], Any] = {}
        # Our own loop retries, inside one deadline for everything; botocore knows only about single calls.
        self._config = Config(
            connect_timeout=min(_CONNECT_TIMEOUT, deadline),
            read_timeout=deadline,
            retries={"total_max_attempts": 1},
            max_pool_connections=64,
        )

    def secret(
        self, region: str | None, role: str | None, secret_id: str, stage: str | None, version_id: str | None
    ) -> Answer:
        """Asks GetSecretValue once."""
        request: GetSecretValueRequestTypeDef = {"SecretId": secret_id}
        if stage is not None:
            request["VersionStage"] = stage
        if version_id is not None:
            request["VersionId"] = version_id
        action = f"secretsmanager:GetSecretValue on {secret_id}"
        client = self._client("secretsmanager", region, role)
        answer = _ask(action, lambda: client.get_secret_value(**request))
        source = {
            "provider": "secretsmanager",
            "id": secret_id,
            "region": client.meta.region_name,
            "version_id": answer["VersionId"],
            "version_stages": answer.get("VersionStages", []),
            "field": None,
        }
        if "SecretString" in answer:
            return Answer(answer["SecretString"].encode(), "utf-8", source, wall_clock())
        return Answer(answer["SecretBinary"], "binary", source, wall_clock())

    def parameters(self, region: str | None, role: str | None, ids: Sequence[str]) -> dict[str, Answer]:
        """Asks GetParameters once for at most 10 ids; one that does not exist is missing in the answer."""
        client = self._client("ssm", region, role)
        action = f"ssm:GetParameters on {', '.join(ids)}, and kms:Decrypt on the key of a SecureString"
        answer = _ask(action, lambda: client.get_parameters(Names=list(ids), WithDecryption=True))
        found: dict[str, Answer] = {}
        for parameter in answer["Parameters"]:
            selector = parameter.get("Selector", "")
            for name in (parameter["Name"] + selector, parameter.get("ARN", "") + selector):
                found[name] = _parameter(parameter, client.meta.region_name)
        return {name: found[name] for name in ids if name in found}

    def parameters_below(
        self, region: str | None, role: str | None, path: str, token: str | None
    ) -> tuple[list[tuple[str, Answer]], str | None]:
        """Asks GetParametersByPath for one page: names with answers, and the token of the next page."""
        client = self._client("ssm", region, role)
        action = f"ssm:GetParametersByPath on {path}, and kms:Decrypt on the key of a SecureString"
        page = {"NextToken": token} if token else {}
        answer = _ask(
            action,
            lambda: client.get_parameters_by_path(Path=path, Recursive=True, WithDecryption=True, **page),
        )
        found = [
            (parameter["Name"], _parameter(parameter, client.meta.region_name))
            for parameter in answer["Parameters"]
        ]
        return found, answer.get("NextToken")

    def _client(self, service: str, region: str | None, role: str | None) -> Any:
        """Gives the client; making one, a role's session included, happens once, under the lock."""
        key = (service, region, role)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, region, self._session(role))
            return self._clients[key]

    def _made(self, service: str, region: str | None, session: boto3.Session) -> Any:
        return _ask(
            f"a client for {service}",
            lambda: session.client(service, region_name=region or self._region, config=self._config),  # type: ignore[call-overload]
        )

    def _session(self, role: str | None) -> boto3.Session:
        if role not in self._sessions:
            self._sessions[role] = (
                _ask("a session", lambda: boto3.Session(profile_name=self._profile))
                if role is None
                else self._assumed(role)
            )
        return self._sessions[role]

    def _assumed(self, role: str) -> boto3.Session:
        client = self._made("sts", None, self._session(None))
        answer = _ask(
            f"sts:AssumeRole on {role}",
            lambda: client.assume_role(RoleArn=role, RoleSessionName="keystart"),
        )
        given = answer["Credentials"]
        return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def _parameter(parameter: Any, region: str) -> Answer:
    source = {
        "provider": "ssm",
        "id": parameter["Name"] + parameter.get("Selector", ""),
        "region": region,
        "version_id": str(parameter["Version"]),
        "version_stages": [],
        "field": None,
    }
    return Answer(parameter["Value"].encode(), "utf-8", source, wall_clock())


def _ask(action: str, call: Any) -> Any:
    """Calls once and turns every failure into words: what was refused, and what would help."""
    try:
        return call()
    except ClientError as error:
        raise _refused(action, error) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise Refused(
            "NoCredentials",
            "There are no AWS credentials. In Lambda the function's role gives them; on your own machine log in, "
            "or set AWS_PROFILE.",
        ) from None
    except NoRegionError:
        raise Refused("NoRegion", "No region is known. Set `region:` or AWS_REGION.") from None
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise Refused(
            "ConnectionFailed",
            f"{error} A function in a VPC reaches AWS only through a NAT gateway or an interface endpoint.",
            retryable=True,
        ) from None
    except HTTPClientError as error:
        raise Refused("ConnectionFailed", str(error), retryable=True) from None
    except BotoCoreError as error:
        raise Refused(type(error).__name__, str(error)) from None


def _refused(action: str, error: ClientError) -> Refused:
    details = error.response.get("Error", {})
    code = details.get("Code", "Unknown")
    message = details.get("Message", "the service gave no reason").rstrip()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _DENIED:
        message = f"{message} Allow {action}; the resource policy and the KMS key can deny it too."
    elif code in ("ExpiredTokenException", "ExpiredToken"):
        message = f"{message} Log in again, or get new credentials."
    return Refused(code, message, retryable=code in _RETRYABLE or status >= 500)
