"""Makes a context for mutual TLS from PEM in the store. Loaded by the first call of `tls`: ssl takes long to load."""

from __future__ import annotations

import ssl
from pathlib import Path

from .errors import SecretNotFound, snapshot_expired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .store import Snapshot


def context(one: Snapshot, prefix: str) -> ssl.SSLContext:
    """Takes certificate, key and authorities from one generation (contract 6.5.7).

    OpenSSL opens the files by their paths. So they are read through the core first, which tells what is damaged in the
    words of the contract, and the generation must still be there afterwards: the files of one that is being
    removed may have been gone, or overwritten (contract 6.2.6).
    """
    certificate, key = f"{prefix}/cert", f"{prefix}/key"
    one.get(certificate)
    one.get(key)
    authorities = _path_of_authorities(one, f"{prefix}/ca")
    failure: OSError | None = None
    try:
        made = ssl.create_default_context(cafile=authorities)
        # Without a password OpenSSL would ask for that of an encrypted key at the terminal.
        made.load_cert_chain(one.path(certificate), one.path(key), password="")
    except OSError as error:  # also ssl.SSLError
        failure = error
    generation = Path(one.path(certificate).removesuffix(f"/secrets/{certificate}"))
    if not generation.is_dir():
        raise snapshot_expired(certificate, generation.name)
    if failure is not None:
        raise failure
    return made


def _path_of_authorities(one: Snapshot, name: str) -> str | None:
    """None trusts the system's authorities, so only a name that is not in the manifest at all gives it."""
    try:
        one.get(name)
    except SecretNotFound:
        return None
    return one.path(name)
