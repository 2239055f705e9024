"""Authorities and certificates made for a run, valid ones and wrong ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Fault = Literal["", "name", "authority", "expired"]
_DAY = datetime.timedelta(days=1)
_REST = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")


class Certificate(NamedTuple):
    """A certificate and its key, as PEM."""

    pem: str
    key: str


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self, name: str = "authority") -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self._sign(name, self._key, (name,), _DAY, is_authority=True)

    def issue(self, subject: str, *hosts: str, ends: datetime.timedelta = _DAY) -> Certificate:
        """Returns a new certificate for the hosts; without any, for the subject."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Certificate(self._sign(subject, key, hosts or (subject,), ends), key_pem(key))

    def context(self, folder: Path, *hosts: str, fault: Fault = "") -> ssl.SSLContext:
        """Returns the TLS context of a server of the hosts. It writes to `folder`. `fault` breaks its certificate."""
        # The stranger has another name: with the same name it would be a forgery, not an unknown authority.
        signer = Authority("stranger") if fault == "authority" else self
        named = ("127.0.0.2",) if fault == "name" else hosts
        certificate = signer.issue("endpoint", *named, ends=-_DAY if fault == "expired" else _DAY)
        file = folder / f"{hosts[0]}.pem"
        file.write_text(certificate.pem + certificate.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def write(self, folder: Path) -> Path:
        """Writes the authority's certificate in the form of AWS_CA_BUNDLE and returns its path."""
        file = folder / "authority.pem"
        file.write_text(self.pem)
        return file

    def _sign(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        hosts: tuple[str, ...],
        ends: datetime.timedelta,
        *,
        is_authority: bool = False,
    ) -> str:
        now = datetime.datetime.now(datetime.timezone.utc)
        public, own = key.public_key(), self._key.public_key()
        usage = x509.KeyUsage(
            digital_signature=not is_authority,
            key_cert_sign=is_authority,
            encipher_only=False,
            decipher_only=False,
            **dict.fromkeys(_REST, False),
        )
        certificate = (
            x509.CertificateBuilder(_named(self._name), _named(subject), public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
            )
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    """Returns a key as PEM, encrypted if the caller passes a password."""
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    ).decode()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
