"""Mutual TLS on loopback, with certificates made for the run."""

from __future__ import annotations

import socket
import ssl
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keystart
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fakes.certificates import Authority, key_pem

from .publisher import Publisher

LONG = 60.0  # a limit for a test that hangs, not a time that anything takes


@pytest.fixture
def authority() -> Authority:
    return Authority()


def mtls(authority: Authority, common: str = "client") -> dict[str, str | bytes]:
    """Returns the secrets of a client that trusts this authority."""
    certificate, key = authority.issue(common)
    return {"mtls/cert": certificate, "mtls/key": key, "mtls/ca": authority.pem}


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """Returns the context of a server that accepts only clients of this authority."""
    context = authority.context(tmp_path, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem)
    return context


def greeting(client: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Shakes hands over loopback; returns the client's name as the server sees it."""

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(LONG)
            try:
                with server.wrap_socket(connection, server_side=True) as secured:
                    peer: Any = secured.getpeercert()
                    secured.sendall(peer["subject"][0][0][1].encode())
            except (ssl.SSLError, OSError):
                return  # the client reports why

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:
        served = pool.submit(serve, listening)
        with (
            socket.create_connection(listening.getsockname(), timeout=LONG) as connection,
            client.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            greeted = secured.recv(100).decode()
        served.result()
        return greeted


def test_both_sides_of_a_handshake_know_each_other(
    publisher: Publisher, client: keystart.Keystart, authority: Authority, server: ssl.SSLContext
) -> None:
    publisher.publish(mtls(authority, "orders"))
    assert greeting(client.tls("mtls"), server) == "orders"
    assert greeting(client.snapshot().tls("mtls"), server) == "orders"


def test_a_server_of_another_authority_is_refused(
    publisher: Publisher, client: keystart.Keystart, server: ssl.SSLContext
) -> None:
    publisher.publish(mtls(Authority("another")))
    with pytest.raises(ssl.SSLCertVerificationError):
        greeting(client.tls("mtls"), server)


def test_without_authorities_those_of_the_system_are_trusted(
    publisher: Publisher, client: keystart.Keystart, authority: Authority, server: ssl.SSLContext
) -> None:
    secrets = mtls(authority)
    del secrets["mtls/ca"]
    publisher.publish(secrets)
    context = client.tls("mtls")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()
    with pytest.raises(ssl.SSLCertVerificationError):
        greeting(context, server)


def test_with_authorities_those_of_the_system_are_not_trusted(
    publisher: Publisher, client: keystart.Keystart, authority: Authority
) -> None:
    publisher.publish(mtls(authority))
    assert client.tls("mtls").cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("authorities", ["", "\n", "no PEM"])
def test_authorities_without_a_certificate_are_an_error(
    authorities: str, publisher: Publisher, client: keystart.Keystart, authority: Authority
) -> None:
    publisher.publish({**mtls(authority), "mtls/ca": authorities})
    with pytest.raises(keystart.TlsInvalid):
        client.tls("mtls")


def test_comments_in_pem_may_have_any_letters(
    publisher: Publisher, client: keystart.Keystart, authority: Authority, server: ssl.SSLContext
) -> None:
    publisher.publish({name: f"# Autorité\n{value!s}" for name, value in mtls(authority).items()})
    assert greeting(client.tls("mtls"), server) == "client"


@pytest.mark.parametrize("part", ["cert", "key", "ca"])
@pytest.mark.parametrize("kind", [keystart.TlsInvalid, ssl.SSLError])
def test_an_error_shows_nothing_of_the_file(
    part: str,
    kind: type[Exception],
    publisher: Publisher,
    client: keystart.Keystart,
    authority: Authority,
    canary: str,
) -> None:
    label = "PRIVATE KEY" if part == "key" else "CERTIFICATE"
    block = f"-----BEGIN {label}-----\n{canary}\n-----END {label}-----\n"
    publisher.publish({**mtls(authority), f"mtls/{part}": block if kind is ssl.SSLError else canary})
    with pytest.raises(kind) as failure:
        client.tls("mtls")
    assert failure.value.__traceback__ is not None
    inside = failure.value.__traceback__.tb_next  # this test itself knows the canary
    trace = traceback.TracebackException(kind, failure.value, inside, capture_locals=True)
    assert canary not in "".join(trace.format())


def test_an_encrypted_key_is_an_error_and_nobody_is_prompted_for_its_password(
    publisher: Publisher, client: keystart.Keystart, authority: Authority
) -> None:
    encrypted = key_pem(ec.generate_private_key(ec.SECP256R1()), b"password")
    publisher.publish({**mtls(authority), "mtls/key": encrypted})
    with pytest.raises(keystart.TlsInvalid, match="its private key is encrypted"):
        client.tls("mtls")


def during_the_load(monkeypatch: pytest.MonkeyPatch, happens: Any, times: int = 1) -> None:
    """Runs something after the paths were returned and before OpenSSL opens the certificate."""
    make = ssl.create_default_context
    pending = [happens] * times

    def create_default_context(**arguments: Any) -> ssl.SSLContext:
        context = make(**arguments)
        if pending:
            pending.pop()()
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_default_context)


def test_a_generation_that_is_collected_during_the_load_is_replaced_by_the_next(
    publisher: Publisher,
    client: keystart.Keystart,
    authority: Authority,
    server: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher.publish(mtls(authority, "old"))
    during_the_load(monkeypatch, lambda: publisher.collect(mtls(authority, "new")))
    assert greeting(client.tls("mtls"), server) == "new"


def test_a_store_that_changes_during_every_load_ends_the_read(
    publisher: Publisher,
    client: keystart.Keystart,
    authority: Authority,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = mtls(authority)
    publisher.publish(secrets)
    during_the_load(monkeypatch, lambda: publisher.collect(secrets), times=1000)
    for hurried in (client, keystart.Keystart(str(root), timeout=0.05)):
        with pytest.raises(keystart.NotReady, match="changes faster than it can be read"):
            hurried.tls("mtls")


def test_a_load_that_worked_does_not_count_when_its_generation_is_gone(
    publisher: Publisher,
    client: keystart.Keystart,
    authority: Authority,
    server: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A writer that removes a generation may have overwritten the end of a file that OpenSSL was reading.
    publisher.publish(mtls(authority, "old"))
    load = ssl.SSLContext.load_cert_chain
    pending = [mtls(authority, "new")]

    def load_cert_chain(context: ssl.SSLContext, *files: Any, **arguments: Any) -> None:
        load(context, *files, **arguments)
        if pending:
            publisher.collect(pending.pop())

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    assert greeting(client.tls("mtls"), server) == "new"


def test_a_snapshot_whose_generation_is_collected_during_the_load_has_expired(
    publisher: Publisher, client: keystart.Keystart, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish({**mtls(authority), "unread": "x"})
    snapshot = client.snapshot()
    during_the_load(monkeypatch, lambda: publisher.collect(mtls(authority)))
    with pytest.raises(keystart.SnapshotExpired) as expired:
        snapshot.tls("mtls")
    with pytest.raises(keystart.SnapshotExpired) as expired_in_the_core:
        snapshot.get("unread")
    assert str(expired.value) == str(expired_in_the_core.value)
    assert expired.value.secret == "mtls/cert"


def test_a_store_that_is_stopped_during_the_load_makes_no_context(
    publisher: Publisher, client: keystart.Keystart, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish(mtls(authority))
    during_the_load(monkeypatch, publisher.stop)
    with pytest.raises(keystart.NotReady, match="was stopped"):
        client.tls("mtls")
