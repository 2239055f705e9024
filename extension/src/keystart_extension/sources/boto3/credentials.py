"""The credentials of a start, checked before anybody is asked with them."""

from __future__ import annotations

import datetime
import os
import re
from typing import Any

import boto3

from .refused import Refused, no_answer, origin

_EXPIRED = "The credentials have expired. Log in again, or get new credentials."
# What botocore reads keys from; of the tokens it takes the first one that is set.
_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 the name of a variable


def session(profile: str | None) -> boto3.Session:
    """Makes a session whose credentials can be used, or says which variable or source is at fault."""
    made = boto3.Session(profile_name=profile)
    if "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" not in os.environ:
        _check_variable(_TOKEN, _header_flaw)
    try:
        credentials = made.get_credentials()
        frozen = None if credentials is None else credentials.get_frozen_credentials()
    except RuntimeError:  # got anew, and over all the same
        raise Refused("ExpiredTokenException", _EXPIRED) from None
    except (
        ValueError
    ):  # an endpoint that credentials must not be asked of, or a token that no header can hold
        reason = (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no address that "
            "credentials may be asked of, or the token for it holds what no header can hold."
        )
        raise Refused("CredentialsUnavailable", reason) from None
    except (KeyError, TypeError, AttributeError):
        raise Refused("CredentialsUnavailable", "The container's endpoint gave no credentials.") from None
    if credentials is None or frozen is None:
        return made
    if credentials.method in ("env", "environment"):
        for variable in _VARIABLES:
            _check_variable(variable, _flaw)
        return made
    _check(origin(credentials.method), frozen)
    return made


def of_role(role: str, answer: Any) -> boto3.Session:
    """Makes the session of a role, unless the answer broke off before its end."""
    action = f"sts:AssumeRole on {role}"
    members = [answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]]
    if not all(members) or any(map(_flaw, members)):
        raise no_answer(action)
    if answer["Expiration"] <= datetime.datetime.now(datetime.timezone.utc):
        reason = f"{action} gave credentials that have expired already. Check the clock."
        raise Refused("ExpiredTokenException", reason)
    return boto3.Session(*members)


def _check(where: str, frozen: Any) -> None:
    members = {
        "access key id": frozen.access_key,
        "secret access key": frozen.secret_key,
        "session token": frozen.token,
    }
    for member, value in members.items():
        if value is None:
            continue
        if not value:
            raise Refused(
                "InvalidCredentials", f"The credentials from {where} have no {member}. Correct them there."
            )
        flaw = _flaw(value)
        if flaw is not None:
            raise Refused(
                "InvalidCredentials",
                f"The {member} from {where} holds {flaw}, which none has. Correct it there.",
            )


def _check_variable(variable: str, flaw: Any) -> None:
    """Refuses a variable with a character that none of its kind has. Its value is not repeated."""
    value = os.environ.get(variable, "")
    found = flaw(value)
    if found is not None and value.strip():
        raise Refused(
            "InvalidCredentials",
            f"{variable} holds {found}, which no credential has. Set it again without it.",
        )


def _flaw(value: str) -> str | None:
    """Says what a key or a token holds that none has."""
    return _header_flaw(value) or ("a space" if re.search("[ \t]", value) else None)


def _header_flaw(value: str) -> str | None:
    """Says what a value holds that no header can hold."""
    if re.search("[\n\r]", value):
        return "a line break"
    return "a character that is not printable ASCII" if re.search("[^\t -~]", value) else None
