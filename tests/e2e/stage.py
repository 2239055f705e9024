"""Prepares end-to-end runs: people's secrets in a store served by moto, the extension, a function.

The demo and the tests of Keystart in the simulator use it. It checks nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests import ROOT
from tests.fakes.aws import REGION, Cloud, serve_moto
from tests.fakes.certificates import Authority
from tests.fakes.keywhiz import Keywhiz, Secret

from .lambda_simulator import Clock, Environment, Fault, Function, InitializationType
from .lambda_simulator.runtimes import BY_NAME, Runtime

FUNCTIONS = Path(__file__).parent / "functions"
LANGUAGES = ("python", "node", "ruby")
WRAPPER = ROOT / "target/release/keystart-env"
FILES = {"python": "app.py", "node": "app.mjs", "ruby": "app.rb"}

CONFIGURATION = """\
version: 1
secrets:
  db:                                  # every member of the JSON secret: db/host, db/user, db/password
    secret: prod/orders/db
    expand: true
  api/stripe: prod/stripe-key
  tls:
    secret: prod/orders/mtls
    expand: true
  kerberos/keytab: prod/orders/keytab
  limits:
    parameter: /prod/orders/limits
  feature-flags:                       # does not exist, and may be missing
    secret: prod/feature-flags
    optional: true
"""


@dataclass(frozen=True)
class Store:
    """The endpoint where moto serves the secrets, and by name the bytes that every language must see."""

    endpoint: str
    expected: Mapping[str, bytes] = field(repr=False)


@contextmanager
def store(keywhiz: Path | None = None) -> Iterator[Store]:
    """Serves Secrets Manager and Parameter Store on loopback, with secrets that people have.

    With a folder for `keywhiz`, a Keywhiz server has the secrets, and `keystart sync` brings them.
    """
    with serve_moto() as endpoint:
        people = _People()
        cloud = Cloud(endpoint)
        cloud.parameter("/prod/orders/limits", people.limits)
        if keywhiz is None:
            for name, value in people.secrets.items():
                cloud.secret(value, f"prod/{name}")
        else:
            _synchronise(keywhiz, endpoint, people.secrets)
        cloud.close()
        yield Store(endpoint, people.expected)


class _People:
    """Secrets that people have: a database, a key of an API, a certificate, a keytab, and a parameter."""

    def __init__(self) -> None:
        database = {"host": "orders.internal", "user": "orders", "password": secrets.token_urlsafe(24)}
        stripe = "sk_live_" + secrets.token_hex(16)
        certificate, key = Authority().issue("orders.internal")
        keytab = b"\x05\x02\0\n" + secrets.token_bytes(4092)
        self.limits = "rate=100,burst=200"
        self.secrets: dict[str, str | bytes] = {
            "orders/db": json.dumps(database),
            "stripe-key": stripe,
            "orders/mtls": json.dumps({"cert": certificate, "key": key}),
            "orders/keytab": keytab,
        }
        self.expected = {
            **{f"db/{member}": value.encode() for member, value in database.items()},
            "api/stripe": stripe.encode(),
            "tls/cert": certificate.encode(),
            "tls/key": key.encode(),
            "kerberos/keytab": keytab,
            "limits": self.limits.encode(),
        }


SYNC = """\
version: 1
id: orders
source:
  keywhiz: { url: URL, certificate: keystart.pem, key: keystart.key, ca: authority.pem }
secrets:
  - name: prod/{name}
    tags: { owner: "{metadata.owner}" }
"""


def _synchronise(folder: Path, endpoint: str, values: Mapping[str, str | bytes]) -> None:
    """Serves the secrets from Keywhiz, and runs `keystart sync apply` once."""
    folder.mkdir()
    with Keywhiz(folder) as keywhiz:
        keywhiz.client("keystart")
        for name, value in values.items():
            content = value.encode() if isinstance(value, str) else value
            keywhiz.secrets[name] = Secret(content, {"owner": "payments"})
        (folder / "sync.yaml").write_text(SYNC.replace("URL", keywhiz.url))
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
        }
        command = [str(Path(sys.executable).with_name("keystart")), "sync", "apply", "--yes", "sync.yaml"]
        subprocess.run(command, cwd=folder, env=environment, check=True)


def extensions(folder: Path) -> Path:
    """Makes a folder like /opt/extensions that holds the extension of this checkout."""
    folder.mkdir()
    launcher = folder / "keystart"
    launcher.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).with_name("keystart")}"\n')
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder


def task(
    folder: Path,
    language: str,
    function: str | Path,
    configuration: str | None,
    node_packages: Mapping[str, Path],
) -> Path:
    """Makes a folder like /var/task: the function's code, its packages for Node, and keystart.yaml."""
    folder.mkdir()
    shutil.copy(FUNCTIONS / language / function / FILES[language], folder)
    if language == "node":
        (folder / "node_modules").mkdir()
        for name, package in {"keystart": ROOT / "bindings/node", **node_packages}.items():
            (folder / "node_modules" / name).symlink_to(package)
    if configuration is not None:
        (folder / "keystart.yaml").write_text(configuration)
    return folder


def environment(
    scratch: Path,
    language: str,
    endpoint: str,
    *,
    runtime: Runtime | None = None,
    function: str | Path = "demo",
    configuration: str | None = CONFIGURATION,
    env: Mapping[str, str] | None = None,
    node_packages: Mapping[str, Path] = MappingProxyType({}),
    timeout: float = 3.0,
    initialization_type: InitializationType = "on-demand",
    concurrency: int = 1,
    freezes: bool = False,
    clock: Clock | None = None,
    faults: Sequence[Fault] = (),
) -> Environment:
    """Returns an execution environment with the extension and a function that reads its secrets at import.

    The runtime is AWS's own client if the language has one, unless the caller names another. `function` is a name in
    `functions`, or the absolute path of another folder.
    """
    code = task(scratch / f"task-{language}", language, function, configuration, node_packages)
    own = {"AWS_ENDPOINT_URL": endpoint, "RUBYLIB": str(ROOT / "bindings/ruby/lib"), **(env or {})}
    if configuration is not None and not _isolates():
        own["KEYSTART_CONFIG"] = str(code / "keystart.yaml")  # /var/task cannot be mounted
    folder = scratch / "extensions"
    return Environment(
        extensions=folder if folder.exists() else extensions(folder),
        function=Function(runtime or BY_NAME[language](), code, env=own, name=f"orders-{language}"),
        region=REGION,
        visible=[ROOT, scratch],
        initialization_type=initialization_type,
        concurrency=concurrency,
        freezes=freezes,
        clock=clock,
        faults=faults,
        timeout=timeout,
    )


def bare_environment(language: str, runtime: Runtime) -> Environment:
    """Returns an execution environment without an extension, and with a function that needs no secrets."""
    code = ROOT / "benchmarks/cold_start/apps" / language / "bare"
    return Environment(function=Function(runtime, code, name=f"bare-{language}"), visible=[ROOT])


def seconds(time_of_manifest: str) -> float:
    """Returns the wall-clock time of contract 4.3 as seconds."""
    return datetime.datetime.fromisoformat(time_of_manifest.replace("Z", "+00:00")).timestamp()


def _isolates() -> bool:
    with Environment() as probe:
        return probe.isolated


def without_aws_settings() -> None:
    """Removes variables that point this process's boto3 elsewhere: the stage uses loopback only."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
