"""Fixtures: the packages of dist/, a store to read with them, and a way to run what users run."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from extension.standalone.dist import DIST
from tests.conformance import store as conformance
from tests.fakes.certificates import Authority

from .build import packages
from .installed import Installation


@pytest.fixture
def unhurried(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Returns a function that skips the test in a quick run, with the reason."""

    def skip_when_quick(why: str) -> None:
        if request.config.getoption("--quick"):
            pytest.skip(f"not in a quick run: {why}")

    return skip_when_quick


@pytest.fixture(scope="session")
def package() -> Callable[[str], Path]:
    """Returns the one file of dist/ that matches a pattern, in this version."""

    def one(pattern: str) -> Path:
        found = [DIST / name for name in packages(DIST) if fnmatch(name, pattern)]
        assert len(found) == 1, f"{len(found)} of {pattern} in {DIST}: run ./dev packages"
        return found[0]

    return one


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Publishes a store for the consumers and the READMEs, and the answer that each consumer must return."""
    root = tmp_path_factory.mktemp("store") / "root"
    certificate, key = Authority().issue("function")
    keytab = secrets.token_bytes(32)
    stripe = f"sk_{secrets.token_hex(16)}"
    database = {"username": "orders", "user": "orders", "password": secrets.token_hex(16), "port": 5432}
    described = {
        "stripe/key": stripe,
        "db": json.dumps(database),
        "keytab": {"base64": base64.b64encode(keytab).decode()},
        "tls/cert": certificate,
        "tls/key": key,
    }
    conformance.build(root, {"base": "good", "secrets": described})
    answer = {
        "text": stripe,
        "bytes": base64.b64encode(keytab).decode(),
        "json": database,
        "names": ["tls/cert", "tls/key"],
        "tls": True,
        "missing": 'There is no secret "sripe/key" in the store. Did you mean "stripe/key"? '
        "Add it to the configuration of the extension.",
    }
    return Installation(root, answer)
