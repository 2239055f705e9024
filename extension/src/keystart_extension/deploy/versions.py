"""Asks which versions a function would fetch now, without a value, and makes a marker of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..aws import AwsError
from ..aws.errors import ask
from .terms import DeployError

if TYPE_CHECKING:
    from mypy_boto3_ssm.type_defs import ParameterTypeDef

    from ..aws.session import Clients
    from ..plan import Plan

_CURRENT = "AWSCURRENT"
# A secret under the name of a parameter, whose version as a parameter never changes.
_REFERENCE = "/aws/reference/secretsmanager/"
_VERSION = re.compile(":[0-9]+$")
_ADDED = re.compile("-[A-Za-z0-9]{6}$")  # what Secrets Manager puts behind a name
_MISSING = ("ResourceNotFoundException", "ParameterNotFound")
_START = "New environments would not start."


class Source(NamedTuple):
    """What an entry of a configuration fetches."""

    kind: str
    region: str
    id: str
    stage: str

    @classmethod
    def of(cls, entry: Mapping[str, Any], region: str) -> Source | None:
        """Returns the source of an entry of a function in a region; None if the entry names its version."""
        kind, id_, stage = entry["kind"], str(entry["id"]), entry["stage"] or _CURRENT
        if entry["version_id"] is not None or (kind == "parameter" and _VERSION.search(id_)):
            return None
        if kind == "parameter" and id_.startswith(_REFERENCE):
            kind, id_ = "secret", id_.removeprefix(_REFERENCE)
        return cls(kind, entry["region"] or region, id_, stage if kind == "secret" else "")

    def is_named(self, text: str, region: str) -> bool:
        """Returns whether `--uses` means this source: its name, its ARN, or `ssm:` and a parameter."""
        is_parameter, name, where = _parts(text, region)
        own_is_parameter, own, own_where = _parts(self.id, self.region)
        if is_parameter != (own_is_parameter or self.kind != "secret") or where != own_where:
            return False
        if self.kind == "parameters":
            return name.startswith(f"{own.rstrip('/')}/")
        if self.kind == "parameter":
            return name == own.partition(":")[0]
        # An ARN may have the six characters or not.
        return not _names(name, text).isdisjoint(_names(own, self.id))


class Versions:
    """The versions of sources. It asks once for what several functions share."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._known: dict[Source, str | AwsError] = {}

    def marker(self, plan: Plan, region: str) -> tuple[str, int] | None:
        """Returns a marker of all versions that a function in a region fetches, and the number of sources.

        None if every entry names its version. Raises if a function with this configuration would not start.
        """
        lines = set()
        for entry in plan.facts["entries"]:
            source = Source.of(entry, region)
            if source is not None:
                lines.add("\n".join((*source, self._version(source, is_optional=entry["optional"]))))
        if not lines:
            return None
        return hashlib.sha256("\n\n".join(sorted(lines)).encode()).hexdigest()[:16], len(lines)

    def _version(self, source: Source, *, is_optional: bool) -> str:
        if source not in self._known:
            try:
                self._known[source] = _ASKED[source.kind](self._clients, source)
            except AwsError as error:
                self._known[source] = error
        version = self._known[source]
        if isinstance(version, str):
            return version
        if version.code not in _MISSING:
            raise DeployError(f"{source.id}: {version}")
        if is_optional:
            return "missing"
        raise DeployError(f"{source.id}: {version} {_START}")


def _secret(clients: Clients, source: Source) -> str:
    client = clients("secretsmanager", source.region)

    def call() -> str:
        described = client.describe_secret(SecretId=source.id)
        if "DeletedDate" in described:
            raise AwsError(_MISSING[0], "It is scheduled for deletion.")
        for version, stages in described["VersionIdsToStages"].items():
            if source.stage in stages:
                return str(version)
        raise AwsError(_MISSING[0], f"It has no version with the stage {source.stage}.")

    return ask(f"secretsmanager:DescribeSecret on {source.id}", call)


def _parameter(clients: Clients, source: Source) -> str:
    client = clients("ssm", source.region)

    def call() -> str:
        # DescribeParameters knows no labels, and IAM allows it for all parameters only. Without decryption no value of
        # a SecureString arrives.
        found = client.get_parameters(Names=[source.id], WithDecryption=False)["Parameters"]
        if not found:
            raise AwsError(_MISSING[1], "There is no such parameter.")
        return _version_of(found[0])

    return ask(f"ssm:GetParameters on {source.id}", call)


def _parameters(clients: Clients, source: Source) -> str:
    client = clients("ssm", source.region)

    def call() -> str:
        pages = client.get_paginator("get_parameters_by_path").paginate(
            Path=source.id, Recursive=True, WithDecryption=False
        )
        found = [f"{one['Name']} {_version_of(one)}" for page in pages for one in page["Parameters"]]
        if not found:
            raise AwsError(_MISSING[1], "There is no parameter below it.")
        return "\n".join(sorted(found))

    return ask(f"ssm:GetParametersByPath on {source.id}", call)


def _version_of(parameter: ParameterTypeDef) -> str:
    """Returns the version of a parameter, and when it was made: one that was deleted and made again begins with 1."""
    return f"{parameter['Version']} {parameter['LastModifiedDate'].timestamp()}"


_ASKED: Mapping[str, Callable[[Clients, Source], str]] = {
    "secret": _secret,
    "parameter": _parameter,
    "parameters": _parameters,
}


def _parts(text: str, region: str) -> tuple[bool, str, str]:
    """Returns whether a text names a parameter, the name, and the region."""
    if text.startswith("arn:"):
        _, _, service, region, _, resource = (*text.split(":", 5), *[""] * 5)[:6]
        name = (
            resource.partition(":")[2] if service == "secretsmanager" else resource.removeprefix("parameter")
        )
        return service == "ssm", name, region
    return text.startswith("ssm:"), text.removeprefix("ssm:"), region


def _names(name: str, text: str) -> set[str]:
    return {name, _ADDED.sub("", name)} if text.startswith("arn:") else {name}
