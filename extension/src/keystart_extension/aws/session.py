"""Makes the sessions and clients of boto3, the same way for every command."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import boto3

from . import AwsError
from .errors import LOGIN, ask

_LARGEST = 1_048_576  # limits.toml: extension.file_bytes
# What botocore would read whole, for as long as it takes.
_FILES = {
    "AWS_CA_BUNDLE": "InvalidCaBundle",
    "AWS_CONFIG_FILE": "InvalidFile",
    "AWS_SHARED_CREDENTIALS_FILE": "InvalidFile",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "InvalidFile",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "InvalidFile",
}
_CONTAINER_PATH = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 the name of a variable


def session(profile: str | None) -> boto3.Session:
    """Makes a session for a profile (None: AWS_PROFILE), unless a variable must not be used."""
    for variable, code in _FILES.items():
        if path := os.environ.get(variable):
            _check_file(variable, path, code)
    if "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" not in os.environ:
        _check_token(os.environ.get(_TOKEN, ""))
    # botocore puts it right behind the address, where "@host/" makes another host of it.
    if (path := os.environ.get(_CONTAINER_PATH)) and not path.startswith("/"):
        reason = f"{_CONTAINER_PATH} must be a path that begins with /. Correct or unset it."
        raise AwsError("InvalidVariable", reason)
    # boto3 knows only AWS_DEFAULT_REGION.
    region = os.environ.get("AWS_REGION") or None
    return ask(LOGIN, lambda: boto3.Session(profile_name=profile, region_name=region))


def client(service: str, region: str | None, profile: str | None) -> Any:
    """Makes a client; a `region` of None is AWS_REGION's, else the profile's."""
    # The stubs know `client` only with a literal for each service.
    make: Any = session(profile).client
    return ask(f"a client of {service}", lambda: make(service, region_name=region))


def _check_token(token: str) -> None:
    """Refuses a token that no header can hold, before it is sent to the container's endpoint."""
    if re.search("[^\t -~]", token) and token.strip():
        is_broken = re.search("[\n\r]", token)
        what = "a line break" if is_broken else "a character that is not printable ASCII"
        reason = f"{_TOKEN} holds {what}, which no credential has. Set it again without it."
        raise AwsError("InvalidCredentials", reason)


def _check_file(variable: str, path: str, code: str) -> None:
    try:
        about = Path(path).expanduser().stat()
    except (OSError, RuntimeError, ValueError):
        return  # whoever needs it says so
    if variable == "AWS_CA_BUNDLE" and stat.S_ISDIR(about.st_mode):
        return  # OpenSSL reads a folder of certificates too
    if not stat.S_ISREG(about.st_mode):
        raise AwsError(code, f"{variable} names something that is not a regular file. Correct or unset it.")
    if about.st_size > _LARGEST:
        reason = f"{variable} names a file that has more than {_LARGEST} bytes. Correct or unset it."
        raise AwsError(code, reason)
