"""Makes the sessions and clients of boto3, the same way for every command."""

from __future__ import annotations

import os
from typing import Any

import boto3

from .. import core
from . import AwsError
from .errors import LOGIN, ask


def session(profile: str | None) -> boto3.Session:
    """Makes a session for a profile (None: AWS_PROFILE), unless the core refuses a variable or a file of it."""
    problem = core.ffi.new("keystart_bytes *")
    code = core.give_text(core.lib.keystart_login_check, problem)
    message = core.taken_text(problem)
    if code:
        raise AwsError(code, message)
    # boto3 knows only AWS_DEFAULT_REGION.
    region = os.environ.get("AWS_REGION") or None
    return ask(LOGIN, lambda: boto3.Session(profile_name=profile, region_name=region))


def client(service: str, region: str | None, profile: str | None) -> Any:
    """Makes a client; a `region` of None is AWS_REGION's, else the profile's."""
    # The stubs know `client` only with a literal for each service.
    make: Any = session(profile).client
    return ask(f"a client of {service}", lambda: make(service, region_name=region))
