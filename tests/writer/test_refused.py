"""Takes the right to write away: opening and publishing fail, nothing changes, and readers continue."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .disk import mounted
from .driven import RefusedError, Writer, program, recover
from .seen import Readers

NOBODY = 65534
# Without these two capabilities root is refused like any user.
ORDINARY = (
    "setpriv",
    *(f"--{these}=-dac_override,-dac_read_search" for these in ("bounding-set", "inh-caps")),
)
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def facts(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Returns all facts about the content of a store except access times."""
    found = {}
    for path in [root, *root.rglob("*")]:
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(root))] = (stat.st_mode, stat.st_uid, stat.st_mtime_ns, content)
    return found


def unchanged(before: dict[str, tuple[int, int, int, bytes]], root: Path) -> None:
    """Checks that only state.json has changed, which records that a number was used up."""
    after = facts(root)
    for facts_of in (before, after):
        del facts_of["state.json"], facts_of["."]
    assert after == before


def refused(errno: str, path: str, act: Callable[[], object]) -> None:
    """Checks that the writer reports where the system refuses what."""
    with pytest.raises(RefusedError, match=rf" cannot be written: {errno} at {path}\. ") as refused:
        act()
    assert refused.value.code == "store_unwritable"


def with_old_set(root: Path) -> Path:
    """Yields the root, after a set is published there."""
    with Writer(root) as writer:
        writer.open()
        writer.publish("old")
    return root


def test_of_many_writers_that_start_at_once_one_gets_the_store_and_no_other_takes_it_for_foreign(
    tmp_path: Path,
) -> None:
    for attempt in range(5):
        root = tmp_path / f"store-{attempt}"
        with ExitStack() as stack:
            writers = [stack.enter_context(Writer(root)) for _ in range(16)]
            with ThreadPoolExecutor(len(writers)) as pool:
                codes = list(pool.map(code_of_open, writers))
        assert sorted(codes) == sorted(["", *["store_locked"] * 15])


def code_of_open(writer: Writer) -> str:
    """Opens the store; returns the code of the error, or nothing."""
    try:
        writer.open()
    except RefusedError as refused:
        return refused.code
    return ""


def test_a_root_on_a_read_only_file_system_is_refused_and_still_read(
    tmp_path: Path, readers: Readers
) -> None:
    with mounted(tmp_path, "-t tmpfs tmpfs") as mount:
        root = with_old_set(mount.path / "store")
        before = facts(root)
        mount.remount("ro")
        for name, at in (("store", "lock"), ("new", "the root")):
            with Writer(mount.path / name) as writer:
                refused("EROFS", at, writer.open)
        assert readers.see(root) == "old"
        assert facts(root) == before
        mount.remount("rw")
        recover(root)


def test_a_read_only_mount_of_a_root_is_refused_and_still_read(tmp_path: Path, readers: Readers) -> None:
    before = facts(with_old_set(tmp_path / "store"))
    with mounted(tmp_path, f"--bind {tmp_path}") as mount:
        mount.remount("bind,ro")
        with Writer(mount.path / "store") as writer:
            refused("EROFS", "lock", writer.open)
        assert readers.see(mount.path / "store") == "old"
    assert facts(tmp_path / "store") == before


def test_a_folder_that_cannot_be_changed_any_more_ends_publishes_and_keeps_the_set(
    tmp_path: Path, readers: Readers
) -> None:
    root = tmp_path / "store"
    with Writer(root) as writer:
        writer.open()
        writer.publish("old")
        before = facts(root)
        readers.begin(root)
        with immutable(root / "generations"):
            refused("EPERM", r"generations/\.new-2", lambda: writer.publish("new"))
        assert readers.end() == ({"old"}, {"old"})
        assert readers.see(root) == "old"
        unchanged(before, root)
        assert writer.publish("newer") == 3
        assert readers.see(root) == "newer"


@contextmanager
def immutable(folder: Path) -> Iterator[None]:
    """Keeps everybody, even root, from changing a folder."""
    made = subprocess.run(["chattr", "+i", folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"this file system has no immutable folders: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)


def test_a_folder_whose_mode_forbids_ends_publishes_and_keeps_the_set(
    tmp_path: Path, readers: Readers
) -> None:
    root = tmp_path / "store"
    with Writer(root, under=ORDINARY if os.geteuid() == 0 else ()) as writer:
        writer.open()
        writer.publish("old")
        (root / "generations").chmod(0o500)
        before = facts(root)
        refused("EACCES", r"generations/\.new-2", lambda: writer.publish("new"))
        assert readers.see(root) == "old"
        unchanged(before, root)
        (root / "generations").chmod(0o700)
        assert writer.publish("newer") == 3
    recover(root)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Makes a folder for every user, with a copy of the writer: pytest's folders are private."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a writer as another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(program(), folder / "writer")
        yield folder


def nobody(folder: Path) -> Writer:
    """Starts a writer of another user."""
    return Writer(folder / "store", under=AS_NOBODY, copy=str(folder / "writer"))


def test_another_user_cannot_make_a_root_where_the_mode_forbids_it(open_folder: Path) -> None:
    with nobody(open_folder) as writer:
        refused("EACCES", "the root", writer.open)
    assert sorted(path.name for path in open_folder.iterdir()) == ["writer"]


@pytest.mark.parametrize("private", ["generations", "lock"])
def test_a_root_with_private_parts_of_another_user_is_refused_and_left_alone(
    private: str, open_folder: Path, readers: Readers
) -> None:
    root = with_old_set(open_folder / "store")
    for path in (root, *root.rglob("*")):
        if path.name != private:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    before = facts(root)
    with (
        nobody(open_folder) as writer,
        pytest.raises(RefusedError, match=f": {private} belongs to another user"),
    ):
        writer.open()
    assert facts(root) == before
    for path in (root, *root.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
    assert readers.see(root) == "old"
