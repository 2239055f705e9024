"""Asks Secrets Manager, Parameter Store and STS through boto3: one call a method, no retries, no policy.

Every failure comes out as `Refused`, which says whether asking again can help.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.config import Config

from ...fetched import wall_clock
from ...secret import Answer
from . import credentials, identity
from .refused import BATCH, SESSION, Refused, another, ask, no_answer, said

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueRequestTypeDef

_CONNECT_TIMEOUT = 2.0  # seconds


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
        action = _get_secret_value(secret_id)

        def call() -> Answer:
            answer = client.get_secret_value(**request)
            if not identity.is_secret(secret_id, client.meta.region_name, answer["ARN"], answer["Name"]):
                raise another(action, "secret")
            if not identity.is_version(stage, version_id, answer["VersionId"], answer.get("VersionStages")):
                raise another(action, "version")
            return _secret(secret_id, answer, client)

        return ask(action, call)

    def secrets(self, region: str | None, role: str | None, ids: Sequence[str], token: str | None) -> Page:
        """Asks BatchGetSecretValue once for ids of one account: one page of answers."""
        client = self._client("secretsmanager", region, role)
        page = {"NextToken": token} if token else {}

        def call() -> Page:
            answer = client.batch_get_secret_value(SecretIdList=list(ids), **page)
            if not {"SecretValues", "Errors", "NextToken"} & answer.keys():
                raise no_answer(BATCH)  # as botocore tells of what is not JSON
            found: list[tuple[str, Answer]] = []
            for secret in answer.get("SecretValues", ()):
                where = client.meta.region_name
                asked = [id for id in ids if identity.is_secret(id, where, secret["ARN"], secret["Name"])]
                if not asked:
                    raise confused("gave a secret that was not asked for")
                if not identity.is_version(None, None, secret["VersionId"], secret.get("VersionStages")):
                    raise confused("gave a version that was not asked for")
                found += [(id, _secret(id, secret, client)) for id in asked]
            refused = {
                id: said(_get_secret_value(id), error.get("ErrorCode"), error.get("Message"), 200)
                for error in answer.get("Errors", ())
                for id in ids
                if identity.is_secret_id(id, error.get("SecretId", ""))
            }
            return Page(found, refused, answer.get("NextToken"))

        return ask(BATCH, call)

    def parameters(self, region: str | None, role: str | None, ids: Sequence[str]) -> dict[str, Answer]:
        """Asks GetParameters once for at most 10 ids; one that does not exist is missing in the answer."""
        client = self._client("ssm", region, role)
        action = f"ssm:GetParameters on {', '.join(ids)}, and kms:Decrypt on the key of a SecureString"

        def call() -> dict[str, Answer]:
            found: dict[str, Any] = {}
            answer = client.get_parameters(Names=list(ids), WithDecryption=True)
            for parameter in sorted(answer["Parameters"], key=lambda found: int(found["Version"])):
                asked = [id for id in _asked(parameter) if id in ids]
                if not asked or not _is_sound(parameter, client):
                    raise another(action, "parameter")
                for id in asked:
                    other = found.setdefault(id, parameter)
                    if other["Version"] == parameter["Version"] and other["Value"] != parameter["Value"]:
                        raise another(action, "value")
                    found[id] = parameter
            return {name: _parameter(name, found[name], client) for name in ids if name in found}

        return ask(action, call)

    def parameters_below(
        self, region: str | None, role: str | None, path: str, token: str | None
    ) -> tuple[list[tuple[str, Answer]], str | None]:
        """Asks GetParametersByPath for one page: names with answers, and the token of the next page."""
        client = self._client("ssm", region, role)
        page = {"NextToken": token} if token else {}
        action = below(path)

        def call() -> tuple[list[tuple[str, Answer]], str | None]:
            answer = client.get_parameters_by_path(Path=path, Recursive=True, WithDecryption=True, **page)
            found = []
            for parameter in answer["Parameters"]:
                name = parameter["Name"]
                if not identity.is_below(path, name) or not _is_sound(parameter, client):
                    raise another(action, "parameter")
                found.append((name, _parameter(name, parameter, client)))
            return found, answer.get("NextToken")

        return ask(action, call)

    def log_in(self) -> None:
        """Gets the credentials now, before the deadline begins: a person may have to type a code."""
        self._own_session()

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
                self._sessions[None] = ask(SESSION, lambda: credentials.session(self._profile))
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
            answer = client.assume_role(RoleArn=role, RoleSessionName="keystart")
            return credentials.of_role(role, answer["Credentials"])

        return ask(f"sts:AssumeRole on {role}", call)


def _get_secret_value(secret_id: str) -> str:
    return f"secretsmanager:GetSecretValue on {secret_id}"


def below(path: str) -> str:
    """Returns what a role must allow for the parameters below a path."""
    return f"ssm:GetParametersByPath on {path}, and kms:Decrypt on the key of a SecureString"


def _secret(secret_id: str, answer: Any, client: Any) -> Answer:
    source = _source("secretsmanager", secret_id, client, answer["VersionId"], answer.get("VersionStages"))
    if "SecretString" in answer:
        return _text(answer["SecretString"], source)
    return Answer(answer["SecretBinary"], "binary", source, wall_clock())


def confused(what: str) -> Refused:
    """Refuses an answer to a batch from which nobody can tell whose secret is whose."""
    told = f"secretsmanager:BatchGetSecretValue {what}. Check AWS_ENDPOINT_URL, or set `batch: false`."
    return Refused("InvalidAnswer", told)


def _parameter(name: str, parameter: Any, client: Any) -> Answer:
    return _text(parameter["Value"], _source("ssm", name, client, str(parameter["Version"]), None))


def _is_sound(parameter: Any, client: Any) -> bool:
    return identity.is_parameter(
        client.meta.region_name, parameter["Name"], parameter.get("ARN")
    ) and identity.is_selected(parameter.get("Selector"), int(parameter["Version"]))


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
