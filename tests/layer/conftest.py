"""Fixtures: each built layer, a sandbox with its executable, and a fake AWS for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extension.standalone.toolchain import TARGETS
from tests.fakes.timed import TimedCloud

from .sandbox import Layer, Sandbox, open_to_others, unpacked


@pytest.fixture(scope="session", params=TARGETS)
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    """The layer for each architecture."""
    return unpacked(TARGETS[request.param], tmp_path_factory.mktemp(f"layer-{request.param}") / "opt")


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    """The layer for this machine."""
    target = next(target for target in TARGETS.values() if target.is_native)
    return unpacked(target, tmp_path_factory.mktemp("layer") / "opt")


@pytest.fixture
def sandbox(layer: Layer, tmp_path: Path) -> Sandbox:
    open_to_others(tmp_path)
    return Sandbox(tmp_path / "root", layer)


@pytest.fixture
def cloud(sandbox: Sandbox, tmp_path: Path) -> TimedCloud:
    made = TimedCloud(tmp_path, latency=0.0)
    shutil.copy2(tmp_path / "authority.pem", sandbox.root / "opt/authority.pem")
    return made
