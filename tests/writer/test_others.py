"""Another user tries to read a store, to plant into it, to swap its root, and to fill it before the writer comes.

The store lies in a folder like /tmp: everybody may write there, and only owners may rename (sticky).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .disk import mounted
from .driven import RefusedError, Writer, recover, store, tree, value
from .seen import Readers
from .test_refused import AS_NOBODY, NOBODY, facts, with_old_set

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
    """Makes a folder like /tmp: those of pytest are private."""
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
    """Makes a whole store, as another user could."""
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


def test_readers_continue_while_another_user_tries_to_swap_the_root(folder: Path, readers: Readers) -> None:
    mine, root = owned_by_other(folder / "mine"), with_old_set(folder / "store")
    swap = f"mv -T {root} {root}.gone; ln -sfnT {mine} {root}; mv -T {mine} {root}"
    attempts = f"while :; do {swap}; echo tried; done"
    with subprocess.Popen(
        [*AS_NOBODY, "sh", "-c", attempts], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as attacker:
        assert attacker.stdout
        try:
            for _ in range(READS):
                # Reads and attempts at least alternate, and run in parallel on two cores.
                assert attacker.stdout.readline() == b"tried\n"
                assert readers.see(root) == "old"
        finally:
            attacker.kill()
            attacker.stdout.read()  # until its mv or ln is over too, so that the folder can be removed


def test_a_root_that_another_user_made_is_neither_written_nor_read(folder: Path, readers: Readers) -> None:
    root = owned_by_other(folder / "store")
    before = facts(root)
    with Writer(root) as writer, pytest.raises(RefusedError) as refused:
        writer.open()
    assert refused.value.code == "layout_insecure"
    assert readers.see(root) == "layout_insecure"
    assert facts(root) == before


@contextmanager
def holding(root: Path, commands: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another user that works inside the root, keeps what it made open, and continues on command."""
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
)
# All ways to use what is still open: folders by name from the handle and from the working folder.
AFTERWARDS = """
touch planted
for at in . /proc/self/fd/3; do
  ls $at; cat $at/current/secrets/tls/key $at/generations/*/secrets/tls/key; mv $at/generations $at/aside
done
echo over
"""


def test_handles_of_another_user_see_nothing_of_a_store_that_was_too_open(
    folder: Path, readers: Readers
) -> None:
    root = with_old_set(folder / "store")
    root.chmod(0o777)
    with holding(root, "exec 3< .") as attacker, Writer(root) as writer:
        writer.open()
        number = writer.publish("new")
        assert readers.see(root) == "new"
        seen, _ = attacker.communicate("go\n")
        assert seen.endswith("over\n")
        assert "Permission denied" in seen
        for name in ("tls/key", "tls/cert"):
            assert value("new", name).splitlines()[0] not in seen
        assert readers.see(root) == "new"
        assert tree(root) == store(number)
    recover(root)


def refused(root: Path, what: str, *others: Path) -> None:
    """Checks that the writer refuses the root with this reason, and that nothing has changed there or elsewhere."""
    before = [facts(path) for path in (root, *others)]
    with (
        Writer(root) as writer,
        pytest.raises(RefusedError, match=f"is not safe to write: {what}") as refused,
    ):
        writer.open()
    assert refused.value.code == "layout_insecure"
    assert [facts(path) for path in (root, *others)] == before


def test_what_another_user_made_of_a_root_that_was_too_open_is_refused_and_left_as_it_is(
    folder: Path,
) -> None:
    root = folder / "store"
    root.mkdir()
    root.chmod(0o777)
    with holding(root, "; ".join(FURNISH)):
        refused(root, "lock belongs to another user")


PLANTED = {
    "touch {root}/planted": "the root holds 1 entry that Keystart did not make",
    "ln -s {victim} {root}/freshness.json": "freshness.json is a symbolic link",
    "mkfifo {root}/.state.json": ".state.json is not a regular file",
    "cp {root}/lock {root}/.state.json": "",
    "rm {root}/current; ln -s generations/1 {root}/current": "current belongs to another user",
    "rm {root}/lock; touch {root}/lock": "lock belongs to another user",
    "mv {root}/generations {root}/aside; mkdir {root}/generations": "the root holds 1 entry that Keystart",
    "mv {root}/lock {root}/.state.json; touch {root}/lock": "lock belongs to another user",
    "mv {root}/state.json {root}/freshness.json": "freshness.json is none that a writer writes",
}


@pytest.mark.parametrize("attempt", PLANTED)
def test_what_another_user_plants_into_a_store_that_was_too_open_is_refused(
    attempt: str, folder: Path
) -> None:
    root, victim = with_old_set(folder / "store"), folder / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    root.chmod(0o777)
    tried = as_other(attempt.format(root=root, victim=victim))
    if PLANTED[attempt]:
        assert tried.returncode == 0, tried.stderr
        refused(root, PLANTED[attempt], victim)
    else:
        # Either the system prevented it, or everything there is certainly ours.
        recover_without_freshness(root)


def recover_without_freshness(root: Path) -> None:
    with Writer(root) as writer:
        writer.open()
        assert writer.publish("new") > 1
    assert (root.stat().st_mode & 0o7777) == 0o700


@pytest.mark.parametrize("name", ["lock", "state.json", ".state.json", "freshness.json", "current"])
def test_a_hard_link_that_another_user_planted_is_refused_and_its_file_is_left_as_it_is(
    name: str, folder: Path
) -> None:
    root, victim = with_old_set(folder / "store"), folder / "victim"
    victim.touch(mode=0o600)
    root.chmod(0o777)
    # What fs.protected_hardlinks may allow.
    (root / name).unlink(missing_ok=True)
    os.link(victim, root / name)
    kind = "current is not a symbolic link" if name == "current" else rf"{name} has another name too"
    refused(root, kind, victim)


@pytest.mark.parametrize("part", ["generations", "generations/8", "generations/.new-8"])
def test_a_link_to_a_folder_of_somebody_else_is_refused_and_not_followed(part: str, folder: Path) -> None:
    root, victim = folder / "store", folder / "victim"
    for path in (root, victim, victim / "1"):
        path.mkdir()
    (victim / "1/precious").write_text("kept")
    root.chmod(0o777)
    planted = f"mkdir -p $(dirname {root}/{part}) && ln -s {victim} {root}/{part}"
    assert as_other(planted).returncode == 0
    refused(root, "the root holds 1 entry that Keystart did not make", victim)


@pytest.mark.parametrize("mode", [0o1777, 0o775, 0o722])
def test_an_empty_folder_that_others_may_write_to_is_refused_and_keeps_its_mode(
    mode: int, folder: Path
) -> None:
    root = folder / "store"
    root.mkdir()
    root.chmod(mode)
    refused(root, "the root is empty, and group or others may write to it")


def test_a_writer_takes_over_a_root_with_3_000_names_in_generations(folder: Path, readers: Readers) -> None:
    root = with_old_set(folder / "store")
    for number in range(2, 3_001):
        (root / f"generations/.new-{number}").mkdir(mode=0o700)
    assert readers.see(root) == "old"
    with Writer(root) as writer:
        writer.open()
        assert writer.publish("new") == 3_001
        assert readers.see(root) == "new"
        assert tree(root) == store(3_001)


@pytest.mark.parametrize("part", ["generations", "generations/1", "generations/1/secrets", "state.json"])
def test_what_is_mounted_below_a_root_is_refused_and_left_as_it_is(part: str, tmp_path: Path) -> None:
    # On the same file system, so that its number is the same.
    root, other = with_old_set(tmp_path / "store"), tmp_path / "other"
    shutil.copytree(root, other, symlinks=True)
    for path in (other, *other.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    with mounted(root / part, f"--bind {other / part}") as mount:
        inside = Path(str(mount.path).removesuffix(f"/{part}"))
        refused(inside, f"{part} is on another file system", other)
    recover(root)
