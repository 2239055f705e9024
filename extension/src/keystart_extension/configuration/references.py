"""Reads the ids of secrets and parameters, ARNs and ECS `valueFrom` references; it asks no service."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..plan import Kind

_REGION = r"[a-z]{2,8}(?:-[a-z]+){1,3}-[0-9]{1,2}"
_ARN = re.compile(rf"arn:aws(?:-[a-z]+)*:([a-z0-9-]+):({_REGION}):[0-9]{{12}}:(.*)")
_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/(?:[!-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}")
# "!" is not documented but real: secrets that a service manages are named rds!db-…, events!connection/….
_NOT_IN_SECRET = re.compile("[^A-Za-z0-9/_+=.@!-]")
_NOT_IN_PARAMETER = re.compile("[^A-Za-z0-9/_.-]")
_SELECTOR = re.compile("[A-Za-z0-9_.-]{1,100}")
# AWS takes any characters in both. These are what labels and versions have, and leave no room for a pasted secret.
_STAGE = re.compile("[A-Za-z0-9_.-]{1,256}")
_VERSION_ID = re.compile("[A-Za-z0-9_.-]{32,64}")
_LONGEST_SECRET = 512
_LONGEST_PARAMETER = 1011  # Parameter Store's own limit
_SSM = "ssm:"
IN_BASE64 = (
    "That is taken for a secret in Base64, which does not belong here. If it is a name, write the whole ARN."
)


class Reference(NamedTuple):
    """What an id says. `region` is the ARN's own; field, stage and version come from an ECS reference."""

    kind: Kind
    id: str
    region: str | None = None
    field: str | None = None
    stage: str | None = None
    version_id: str | None = None


class BadReference(ValueError):
    """Says what is wrong with an id, as a sentence. It repeats nothing of the id, which may be a pasted secret."""


def is_region(text: str) -> bool:
    return re.fullmatch(_REGION, text) is not None


def is_role(text: str) -> bool:
    return _ROLE.fullmatch(text) is not None


def check_stage(text: str) -> None:
    """Checks a staging label."""
    if _STAGE.fullmatch(text) is None:
        raise BadReference('A stage has 1 to 256 letters, digits, "_", "." and "-".')


def check_version_id(text: str) -> None:
    """Checks the id of a version."""
    if _VERSION_ID.fullmatch(text) is None:
        raise BadReference(
            'A "version_id" has 32 to 64 letters, digits, "_", "." and "-". For a staging label use "stage".'
        )


def parse_short(text: str) -> Reference:
    """Reads the short form: a secret's name or ARN, an ECS reference, `ssm:` and a parameter, or its ARN."""
    if text.startswith(_SSM):
        return parse_parameter(text.removeprefix(_SSM))
    if _arn_service(text) == "ssm":
        return parse_parameter(text)
    return parse_secret(text)


def parse_secret(text: str) -> Reference:
    """Reads a secret's name or ARN, with `:field:stage:version_id` after an ARN."""
    if text.startswith(_SSM) or _arn_service(text) == "ssm":
        raise BadReference('This is a parameter. Write "parameter:" instead of "secret:".')
    if not text.startswith("arn:"):
        if ":" in text:
            raise BadReference(
                'Only a full ARN can be followed by ":". For one member of a secret use "field".'
            )
        _check_secret_name(text)
        if text.startswith("=") or text.endswith("="):
            raise BadReference(f'The name of the secret begins or ends with "=". {IN_BASE64}')
        return Reference("secret", text)
    arn = _ARN.fullmatch(text)
    parts = arn[3].split(":") if arn else []
    if arn is None or arn[1] != "secretsmanager" or parts[0] != "secret" or len(parts) < 2:
        raise BadReference(
            "The ARN of a secret looks like "
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3."
        )
    if len(parts) > 5:
        raise BadReference(
            "After the secret's name a reference has at most three parts, :field:stage:version_id."
        )
    _check_secret_name(parts[1])
    extra = parts[2:] + [""] * (5 - len(parts))
    field, stage, version_id = (part or None for part in extra)
    if stage is not None:
        check_stage(stage)
    if version_id is not None:
        check_version_id(version_id)
    bare = text[: len(text) - len(arn[3])] + f"secret:{parts[1]}"
    return Reference("secret", bare, arn[2], field, stage, version_id)


def parse_parameter(text: str) -> Reference:
    """Reads a parameter's name or ARN, with `:version` or `:label`."""
    if _arn_service(text) == "secretsmanager":
        raise BadReference('This is a secret. Write "secret:" instead of "parameter:".')
    region = None
    named = text
    if text.startswith("arn:"):
        arn = _ARN.fullmatch(text)
        if arn is None or arn[1] != "ssm" or not arn[3].startswith("parameter/"):
            raise BadReference(
                "The ARN of a parameter looks like arn:aws:ssm:eu-west-1:123456789012:parameter/prod/flags."
            )
        region = arn[2]
        # The ARN of "/prod/flags" ends in parameter/prod/flags, that of "flags" in parameter/flags.
        named = arn[3].removeprefix("parameter")
        if "/" not in named[1:]:
            named = named[1:]
    elif text.startswith(_SSM):
        raise BadReference('"ssm:" belongs to the short form. Remove it.')
    name, colon, selector = named.partition(":")
    if colon and not _SELECTOR.fullmatch(selector):
        raise BadReference('After ":" a parameter has one version number or one label.')
    _check_parameter_name(name)
    return Reference("parameter", text, region)


def parse_path(text: str) -> Reference:
    """Reads the path of a tree of parameters."""
    if not text.startswith("/"):
        raise BadReference('A path of parameters begins with "/"; an ARN is not possible here.')
    path = text.rstrip("/")
    if path:
        _check_parameter_name(path)
    return Reference("parameters", path or "/")


def _arn_service(text: str) -> str | None:
    parts = text.split(":", 3)
    return parts[2] if parts[0] == "arn" and len(parts) == 4 else None


def _check_secret_name(name: str) -> None:
    if name == "":
        raise BadReference("The name of the secret is missing.")
    if len(name) > _LONGEST_SECRET:
        raise BadReference(f"The name of a secret has at most {_LONGEST_SECRET} characters.")
    if wrong := _NOT_IN_SECRET.search(name):
        raise BadReference(
            'The name of a secret in Secrets Manager has letters, digits and "/_+=.@!-". '
            + _position(wrong, name)
        )


def _check_parameter_name(name: str) -> None:
    if name == "":
        raise BadReference("The name of the parameter is missing.")
    if len(name) > _LONGEST_PARAMETER:
        raise BadReference(f"The name of a parameter has at most {_LONGEST_PARAMETER} characters.")
    if wrong := _NOT_IN_PARAMETER.search(name):
        raise BadReference(
            'The name of a parameter has letters, digits and "/_.-". ' + _position(wrong, name)
        )
    if "/" in name and not name.startswith("/"):
        raise BadReference('The name of a parameter that holds "/" begins with "/".')
    if "//" in name:
        raise BadReference('The name of a parameter does not hold "//".')
    if name.endswith("/"):
        raise BadReference(
            'The name of a parameter does not end in "/". For all below a path use "parameters".'
        )


def _position(wrong: re.Match[str], name: str) -> str:
    return f"Character {wrong.start() + 1} of the {len(name)} here is another."
