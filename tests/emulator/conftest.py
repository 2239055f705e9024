"""Fixtures: AWS's emulator, the layer's zip as Lambda unpacks it, and the secrets that functions read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from extension.standalone.toolchain import TARGETS
from tests.e2e import stage
from tests.layer.sandbox import unpacked

from . import emulator


@pytest.fixture(scope="session")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the zip that `./dev layer` built for this machine."""
    emulator.build()
    target = next(target for target in TARGETS.values() if target.is_native)
    return unpacked(target, tmp_path_factory.mktemp("layer") / "opt").opt


@pytest.fixture(scope="session")
def store() -> Iterator[stage.Store]:
    stage.without_aws_settings()
    with stage.store() as store:
        yield store
