"""Pins what a cold start loads: each module costs, and the readers of the function wait for all of them."""

from __future__ import annotations

import subprocess
import sys

from .conftest import Cloud, Environment, Launcher
from .stubs import Lambda

# What is loaded until the core has registered, then what is loaded while it fetches.
BEFORE = [
    "keystart_extension",
    "keystart_extension.__main__",
    "_cffi_backend",
    "keystart_extension._native.ffi",
]
BEFORE += ["keystart_extension._native"]
MEANWHILE = {
    *(
        "keystart",
        "keystart.core",
        "keystart.errors",
        "keystart.secret",
        "keystart.store",
        "keystart.version",
    ),
    *("keystart._native", "keystart._native.ffi"),
    *(
        f"keystart_extension.{name}"
        for name in ("core", "extensions_api", "fetched", "log", "process", "publish", "start", "store")
    ),
    *("keystart_extension.sources", "keystart_extension.sources.native"),
}


def imported(stderr: str) -> list[str]:
    """The modules in their order, as `-X importtime` tells them."""
    lines = [line.rsplit("|", 1) for line in stderr.splitlines() if line.startswith("import time:")]
    return [name.strip() for _, name in lines if name.strip() != "imported package"]


def test_a_start_loads_nothing_that_it_does_not_need(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, environment: Environment, form: str
) -> None:
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import __future__"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    extension = launch(lambda_api, {"db": cloud.secret("x")}, PYTHONPROFILEIMPORTTIME="1")
    lambda_api.wait_for("/event/next")
    lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == 0
    loaded = [name for name in imported("\n".join(lines)) if name not in imported(bare.stderr)]
    assert loaded[: len(BEFORE)] == BEFORE
    meanwhile = set(loaded[len(BEFORE) :])
    if form == "json":
        assert meanwhile == MEANWHILE
    else:  # what the core leaves to Python takes all of this more
        assert meanwhile > MEANWHILE | {"json", "re", "typing", "yaml", "keystart_extension.configuration"}
