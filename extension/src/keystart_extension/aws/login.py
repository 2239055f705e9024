"""Finds the credentials of a person, who may have to type a code for them, and hands them to the core.

The core checks them and describes their faults, as it does for those of a function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import NoCredentialsError

from ..core import ffi, text
from ..fetch import Fetch
from . import AwsError
from .errors import LOGIN, ask, origin
from .session import session

if TYPE_CHECKING:
    from ..plan import Plan

_OF_ENVIRONMENT = ("env", "environment")


class Login(NamedTuple):
    """Credentials, the words for their source (None: the environment), and the profile, which may set endpoints."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    origin: str | None
    profile: str

    def __repr__(self) -> str:
        """Shows no credential."""
        return f"<Login of the profile {self.profile!r} (redacted)>"

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """Lends a `keystart_login` to the core, and zeroes it at the end."""
        members = {
            name: bytearray(text(value)[0]) for name, value in self._asdict().items() if value is not None
        }
        handle = ffi.new("keystart_login *")
        for name, data in members.items():
            setattr(handle, name, ffi.from_buffer("uint8_t[]", data))
            setattr(handle, f"{name}_len", len(data))
        try:
            yield handle
        finally:
            for data in members.values():
                data[:] = bytes(len(data))


def fetch(plan: Plan, profile: str | None) -> Fetch:
    """Logs in, without a deadline, then lets the core fetch with the credentials; returns the ended fetch."""
    try:
        login = log_in(profile)
    except AwsError as error:
        return Fetch.refused(plan, error.code, error.message)
    with login.lent() as lent:
        fetch = Fetch.start(plan, lent)
    fetch.wait()
    return fetch


def log_in(profile: str | None) -> Login:
    """Finds the credentials of a profile (None: AWS_PROFILE). Raises an AwsError that names the source at fault."""
    own = session(profile)
    return ask(LOGIN, lambda: _login(own))


def _login(own: boto3.Session) -> Login:
    try:
        credentials = own.get_credentials()
        found = None if credentials is None else credentials.get_frozen_credentials()
    except RuntimeError:  # botocore refreshed them, and the new ones have expired too
        raise AwsError(
            "ExpiredTokenException", "The credentials have expired. Log in again, or get new credentials."
        ) from None
    except ValueError:  # an address that may not be asked for credentials, or a token that no header can hold
        reason = (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no address that "
            "credentials may be asked of, or the token for it holds what no header can hold."
        )
        raise AwsError("CredentialsUnavailable", reason) from None
    except (KeyError, TypeError, AttributeError):
        raise AwsError("CredentialsUnavailable", "The container's endpoint gave no credentials.") from None
    if credentials is None or found is None or found.access_key is None or found.secret_key is None:
        raise NoCredentialsError
    where = None if credentials.method in _OF_ENVIRONMENT else origin(credentials.method)
    return Login(found.access_key, found.secret_key, found.token or None, where, own.profile_name)
