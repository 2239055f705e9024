"""Makes an authority and certificates of endpoints on the spot, sound ones and wrong ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """An authority whose own certificate lies in `file`, for AWS_CA_BUNDLE."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "authority.pem"
        self._folder = folder
        self._now = datetime.datetime.now(datetime.timezone.utc)
        self._name = _named("authority")
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._certificate(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.file.write_bytes(_signed(own, self._key))

    def context(self, host: str, wrong: str = "") -> ssl.SSLContext:
        """Gives what a server of this host needs; `wrong` is its `name`, its `authority`, or that it has `expired`."""
        key = ec.generate_private_key(ec.SECP256R1())
        san = x509.SubjectAlternativeName([_general_name("127.0.0.2" if wrong == "name" else host)])
        ends = -_DAY if wrong == "expired" else _DAY
        issuer, signer = self._name, self._key
        if wrong == "authority":
            # Of another name too: one of the same name would be a forgery, not an authority that is not known.
            issuer, signer = _named("stranger"), ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(issuer, _named("endpoint"), key, ends)
        certificate = certificate.add_extension(san, critical=True)
        chain, private = self._folder / f"{host}.pem", self._folder / f"{host}.key"
        chain.write_bytes(_signed(certificate, signer))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, private)
        return context

    def _certificate(
        self,
        issuer: x509.Name,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        ends: datetime.timedelta = _DAY,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - 2 * _DAY)
            .not_valid_after(self._now + ends)
        )


def _signed(certificate: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> bytes:
    return certificate.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
