"""Makes the client of Lambda's API for the commands, and gives the words for what Lambda refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3

from ..sources.boto3.refused import Refused, ask
from .terms import CannotDeploy

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_CURES = {
    "ResourceNotFoundException": "Correct the name or the region.",
    "PreconditionFailedException": "Somebody else has changed it meanwhile. Look again.",
    "ResourceConflictException": "Look again when that is over.",
}


def lambda_client(region: str | None, profile: str | None) -> LambdaClient:
    """Makes the client; a `region` of None is AWS_REGION's, else the profile's."""

    def make() -> LambdaClient:
        session = boto3.Session(profile_name=profile)
        return session.client("lambda", region_name=region or os.environ.get("AWS_REGION"))

    try:
        return ask("a client of lambda", make)
    except Refused as refused:
        raise CannotDeploy(words(refused)) from None


def words(refused: Refused) -> str:
    """Says what was refused, and what to do where the service does not say it."""
    cure = _CURES.get(refused.code)
    return f"{refused.code}: {refused.message}{f' {cure}' if cure else ''}"
