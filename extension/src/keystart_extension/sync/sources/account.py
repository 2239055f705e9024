"""The account and the region of a source in AWS, and the role that reads there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import boto3

from ...aws import session
from ...aws.errors import ask
from ..error import SyncError
from ..keys import Place, region_of, text_of

_SESSION = "keystart-sync"  # the name of the role's session, which CloudTrail shows
OPTIONS = ("region", "profile", "role", "external_id")


class Account(NamedTuple):
    """An account, by the profile or the role that reads there, and a region."""

    region: str | None
    profile: str | None
    role: str | None = None
    external_id: str | None = None

    def client(self, service: str) -> Any:
        """Logs in, takes the role if there is one, and makes a client."""
        clients = session.Clients(self.region, self.profile)
        if self.role is None:
            return clients(service)
        sts = clients("sts")
        request = {"RoleArn": self.role, "RoleSessionName": _SESSION}
        if self.external_id is not None:
            request["ExternalId"] = self.external_id
        answer = ask(f"sts:AssumeRole on {self.role}", lambda: sts.assume_role(**request)["Credentials"])
        own = boto3.Session(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], sts.meta.region_name
        )
        make: Any = own.client  # the stubs accept only a literal service name
        return ask(f"a client of {service}", lambda: make(service, verify=clients.authorities))


@dataclass
class Client:
    """A client that logs in when it is first used: a policy is printed without a login."""

    service: str
    account: Account
    _made: Any = None

    def __call__(self) -> Any:
        """Returns the client."""
        if self._made is None:
            self._made = self.account.client(self.service)
        return self._made


def account(given: dict[str, Any], where: str, place: Place) -> Account:
    """Reads the keys of a source that say who reads where."""

    def optional(key: str, read: Callable[[object, str], str]) -> str | None:
        return read(given[key], f"{where}.{key}") if key in given else None

    role = optional("role", text_of)
    external = optional("external_id", text_of)
    if external is not None and role is None:
        raise SyncError(f"`{where}.external_id` is only for a `role`.")
    if role is not None and not role.startswith("arn:"):
        raise SyncError(f"`{where}.role` must be the ARN of a role.")
    return Account(
        optional("region", region_of), optional("profile", text_of) or place.profile, role, external
    )
