"""Builds place only their own files in dist/: everything else there stays as it is."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extension.standalone import layer
from extension.standalone.dist import check, clear, place, release
from extension.standalone.toolchain import TARGETS, BuildError, MissingError, Target
from tests.foreign import NOBODY, TreeEntry, facts, trees
from tests.foreign import build as made_up

from . import build
from .build import packages

ZIP = f"keystart-layer-{release()}-x86_64.zip"
PACKAGES = [
    f"keystart-{release()}.tar.gz",
    f"keystart-{release()}.tgz",
    f"keystart-{release()}.gem",
    f"keystart-{release()}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    f"keystart_extension-{release()}.tar.gz",
]
OTHERS = [
    "notes.txt",
    "keystart-0.0.1.tgz",
    "keystart-layer-0.0.1-x86_64.zip",
    f"my-keystart-{release()}.tgz",
    f"keystart-{release()}.tgz.asc",
    f"keystart-{release()}-patched.whl",
    ".keystart-0123456789abcdef",
]


def made(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"built: {name}")
    return path


def test_the_packages_of_this_version_are_known_by_their_names(tmp_path: Path) -> None:
    for name in [*PACKAGES, *OTHERS, ZIP]:
        (tmp_path / name).touch()
    assert sorted(packages(tmp_path)) == sorted(PACKAGES)


def test_a_build_of_the_packages_replaces_its_own_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in [*OTHERS, ZIP]:
        (folder / name).write_text("theirs")
    (folder / "theirs").mkdir()
    before = facts(folder, changed=[folder])
    for name in PACKAGES[:3]:  # from an earlier build, of other sources
        (folder / name).write_text("old")
    monkeypatch.setattr(build, "DIST", folder)
    monkeypatch.setattr(build, "build", lambda into, **_: [made(into, PACKAGES[n]) for n in (0, 4)])
    assert build.main(["--quick"]) == 0
    now = [folder / PACKAGES[0], folder / PACKAGES[4]]
    assert [path.read_text() for path in now] == [f"built: {path.name}" for path in now]
    assert facts(folder, without=now, changed=[folder]) == before


def test_a_build_that_fails_leaves_all_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / PACKAGES[0]).write_text("old")
    before = facts(tmp_path)

    def fail(into: Path, *, quick: bool) -> None:
        made(into, PACKAGES[0])
        raise BuildError("no compiler")

    monkeypatch.setattr(build, "DIST", tmp_path)
    monkeypatch.setattr(build, "build", fail)
    assert build.main([]) == 1
    assert facts(tmp_path) == before


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_what_is_in_the_way_is_reported_before_anything_is_built_or_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / "dist"
    made(folder, f"{ZIP}.sha256")
    path = folder / ZIP
    if kind == "link":
        path.symlink_to(made(tmp_path, "theirs"))
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    before = facts(tmp_path)

    def prepare(_: Target) -> None:
        pytest.fail("it builds already")

    monkeypatch.setattr(layer, "DIST", folder)
    monkeypatch.setattr(layer, "prepare", prepare)
    with pytest.raises(BuildError) as refused:
        layer._layer(TARGETS["x86_64"], must=True)
    assert str(refused.value) == (
        f"{path} is in the way of what is built, and is not a file of an earlier build. Move it away."
    )
    assert facts(tmp_path) == before


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_dist_that_is_not_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    folder, elsewhere = tmp_path / "dist", tmp_path / "elsewhere"
    file = made(tmp_path, ZIP)
    elsewhere.mkdir()
    folder.symlink_to(elsewhere) if kind == "link" else folder.touch()
    before = facts(tmp_path)
    for act in (lambda: clear(folder, [ZIP]), lambda: place(file, folder)):
        with pytest.raises(BuildError, match="is a link or no folder"):
            act()
    assert facts(tmp_path) == before


def test_a_dist_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives a folder to another user")
    folder = tmp_path / "dist"
    folder.mkdir()
    os.chown(folder, NOBODY, -1)
    with pytest.raises(BuildError, match="belongs to another user"):
        check(folder, [ZIP])


def test_a_file_that_is_placed_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = tmp_path / "dist", made(tmp_path, ZIP)
    place(file, folder)
    file.write_text("newer")
    before = facts(folder, changed=[folder])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(BuildError) as failed:
        place(file, folder)
    assert str(failed.value) == f"{folder / ZIP} cannot be written: No space left on device"
    assert facts(folder, changed=[folder]) == before


def test_no_zip_is_better_than_one_of_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Target) -> None:
        raise MissingError("a compiler is missing")

    made(tmp_path, ZIP)
    monkeypatch.setattr(layer, "DIST", tmp_path)
    monkeypatch.setattr(layer, "prepare", missing)
    with pytest.raises(MissingError):
        layer._layer(TARGETS["x86_64"], must=True)
    assert list(tmp_path.iterdir()) == []


NAMES = [ZIP, f"{ZIP}.sha256", PACKAGES[0], PACKAGES[3], "theirs", "deep"]


@settings(deadline=None)
@given(things=trees(NAMES, ("theirs",), (".", "..", "/elsewhere", ZIP)), placed=st.sampled_from(NAMES[:4]))
def test_placing_changes_only_the_file_that_is_placed(things: list[TreeEntry], placed: str) -> None:
    with TemporaryDirectory() as name:
        area = Path(name)
        folder, file = area / "dist", made(area / "built", placed)
        made_up(folder, area / "victim", things)
        place_of_file = folder / placed
        changed = [folder, area / "victim"]
        strictly, before = facts(area), facts(area, without=[place_of_file], changed=changed)
        try:
            clear(folder, [placed])
            place(file, folder)
        except BuildError:
            assert facts(area) == strictly
        else:
            assert place_of_file.read_text() == file.read_text()
            assert facts(area, without=[place_of_file], changed=changed) == before
