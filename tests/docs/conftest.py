"""The store and the server for the examples of the documentation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import keystart.testing
import pytest

from tests.conformance.scripted import ScriptedWriter
from tests.fakes.partner import Partner

from .pages import NODE, RUBY


@pytest.fixture(scope="session")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Returns the secrets of a client whose server on loopback greets it by the name in its certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    with Partner(folder, lambda name, _: f"hello {name}".encode()) as server:
        mtls = {f"partner/mtls/{name}": value for name, value in server.mtls.items()}
        yield {"partner/address": server.address, **mtls}


@pytest.fixture(scope="session")
def root(partner: dict[str, object]) -> Iterator[str]:
    """Publishes the store that the examples of the documentation read."""
    secrets = {
        "stripe/key": f"sk_{os.urandom(10).hex()}_",
        "keytab": b"\xff\0" + os.urandom(3),
        "limits": {"orders": 10},
        "db/host": "db.internal",
        "db/password": os.urandom(8).hex(),
        **partner,
    }
    done = {"format": "keystart.control/1", "ok": True, "failures": {}}
    with (
        keystart.testing.store(secrets, unavailable={"flags": "Nobody has them."}) as store,
        ScriptedWriter(Path(store.root), {"answers": [{"line": {"json": done}}]}),
    ):
        yield store.root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Makes a folder in which node finds the package, as after an install."""
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
        "KEYSTART_TIMEOUT_MS": "5000",
        "RUBYLIB": str(RUBY / "lib"),
    }
