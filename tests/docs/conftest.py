"""Lets the tests of this folder import the modules beside them, and gives them what the examples read and ask."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import keystart.testing
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from pages import NODE, RUBY


class Greeting(BaseHTTPRequestHandler):
    """Greets the client by the name in its certificate."""

    def do_GET(self) -> None:
        connection: Any = self.connection
        subject = dict(pair for (pair,) in connection.getpeercert()["subject"])
        body = f"hello {subject['commonName']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def certificate(folder: Path, name: str, *more: str) -> tuple[str, str]:
    """Makes a certificate and its key, for the length of the run."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")
    made = ("-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.crt")
    subprocess.run(
        ["openssl", "req", "-x509", *key, *made, *more], cwd=folder, check=True, capture_output=True
    )
    return (folder / f"{name}.crt").read_text(), (folder / f"{name}.key").read_text()


@pytest.fixture(scope="session")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """A server on loopback that lets nobody in without a certificate; gives the secrets that a client of it has."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, _ = certificate(folder, "authority", "-addext", "keyUsage=critical,keyCertSign")
    signed = ("-CA", "authority.crt", "-CAkey", "authority.key", "-extensions", "usr_cert")
    certificate(folder, "localhost", *signed, "-addext", "subjectAltName=DNS:localhost")
    own, key = certificate(folder, "orders", *signed)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "localhost.crt", folder / "localhost.key")
    context.load_verify_locations(cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeting)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {
        "partner/address": {"host": "localhost", "port": server.server_port},
        "partner/mtls/cert": own,
        "partner/mtls/key": key,
        "partner/mtls/ca": authority,
    }
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def root(partner: dict[str, object]) -> Iterator[str]:
    """The store that the examples of the documentation read."""
    secrets = {
        "stripe/key": f"sk_{os.urandom(10).hex()}_",
        "keytab": b"\xff\0" + os.urandom(3),
        "limits": {"orders": 10},
        "db/host": "db.internal",
        "db/password": os.urandom(8).hex(),
        **partner,
    }
    with keystart.testing.store(secrets, unavailable={"flags": "Nobody has them."}) as store:
        yield store.root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which node finds the package, as after an install."""
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "keystart").symlink_to(NODE)
    (modules / "@types").symlink_to(NODE / "node_modules/@types")
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    return tmp_path


@pytest.fixture
def environment(root: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("KEYSTART_")},
        "KEYSTART_DIR": root,
        "KEYSTART_TIMEOUT_MS": "0",
        "RUBYLIB": str(RUBY / "lib"),
    }
