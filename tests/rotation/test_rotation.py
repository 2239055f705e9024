"""The quick run of `./dev rotation` on real servers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import ROOT

PARTS = ("postgresql", "dead", "mariadb", "mutual-tls", "simulation")


@pytest.mark.parametrize("part", PARTS)
def test_the_quick_run_finds_nothing_wrong(part: str) -> None:
    command = [sys.executable, "-m", "tests.rotation", "--quick", "--only", part]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1].startswith("✓")


def test_the_report_is_json() -> None:
    command = [sys.executable, "-m", "tests.rotation", "--quick", "--json", "--only", "simulation"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["problems"] == []
