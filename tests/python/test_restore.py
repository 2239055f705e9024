"""Checks the hook that the reader registers for the restore of a snapshot (contract 11.11)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HOOKS = """
import sys
{before}
import keystart
{after}
from snapshot_restore_py import get_after_restore
hooks = get_after_restore()
print(len(hooks))
for function, arguments, options in hooks:
    function(*arguments, **options)
"""
PATIENCE = 30.0  # seconds; only a test that fails waits for so long


def restore(root: Path, before: str = "", after: str = "", **variables: str) -> str:
    """Loads the reader in a new process and restores it. Returns how many hooks ran."""
    done = subprocess.run(
        [sys.executable, "-c", HOOKS.format(before=before, after=after)],
        env={**os.environ, "KEYSTART_DIR": str(root), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("kind", "hooks"), [("snap-start", "1"), ("on-demand", "0"), ("provisioned-concurrency", "0")]
)
def test_the_reader_registers_one_hook_and_only_under_snapstart(
    tmp_path: Path, kind: str, hooks: str
) -> None:
    assert restore(tmp_path / "absent", AWS_LAMBDA_INITIALIZATION_TYPE=kind) == hooks


def test_a_runtime_without_hooks_loads_the_reader_all_the_same(tmp_path: Path) -> None:
    hooks = restore(
        tmp_path / "absent",
        before='sys.modules["snapshot_restore_py"] = None',
        after='del sys.modules["snapshot_restore_py"]',
        AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
    )
    assert hooks == "0"


@pytest.mark.parametrize(
    "variables", [{"KEYSTART_TIMEOUT_MS": "soon"}, {"KEYSTART_DIR": "not/absolute"}, {"KEYSTART_DIR": "/"}]
)
def test_no_error_of_the_hook_ends_the_environment(tmp_path: Path, variables: dict[str, str]) -> None:
    assert restore(tmp_path, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", **variables) == "1"


@pytest.mark.long
def test_the_hook_waits_five_seconds_for_a_writer_that_never_answers(tmp_path: Path) -> None:
    root = tmp_path / "keystart"
    root.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as writer:
        writer.bind(str(root / "control.sock"))
        writer.listen()
        began = time.monotonic()
        assert restore(root, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") == "1"
        assert time.monotonic() - began > 4.9
        client, _ = writer.accept()
        with client:
            assert client.recv(1000) == b'{"format": "keystart.control/1", "op": "restored"}\n'
