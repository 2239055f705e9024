"""AWS_CA_BUNDLE in every form that OpenSSL takes: Keystart believes a server if, and only if, OpenSSL does."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from keystart_extension.aws import session

from tests.fakes.aws import Cloud
from tests.fakes.certificates import Authority
from tests.fakes.front import Fault

from .conftest import EACH_WAY, Canaries, Prefetch, ServeTls, Store

Form = Callable[[Path], Path]


def openssl(*arguments: str | Path, text: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=True)
    return done.stdout


def written(change: Callable[[str], str]) -> Form:
    """Returns the form of a file with the changed text."""

    def form(authority: Path) -> Path:
        authority.write_text(change(authority.read_text()), newline="")
        return authority

    return form


def trusted(*options: str) -> Form:
    return written(lambda pem: openssl("x509", "-trustout", *options, text=pem))


def folder(authority: Path) -> Path:
    """Makes a folder as distributions have it: with links by hash, and with other files."""
    folder = authority.parent / "authorities"
    folder.mkdir()
    for name, pem in {"ours": authority.read_text(), "another": Authority("another").pem}.items():
        (folder / f"{name}.pem").write_text(pem)
    openssl("rehash", folder)
    (folder / "README").write_text("none")
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    (folder / "0badcafe.0").symlink_to("removed.pem")
    return folder


def not_rehashed(authority: Path) -> Path:
    folder = authority.parent / "authorities"
    folder.mkdir()
    authority.rename(folder / "ours.pem")
    return folder


BELIEVED: dict[str, Form] = {
    "one certificate": written(str),
    "several with text between them": written(
        lambda pem: f"Another one:\n{Authority('another').pem}\n# Ours:\n{pem}Notes.\n"
    ),
    "lines of Windows": written(lambda pem: pem.replace("\n", "\r\n")),
    "beside a key": written(lambda pem: openssl("genpkey", "-algorithm", "ED25519") + pem),
    "the old label": written(lambda pem: pem.replace("CERTIFICATE", "X509 CERTIFICATE")),
    "trusted without settings": trusted(),
    "trusted for servers": trusted("-addtrust", "serverAuth", "-setalias", "ours"),
    "trusted for anything": trusted("-addtrust", "anyExtendedKeyUsage"),
    "refused for clients": trusted("-addreject", "clientAuth"),
    "a folder": folder,
}
REFUSED: dict[str, Form] = {
    "trusted for clients": trusted("-addtrust", "clientAuth"),
    "refused for servers": trusted("-addreject", "serverAuth"),
    "a folder without hashes": not_rehashed,
}


def is_believed_by_openssl(url: str, bundle: Path) -> bool:
    is_folder = bundle.is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else str(bundle), capath=str(bundle) if is_folder else None
    )
    host, _, port = url.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        try:
            context.wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


@EACH_WAY
@pytest.mark.parametrize("form", [*BELIEVED, *REFUSED])
def test_keystart_believes_the_authorities_that_openssl_believes(
    form: str,
    prefetch: Prefetch,
    cloud: Cloud,
    serve_tls: ServeTls,
    store: Store,
    canary: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = canary()
    front = serve_tls(Fault())
    bundle = {**BELIEVED, **REFUSED}[form](front.authority)
    assert is_believed_by_openssl(front.url, bundle) == (form in BELIEVED)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    failed = prefetch({"db": cloud.secret(value)})
    if form in BELIEVED:
        assert failed is None, store.failures
        assert store.values == {"db": value.encode()}
    else:
        assert store.failures["db"][0] == "InvalidCaBundle"


@pytest.mark.parametrize("form", BELIEVED)
def test_boto3_believes_them_too(form: str, serve_tls: ServeTls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(BELIEVED[form](serve_tls(Fault()).authority)))
    client = session.client("secretsmanager", None, None)
    assert client.list_secrets(MaxResults=1)["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.close()


@EACH_WAY
def test_a_folder_with_a_broken_certificate_is_refused(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    (authorities / "0badcafe.0").write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authorities))
    assert prefetch({"db": "prod/db"}) is not None
    what = "AWS_CA_BUNDLE names a folder with a broken certificate"
    assert store.failures == {"db": ("InvalidCaBundle", f"{what}. Correct or unset it.")}
