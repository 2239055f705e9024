"""Two builds of a checkout at the same time: the layer's and the packages' compile in the same folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from extension.standalone.toolchain import maturin

# Like maturin, it keeps its library in one place until it is packed. It fails where another one has done so.
MATURIN = """#!/bin/sh
mkdir "$CARGO_TARGET_DIR/maturin" || exit 1
sleep 0.3
rmdir "$CARGO_TARGET_DIR/maturin"
"""


def test_one_maturin_at_a_time_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "maturin"
    program.write_text(MATURIN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    variables = {"CARGO_TARGET_DIR": str(tmp_path / "target")}
    with ThreadPoolExecutor(3) as pool:
        for build in [pool.submit(maturin, ["build"], variables, tmp_path) for _ in range(3)]:
            build.result()
