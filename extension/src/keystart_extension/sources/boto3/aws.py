"""Asks Secrets Manager, Parameter Store and STS through boto3: one call a method, no retries, no policy.

Every failure comes out as `Refused`, which says whether asking again can help.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)
from botocore.parsers import ResponseParserError

from ...fetched import wall_clock
from ...secret import Answer

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueRequestTypeDef

Result = TypeVar("Result")

# What Secrets Manager, Parameter Store and STS name when asking again can help.
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
# Such an action is allowed for everything or for nothing.
_BATCH = "secretsmanager:BatchGetSecretValue on *"
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_CONNECT_TIMEOUT = 2.0  # seconds
NO_WAY_OUT = "A function in a VPC reaches AWS only through a NAT gateway or an interface endpoint."


class Refused(Exception):
    """A call that gave no value: the service's code and message, with the cure where we know one."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Page(NamedTuple):
    """What BatchGetSecretValue said, by id, and the token of the next page."""

    found: list[tuple[str, Answer]]
    refused: dict[str, Refused]
    next: str | None


class Aws:
    """The clients of one start, each made once for its service, region and role; safe from several threads."""

    def __init__(self, region: str | None, deadline: float, profile: str | None = None) -> None:
        # Making a client is not safe from several threads; assuming a role waits for the network, so that each role
        # has a lock of its own and one that hangs holds up nobody else.
        self._lock = threading.Lock()
        self._role_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._region = region or os.environ.get("AWS_REGION")  # boto3 knows only AWS_DEFAULT_REGION
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
        client = self._client("secretsmanager", region, role)
        return ask(
            _get_secret_value(secret_id),
            lambda: _secret(secret_id, client.get_secret_value(**request), client),
        )

    def secrets(self, region: str | None, role: str | None, ids: Sequence[str], token: str | None) -> Page:
        """Asks BatchGetSecretValue once for ids of one account: one page of answers."""
        client = self._client("secretsmanager", region, role)
        page = {"NextToken": token} if token else {}

        def call() -> Page:
            answer = client.batch_get_secret_value(SecretIdList=list(ids), **page)
            if not {"SecretValues", "Errors", "NextToken"} & answer.keys():
                raise _no_answer(_BATCH)  # as botocore tells of what is not JSON
            found: list[tuple[str, Answer]] = []
            for secret in answer.get("SecretValues", ()):
                asked = [id for id in ids if _is_id_of(id, secret["ARN"], secret["Name"])]
                if not asked:
                    raise confused("gave a secret that was not asked for")
                found += [(id, _secret(id, secret, client)) for id in asked]
            refused = {
                id: _said(_get_secret_value(id), error.get("ErrorCode"), error.get("Message"), 200)
                for error in answer.get("Errors", ())
                for id in ids
                if _is_id_of(id, error.get("SecretId", ""), error.get("SecretId", ""))
            }
            return Page(found, refused, answer.get("NextToken"))

        return ask(_BATCH, call)

    def parameters(self, region: str | None, role: str | None, ids: Sequence[str]) -> dict[str, Answer]:
        """Asks GetParameters once for at most 10 ids; one that does not exist is missing in the answer."""
        client = self._client("ssm", region, role)

        def call() -> dict[str, Answer]:
            found: dict[str, Any] = {}
            answer = client.get_parameters(Names=list(ids), WithDecryption=True)
            for parameter in sorted(answer["Parameters"], key=lambda found: int(found["Version"])):
                for asked in _asked(parameter):
                    found[asked] = parameter
            return {name: _parameter(name, found[name], client) for name in ids if name in found}

        return ask(
            f"ssm:GetParameters on {', '.join(ids)}, and kms:Decrypt on the key of a SecureString", call
        )

    def parameters_below(
        self, region: str | None, role: str | None, path: str, token: str | None
    ) -> tuple[list[tuple[str, Answer]], str | None]:
        """Asks GetParametersByPath for one page: names with answers, and the token of the next page."""
        client = self._client("ssm", region, role)
        page = {"NextToken": token} if token else {}

        def call() -> tuple[list[tuple[str, Answer]], str | None]:
            answer = client.get_parameters_by_path(Path=path, Recursive=True, WithDecryption=True, **page)
            found = [
                (parameter["Name"], _parameter(parameter["Name"], parameter, client))
                for parameter in answer["Parameters"]
            ]
            return found, answer.get("NextToken")

        return ask(f"ssm:GetParametersByPath on {path}, and kms:Decrypt on the key of a SecureString", call)

    def close(self) -> None:
        """Closes the connections, which would not outlive a freeze. A call that hangs goes on until its own timeout."""
        # Not under the lock, which a thread may hold that waits for credentials.
        for client in list(self._clients.values()):
            client.close()

    def _client(self, service: str, region: str | None, role: str | None) -> Any:
        key = (service, region, role)
        session = self._own_session() if role is None else self._role_session(role)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, region, session)
            return self._clients[key]

    def _made(self, service: str, region: str | None, session: boto3.Session) -> Any:
        # The stubs know `client` only with a literal for each service.
        make: Any = session.client
        return ask(
            f"a client of {service}",
            lambda: make(service, region_name=region or self._region, config=self._config),
        )

    def _own_session(self) -> boto3.Session:
        with self._lock:
            if None not in self._sessions:
                self._sessions[None] = ask("a session", lambda: _session(self._profile))
            return self._sessions[None]

    def _role_session(self, role: str) -> boto3.Session:
        with self._lock:
            lock = self._role_locks[role]
        with lock:
            if role not in self._sessions:
                self._sessions[role] = self._assumed(role)
            return self._sessions[role]

    def _assumed(self, role: str) -> boto3.Session:
        client = self._client("sts", None, None)

        def call() -> boto3.Session:
            given = client.assume_role(RoleArn=role, RoleSessionName="keystart")["Credentials"]
            return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

        return ask(f"sts:AssumeRole on {role}", call)


def _session(profile: str | None) -> boto3.Session:
    session = boto3.Session(profile_name=profile)
    try:
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
    except RuntimeError:  # got anew, and over all the same
        reason = "The credentials have expired. Log in again, or get new credentials."
        raise Refused("ExpiredTokenException", reason) from None
    except ValueError as error:  # an endpoint that credentials must not be asked of
        raise Refused("CredentialsUnavailable", _sentence(error)) from None
    except KeyError as missing:
        reason = f"The container's endpoint gave credentials without {missing}."
        raise Refused("CredentialsUnavailable", reason) from None
    return session


def _get_secret_value(secret_id: str) -> str:
    return f"secretsmanager:GetSecretValue on {secret_id}"


def _secret(secret_id: str, answer: Any, client: Any) -> Answer:
    source = _source("secretsmanager", secret_id, client, answer["VersionId"], answer.get("VersionStages"))
    if "SecretString" in answer:
        return _text(answer["SecretString"], source)
    return Answer(answer["SecretBinary"], "binary", source, wall_clock())


def _is_id_of(id: str, arn: str, name: str) -> bool:
    """Says whether an id asks for this secret: by name, by ARN, or by ARN without the six characters at its end."""
    if id in (arn, name):
        return True
    return id.startswith("arn:") and re.fullmatch(f"{re.escape(id)}-[A-Za-z0-9]{{6}}", arn) is not None


def confused(what: str) -> Refused:
    """Refuses an answer to a batch from which nobody can tell whose secret is whose."""
    told = f"secretsmanager:BatchGetSecretValue {what}. Check AWS_ENDPOINT_URL, or set `batch: false`."
    return Refused("InvalidAnswer", told)


def _parameter(name: str, parameter: Any, client: Any) -> Answer:
    return _text(parameter["Value"], _source("ssm", name, client, str(parameter["Version"]), None))


def _asked(parameter: Any) -> list[str]:
    """Gives the ids that ask for this parameter; an emulator does not say which version was asked for."""
    version = f":{parameter['Version']}"
    selectors = [parameter["Selector"]] if "Selector" in parameter else ["", version]
    return [
        name + selector for name in (parameter["Name"], parameter.get("ARN", "")) for selector in selectors
    ]


def _source(
    provider: str, name: str, client: Any, version: str, stages: Sequence[str] | None
) -> dict[str, Any]:
    return {
        "provider": provider,
        "id": name,
        "region": client.meta.region_name,
        "version_id": version,
        "version_stages": list(stages or ()),
        "field": None,
    }


def _text(value: str, source: dict[str, Any]) -> Answer:
    # A service's JSON can escape half of a surrogate pair, which no UTF-8 can hold.
    return Answer(value.encode("utf-8", "surrogatepass"), "utf-8", source, wall_clock())


def ask(action: str, call: Callable[[], Result]) -> Result:
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
    except CredentialRetrievalError as error:
        # Its own text holds what was answered.
        provider = error.kwargs.get("provider", "their source")
        raise Refused("CredentialsUnavailable", f"No credentials could be had from {provider}.") from None
    except (NoConnectionError, HTTPClientError) as error:
        # What is not trusted now is not trusted a moment later.
        raise Refused("ConnectionFailed", _lost(error), retryable=not isinstance(error, SSLError)) from None
    except (ResponseParserError, KeyError, TypeError):
        # Their texts hold what was answered, and so perhaps a secret.
        raise _no_answer(action) from None
    except BotoCoreError as error:
        raise Refused(type(error).__name__, _sentence(error)) from None


def _lost(error: BotoCoreError) -> str:
    """Says how a connection failed, in the words of the core: botocore's own differ from one failure to the next."""
    match error:
        case ConnectTimeoutError():
            return f"The endpoint cannot be reached: timed out. {NO_WAY_OUT}"
        case ReadTimeoutError():
            return "The endpoint did not answer in time."
        case ConnectionClosedError():
            return "The endpoint closed the connection before its whole answer was there."
        case SSLError():
            return (
                f"The endpoint cannot be trusted: {_cause(error)}. Check AWS_CA_BUNDLE and AWS_ENDPOINT_URL."
            )
        case EndpointConnectionError():
            return f"The endpoint cannot be reached: {_cause(error)}. {NO_WAY_OUT}"
        case _:
            return f"The connection failed: {_cause(error)}."


def _cause(error: BaseException) -> str:
    """Gives the innermost reason, which says what happened: the others say only that something did."""
    inner: object = error
    while isinstance(inner, BaseException):
        error = inner
        inner = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
        inner = inner or error.__cause__ or error.__context__
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _refused(action: str, error: ClientError) -> Refused:
    details = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _said(action, details.get("Code") or "Unknown", details.get("Message"), status)


def _said(action: str, code: str | None, message: str | None, status: int) -> Refused:
    """Gives what a service said instead of an answer."""
    if not code:
        return _no_answer(action)
    message = _sentence(message or "The service gave no reason")
    if code in _DENIED:
        other = "the policy of a VPC endpoint" if action == _BATCH else "the resource policy and the KMS key"
        message += f" Allow {action}; {other} can deny it too."
    elif code in _EXPIRED:
        message += " Log in again, or get new credentials."
    return Refused(code, message, retryable=code in _RETRYABLE or status >= 500)


def _no_answer(action: str) -> Refused:
    return Refused(
        "InvalidAnswer", f"The endpoint gave no answer that AWS gives to {action}. Check AWS_ENDPOINT_URL."
    )


def _sentence(reason: object) -> str:
    text = str(reason).rstrip()
    return text if text.endswith((".", "!", "?")) else text + "."
