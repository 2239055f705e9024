"""The peak memory of a process does not include the memory of the process that measures it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.peak import Exit, run

LARGE = 100 * 1024 * 1024


def measured(program: str, folder: Path, patience: int = 60) -> Exit:
    with (folder / "output").open("w") as output:
        return run([sys.executable, "-I", "-S", "-c", program], {}, output, patience)


def test_only_the_memory_of_the_process_itself_counts(tmp_path: Path) -> None:
    ours = b"x" * (2 * LARGE)
    small = measured("pass", tmp_path)
    large = measured(f"print(len(b'x' * {LARGE}))", tmp_path)
    assert (small.code, large.code) == (0, 0)
    assert (tmp_path / "output").read_text() == f"{LARGE}\n"
    assert small.peak * 1024 < LARGE / 2 < len(ours)
    assert LARGE < large.peak * 1024 < LARGE + small.peak * 2 * 1024


def test_the_exit_code_is_that_of_the_process(tmp_path: Path) -> None:
    assert measured("raise SystemExit(3)", tmp_path).code == 3


def test_a_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    assert measured("import signal; signal.pause()", tmp_path, patience=1).code == -9
