"""Refuses variables with which botocore would hang, fill the memory, or ask another host, in the words of the core."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from .refused import Refused

_LARGEST = 1024 * 1024
_FILES = {
    "AWS_CA_BUNDLE": "InvalidCaBundle",
    "AWS_CONFIG_FILE": "InvalidFile",
    "AWS_SHARED_CREDENTIALS_FILE": "InvalidFile",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "InvalidFile",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "InvalidFile",
}
_CONTAINER_PATH = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"


def check_variables(environ: Mapping[str, str]) -> None:
    """Raises `Refused` for the first variable that must not be used. Values are not repeated."""
    for variable, code in _FILES.items():
        if path := environ.get(variable):
            _check_file(variable, path, code)
    # botocore puts it right behind the address, where "@host/" makes another host of it.
    if (path := environ.get(_CONTAINER_PATH)) and not path.startswith("/"):
        reason = f"{_CONTAINER_PATH} must be a path that begins with /. Correct or unset it."
        raise Refused("InvalidVariable", reason)


def _check_file(variable: str, path: str, code: str) -> None:
    try:
        about = Path(path).expanduser().stat()
    except (OSError, RuntimeError, ValueError):
        return  # whoever needs it says so
    if variable == "AWS_CA_BUNDLE" and stat.S_ISDIR(about.st_mode):
        return  # OpenSSL reads a folder of certificates too
    if not stat.S_ISREG(about.st_mode):
        raise Refused(code, f"{variable} names something that is not a regular file. Correct or unset it.")
    if about.st_size > _LARGEST:
        reason = f"{variable} names a file that has more than {_LARGEST} bytes. Correct or unset it."
        raise Refused(code, reason)
