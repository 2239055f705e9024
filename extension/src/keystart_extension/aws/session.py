"""Makes the sessions and clients of boto3, the same way for every command. The core checks what they read."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3

from .. import core
from ..core import ffi, lib
from ..text import is_region
from . import AwsError
from .errors import LOGIN, ask
from .login import log_in

_BUNDLE = "authorities.pem"
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def session(profile: str | None) -> boto3.Session:
    """Makes a session for a profile (None: AWS_PROFILE), unless the core refuses one of its variables or files."""
    _check(ffi.NULL, profile)
    # boto3 reads only AWS_DEFAULT_REGION.
    region = os.environ.get("AWS_REGION") or None
    own = ask(LOGIN, lambda: boto3.Session(profile_name=profile, region_name=region))
    bundle = own._session.get_config_variable("ca_bundle")
    if bundle and Path(bundle).is_dir():
        # boto3 takes a file only. The core has checked the folder.
        made = ask(LOGIN, lambda: _in_one_file(bundle), own)
        own._session.set_config_variable("ca_bundle", str(Path(made.name) / _BUNDLE))
    return own


@functools.cache
def _in_one_file(folder: str) -> TemporaryDirectory[str]:
    """Writes the certificates that OpenSSL finds in a folder into one file, which lasts as long as the process."""
    found = [
        file for file in sorted(Path(folder).iterdir()) if _HASHED.fullmatch(file.name) and file.exists()
    ]
    made = TemporaryDirectory(prefix="keystart-")
    (Path(made.name) / _BUNDLE).write_bytes(b"\n".join(file.read_bytes() for file in found))
    return made


class Clients:
    """Makes clients for several services and regions after one login."""

    def __init__(self, region: str | None, profile: str | None) -> None:
        if region is not None and not is_region(region):
            raise AwsError(
                "InvalidRegion", "--region is not a region such as eu-west-1. Correct or unset it."
            )
        self._region = region
        self._session = session(profile)
        with log_in(self._session).lent() as lent:
            _check(lent, profile)

    @property
    def authorities(self) -> str | bool:
        """The file of certificate authorities; True for those that come with botocore."""
        bundle: str | None = self._session._session.get_config_variable("ca_bundle")
        return bundle or True

    def __call__(self, service: str, region: str | None = None) -> Any:
        """Makes a client. Without any region it uses AWS_REGION, else the profile's."""
        # The stubs accept only a literal service name.
        make: Any = self._session.client
        return ask(f"a client of {service}", lambda: make(service, region_name=region or self._region))


def client(service: str, region: str | None, profile: str | None) -> Any:
    """Logs in and makes the only client that a command needs."""
    return Clients(region, profile)(service)


def _check(login: Any, profile: str | None) -> None:
    """Raises what the core has against a `keystart_login`, or against what a login reads if that is NULL."""
    problem = ffi.new("keystart_bytes *")
    code = core.call_for_text(lib.keystart_login_check, login, *core.text_or_null(profile), problem)
    message = core.take_text(problem)
    if code:
        raise AwsError(code, message)
