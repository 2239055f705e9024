"""Makes the sessions and clients of boto3, the same way for every command."""

from __future__ import annotations

import os
from typing import Any

import boto3

from .. import core
from . import AwsError
from .errors import LOGIN, ask


def session(profile: str | None) -> boto3.Session:
    """Makes a session for a profile (None: AWS_PROFILE), unless the core refuses one of its variables or files."""
    problem = core.ffi.new("keystart_bytes *")
    code = core.give_text(core.lib.keystart_login_check, problem)
    message = core.taken_text(problem)
    if code:
        raise AwsError(code, message)
    # boto3 reads only AWS_DEFAULT_REGION.
    region = os.environ.get("AWS_REGION") or None
    return ask(LOGIN, lambda: boto3.Session(profile_name=profile, region_name=region))


def client(service: str, region: str | None, profile: str | None) -> Any:
    """Makes a client. Without a `region` it uses AWS_REGION, else the profile's."""
    # The stubs accept only a literal service name.
    make: Any = session(profile).client
    return ask(f"a client of {service}", lambda: make(service, region_name=region))
