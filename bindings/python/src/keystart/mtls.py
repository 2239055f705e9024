"""Makes a context for mutual TLS from PEM in the store. Loaded by the first call of `tls`: ssl takes long to load."""

from __future__ import annotations

import ssl
from pathlib import Path

from .errors import SecretNotFound, snapshot_expired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def context(read: Callable[[str], str], path: Callable[[str], str], prefix: str) -> ssl.SSLContext:
    """Takes certificate, key and authorities from one generation, whose reads and paths it is given (contract 6.5.7).

    OpenSSL opens the files by their paths. So they are read through the core first, which tells what is damaged in the
    words of the contract, and the generation must still be there afterwards: the files of one that is being
    removed may have been gone, or overwritten (contract 6.2.6).
    """
    certificate, key = f"{prefix}/cert", f"{prefix}/key"
    read(certificate)
    read(key)
    authorities = _path_of_authorities(read, path, f"{prefix}/ca")
    failure: OSError | None = None
    try:
        made = ssl.create_default_context(cafile=authorities)
        # Without a password OpenSSL would ask for that of an encrypted key at the terminal.
        made.load_cert_chain(path(certificate), path(key), password="")
    except OSError as error:  # also ssl.SSLError
        failure = error
    generation = Path(path(certificate).removesuffix(f"/secrets/{certificate}"))
    if not generation.is_dir():
        raise snapshot_expired(certificate, generation.name)
    if failure is not None:
        raise failure
    return made


def _path_of_authorities(read: Callable[[str], str], path: Callable[[str], str], name: str) -> str | None:
    """None trusts the system's authorities, so only a name that is not in the manifest at all gives it."""
    try:
        read(name)
    except SecretNotFound:
        return None
    return path(name)
