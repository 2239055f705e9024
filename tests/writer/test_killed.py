"""Kills a writer with SIGKILL at every failpoint of the core, as often as it gets there (contract 5.10)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import keystart
import pytest

from .driven import (
    COLLECT,
    CORE,
    FAIL,
    OPEN,
    STOP,
    Writer,
    accepting,
    numbers,
    program,
    publishing,
    recover,
    refreshing,
    trying,
)
from .seen import Readers

BEFORE, AFTER = frozenset({"before"}), frozenset({"after"})
EITHER = BEFORE | AFTER
# What readers see if a writer ends there: the state before the command that it ran, or the state after it.
FAILPOINTS = {
    "1": BEFORE,
    "2": BEFORE,
    "3, current removed": AFTER,
    "3, starting": AFTER,
    "3, renamed": AFTER,
    "3, emptied": AFTER,
    "3": AFTER,
    "4, folder made": BEFORE,
    "4, secrets written": BEFORE,
    "4": BEFORE,
    "5": BEFORE,
    "6, link made": BEFORE,
    "6": AFTER,
    "7, ready": AFTER,
    "7, freshness written": AFTER,
    "7": AFTER,
    "8, renamed": AFTER,
    "8": AFTER,
    "candidate made": AFTER,
    "11, current removed": AFTER,
    "11, stopped": AFTER,
    "11, renamed": AFTER,
    "11": AFTER,
    "file linked": BEFORE,
    "file made": EITHER,
    "file removed": EITHER,
    "file overwritten": AFTER,
}
IN_A_STOP = {name for name in FAILPOINTS if name.startswith("11")} | {"file overwritten"}

# The commands of a writer, and what readers see after them.
LIFE = [
    (OPEN, "not_ready"),
    (FAIL, "prefetch_failed"),
    *((publishing(of), of) for of in ("one", "two", "three")),
    (publishing("four", {"kept": "as it is"}), "four"),
    *((refreshing(of), of) for of in ("five", "six")),
    # What readers of the current generation see changes only when a candidate is accepted.
    (trying("refused"), "six"),
    (trying("seven"), "six"),
    (accepting(8), "seven"),
    (COLLECT, "seven"),
    (STOP, "not_ready"),
]


def sweep(failpoint: str, killed: Callable[[str], bool]) -> int:
    """Kills a writer the first, second, third … time that it reaches a failpoint; returns how often it does."""
    times = 0
    while killed(f"{failpoint}@{times + 1}"):
        times += 1
    return times


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_readers_of_a_writer_that_was_killed_see_the_old_set_the_new_one_or_none(
    failpoint: str, tmp_path: Path, readers: Readers
) -> None:
    def killed(point: str) -> bool:
        root = tmp_path / point
        root.mkdir(mode=0o700)
        before = "not_ready"
        with Writer(root, point) as writer:
            for command, after in LIFE:
                readers.begin(root)
                died = writer.dies(command)
                clients, snapshots = readers.end()
                assert snapshots <= {before, "snapshot_expired"}
                if died:
                    break
                assert clients == {after}
                before = after
            else:
                return False
        seen = readers.see(root)
        assert seen in allowed(failpoint, before, after), point
        assert clients == {seen}
        recover(root)
        assert readers.see(root) == "next"
        return True

    assert sweep(failpoint, killed) > 0


def allowed(failpoint: str, before: str, after: str) -> set[str]:
    """Returns what readers may see if a writer was killed there."""
    views = {"before": before, "after": after}
    return {views[when] for when in FAILPOINTS[failpoint.partition("@")[0]]}


@pytest.mark.parametrize("first", FAILPOINTS)
def test_a_writer_that_is_killed_over_what_a_killed_one_left_hides_no_number_and_leaves_no_rubbish(
    first: str, tmp_path: Path, core: Readers
) -> None:
    left = tmp_path / "left"
    with Writer(left) as writer:
        for command in (OPEN, publishing("one"), publishing("two")):
            writer.do(command)
    with Writer(left, first) as writer:
        with_kept = publishing("four", {"kept": "as it is"})
        candidate = (trying("six"), accepting(6))
        commands = (OPEN, publishing("three"), with_kept, refreshing("five"), *candidate, STOP)
        assert any(writer.dies(command) for command in commands)
    was = core.see(left)

    def killed(point: str) -> bool:
        root = tmp_path / point
        subprocess.run(["cp", "-a", left, root], check=True)  # with its hard links
        used = numbers(root)
        with Writer(root, point) as writer:
            died = writer.dies(OPEN)
        assert core.see(root) in allowed(point, was, "not_ready"), point
        assert max(numbers(root)) >= max(used), "a number was forgotten"
        recover(root)
        return died

    # Only steps 1 to 3: later steps find nothing of the previous writer.
    alive = {
        point for point in FAILPOINTS if point[0] in "123" and point not in IN_A_STOP and not killed(point)
    }
    assert not alive
    assert killed("file made")
    for time in (1, 3):
        killed(f"file removed@{time}")


def test_every_failpoint_of_the_core_is_listed_here() -> None:
    source = "".join(path.read_text() for path in (CORE / "src").rglob("*.rs"))
    found = re.findall(r'failpoint::reached\("([^"]+)"\)', source)
    assert sorted(found) == sorted(FAILPOINTS)


def test_the_library_that_is_installed_has_no_failpoint() -> None:
    (library,) = (Path(keystart.__file__).parent / "_native").glob("*.so")
    words = [
        b"KEYSTART_FAILPOINT",
        b"KEYSTART_KEPT_MS",
        *(name.encode() for name in FAILPOINTS if len(name) > 8),
    ]
    released, for_tests = library.read_bytes(), Path(program()).read_bytes()
    assert all(word in for_tests for word in words)
    assert not any(word in released for word in words)
