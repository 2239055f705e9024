"""Another user tries to read a store, to plant into it, to swap its root, and to furnish it before the writer comes.

The store lies in a folder like /tmp: everybody may write there, and nobody may rename what others own (sticky).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from driven import Refused, Writer, recover, store, tree, value
from seen import Readers
from test_refused import AS_NOBODY, NOBODY, facts, with_old_set

READS = 30
READING = (
    "ls {root}",
    "ls {root}/generations",
    "readlink -v {root}/current",
    "cat {root}/state.json",
    "cat {root}/lock",
    "cat {root}/current/manifest.json",
    "cat {root}/current/secrets/tls/key",
    "cat {root}/generations/1/secrets/tls/key",
)
PLANTING = (
    "touch {root}/planted",
    "mkdir {root}/generations/9",
    "ln -s {mine} {root}/generations/9",
    "ln -sT generations/9 {root}/current",
    "cp {mine}/state.json {root}/state.json",
    "rm {root}/current",
    "chmod 777 {root}",
    "rm -r {root}",
    "rmdir {root}",
    "mv -T {root} {root}.gone",
    "mv -T {mine} {root}",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder as /tmp is: those of pytest are private."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process of another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        yield Path(name)


def as_other(command: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell command as another user."""
    return subprocess.run(
        [*AS_NOBODY, "sh", "-c", command], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )


def owned_by_other(root: Path) -> Path:
    """A whole store that another user could have made."""
    with_old_set(root)
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return root


@pytest.mark.parametrize("attempt", READING + PLANTING)
def test_another_user_is_refused_and_changes_nothing(attempt: str, folder: Path, readers: Readers) -> None:
    mine, root = owned_by_other(folder / "mine"), with_old_set(folder / "store")
    before = facts(root)
    assert as_other(f"ls {mine}/current/secrets").returncode == 0
    tried = as_other(attempt.format(root=root, mine=mine))
    assert tried.returncode != 0
    assert "Permission denied" in tried.stderr or "Operation not permitted" in tried.stderr, tried.stderr
    assert tried.stdout == ""
    assert facts(root) == before
    assert readers.see(root) == "old"


def test_readers_go_on_while_another_user_tries_to_swap_the_root(folder: Path, readers: Readers) -> None:
    mine, root = owned_by_other(folder / "mine"), with_old_set(folder / "store")
    swap = f"mv -T {root} {root}.gone; ln -sfnT {mine} {root}; mv -T {mine} {root}"
    attempts = f"while :; do {swap}; echo tried; done"
    with subprocess.Popen(
        [*AS_NOBODY, "sh", "-c", attempts], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as attacker:
        assert attacker.stdout
        try:
            for _ in range(READS):
                # Reads and attempts come in turn at least, and beside each other when there are two cores.
                assert attacker.stdout.readline() == b"tried\n"
                assert readers.see(root) == "old"
        finally:
            attacker.kill()


def test_a_root_that_another_user_made_is_neither_written_nor_read(folder: Path, readers: Readers) -> None:
    root = owned_by_other(folder / "store")
    before = facts(root)
    with Writer(root) as writer, pytest.raises(Refused) as told:
        writer.open()
    assert told.value.code == "layout_insecure"
    assert readers.see(root) == "layout_insecure"
    assert facts(root) == before


@contextmanager
def holding(root: Path, commands: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another user that works inside the root, holds what it made open, and goes on when told to."""
    script = f"set -e; cd {root}; {commands}; set +e; echo held; read go; {AFTERWARDS}"
    with subprocess.Popen(
        [*AS_NOBODY, "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process


FURNISH = (
    "umask 0",
    "mkdir -p generations/7/secrets/tls aside",
    "echo planted > generations/7/secrets/tls/key",
    "cp -r generations/7 generations/.new-8",
    "ln -s generations/7 current",
    "echo '{}' > state.json",
    "touch lock",
    "exec 3< . 4< generations/7/secrets/tls/key 5< generations 6<> state.json 7<> lock",
)
# All ways on from what is still open: files by their handle, folders by name from the handle and the working folder.
AFTERWARDS = """
cat <&4; cat <&6; cat <&7; ls /proc/self/fd/5/; cat /proc/self/fd/5/1/secrets/tls/key; touch planted
for at in . /proc/self/fd/3; do
  ls $at; cat $at/current/secrets/tls/key $at/generations/*/secrets/tls/key; mv $at/generations $at/aside
done
echo over
"""


def test_what_another_user_put_into_a_root_that_was_too_open_is_gone_and_its_handles_see_nothing(
    folder: Path, readers: Readers
) -> None:
    root = folder / "store"
    root.mkdir()
    root.chmod(0o777)
    victim = folder / "victim"
    victim.write_text("kept")
    with holding(root, "; ".join(FURNISH)) as attacker:
        os.link(victim, root / "generations/7/manifest.json")  # what fs.protected_hardlinks may allow
        (root / "generations/.old-3").symlink_to(folder)
        with Writer(root) as writer:
            writer.open()
            number = writer.publish("new")
            assert readers.see(root) == "new"
            seen, _ = attacker.communicate("go\n")
            assert seen.endswith("over\n")
            assert "Permission denied" in seen
            assert "planted\n" in seen, "the handle of its own file should have worked"
            for name in ("tls/key", "tls/cert"):
                assert value("new", name).splitlines()[0] not in seen
            assert readers.see(root) == "new"
            assert tree(root) == store(number)
    assert victim.read_text() == "kept"
    assert {path.stat(follow_symlinks=False).st_uid for path in (root, *root.rglob("*"))} == {0}
    recover(root)


@pytest.mark.parametrize("part", ["generations", "generations/8", "generations/.new-8"])
def test_a_link_to_a_folder_of_somebody_else_is_removed_and_not_followed(
    part: str, folder: Path, readers: Readers
) -> None:
    root, victim = folder / "store", folder / "victim"
    for path in (root, victim, victim / "1"):
        path.mkdir()
    (victim / "1/precious").write_text("kept")
    root.chmod(0o777)
    planted = f"mkdir -p $(dirname {root}/{part}) && ln -s {victim} {root}/{part}"
    assert as_other(planted).returncode == 0
    before = facts(victim)
    with Writer(root) as writer:
        writer.open()
        writer.publish("new")
    assert readers.see(root) == "new"
    assert facts(victim) == before
    recover(root)


def test_a_lock_that_another_user_made_and_holds_keeps_no_writer_out(folder: Path, readers: Readers) -> None:
    root = folder / "store"
    root.mkdir()
    root.chmod(0o777)
    with holding(root, "umask 0; exec 3> lock; flock 3") as attacker, Writer(root) as writer:
        writer.open()
        writer.publish("new")
        assert attacker.poll() is None
        assert readers.see(root) == "new"
        with Writer(root) as second, pytest.raises(Refused) as told:
            second.open()
        assert told.value.code == "store_locked"


def test_a_writer_takes_over_a_root_with_100_000_names_in_generations(folder: Path, readers: Readers) -> None:
    root = with_old_set(folder / "store")
    for number in range(2, 100_001):
        (root / f"generations/.new-{number}").touch()
    assert readers.see(root) == "old"
    with Writer(root) as writer:
        writer.open()
        assert writer.publish("new") == 100_001
        assert readers.see(root) == "new"
        assert tree(root) == store(100_001)
