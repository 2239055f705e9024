"""Finds the credentials of a person, who may have to type a code for them, and hands them to the core.

The core checks them and describes their faults, as it does for those of a function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import NoCredentialsError

from ..core import ffi, text
from . import AwsError
from .errors import LOGIN, ask, origin

if TYPE_CHECKING:
    import boto3

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


def log_in(own: boto3.Session) -> Login:
    """Finds the credentials of a session. Raises an AwsError that names the source at fault."""
    return ask(LOGIN, lambda: _login(own), own)


def _login(own: boto3.Session) -> Login:
    try:
        credentials = own.get_credentials()
        found = None if credentials is None else credentials.get_frozen_credentials()
    except RuntimeError:  # botocore refreshed them, and the new ones have expired too
        raise AwsError(
            "ExpiredTokenException",
            "The credentials have expired. On your own machine log in again. In a new environment of Lambda something "
            "sets other credentials than the role's: look for AWS_ in the function's variables and in what starts the "
            "extension.",
        ) from None
    if credentials is None or found is None or found.access_key is None or found.secret_key is None:
        raise NoCredentialsError
    where = None if credentials.method in _OF_ENVIRONMENT else origin(credentials.method, own)
    return Login(found.access_key, found.secret_key, found.token or None, where, own.profile_name)
