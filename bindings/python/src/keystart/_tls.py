"""Makes a context for mutual TLS from PEM in the store. The first call of `tls` loads it: ssl takes long to load.

Its name begins with "_" because an import of keystart.tls would replace the function of that name.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from . import errors, pem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def context(read: Callable[[str], str], path: Callable[[str], str], prefix: str) -> ssl.SSLContext:
    """Makes the context from the certificate, key and authorities of one generation (contract 6.5.7).

    `read` and `path` are those of that generation. OpenSSL opens the files by their paths. The core
    reads them first, because its errors about damaged files are those of the contract. Afterwards
    the generation must still exist: the files of one that is being removed may have been missing or
    overwritten (contract 6.2.6).
    """
    certificate, key, ca = f"{prefix}/cert", f"{prefix}/key", f"{prefix}/ca"
    # Only names and faults are variables here, because error trackers show those of a function that raises.
    faults = {
        certificate: pem.certificate_fault(read(certificate)),
        key: pem.key_fault(read(key)),
    }
    faults |= _fault_of_authorities(read, ca)
    for name, fault in faults.items():
        if fault is not None:
            raise errors.tls_invalid(name, fault)
    failure: OSError | None = None
    try:
        made = ssl.create_default_context(cafile=path(ca) if ca in faults else None)
        # Without a password OpenSSL would ask for the password of an encrypted key at the terminal.
        made.load_cert_chain(path(certificate), path(key), password="")
    except OSError as error:  # includes ssl.SSLError
        failure = error
    generation = Path(path(certificate).removesuffix(f"/secrets/{certificate}"))
    if not generation.is_dir():
        raise errors.snapshot_expired(certificate, generation.name)
    if failure is not None:
        raise failure
    return made


def _fault_of_authorities(read: Callable[[str], str], name: str) -> dict[str, str | None]:
    """Returns nothing, which trusts the system's authorities, only if the name is not in the manifest at all."""
    try:
        return {name: pem.certificate_fault(read(name))}
    except errors.SecretNotFound:
        return {}
