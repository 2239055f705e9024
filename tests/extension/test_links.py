"""Makes, replaces and removes the links that functions written for Square's extension read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from keystart_extension.links import LinkError, Links

from tests.foreign import NOBODY, facts

ROOT = "/store"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "theirs" / "secrets"


def link(name: str, path: str) -> dict[str, str]:
    return {"name": name, "path": path}


def wanted(home: Path, *made: dict[str, str] | str, root: str | Path = ROOT) -> Links:
    """Makes the links of a start. A text is a link with the secret's own name."""
    links = [link(one, one) if isinstance(one, str) else one for one in made]
    return Links(((f"{home}/{one['path']}", one["name"]) for one in links), str(root))


def refusal(made: Links) -> str:
    with pytest.raises(LinkError) as refused:
        made.make()
    return str(refused.value)


def as_nobody(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives a file to another user")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_links_have_the_exact_file_names_and_lead_to_what_is_published(home: Path, umask: int) -> None:
    home.parent.mkdir()
    long = "x" * 255
    made = wanted(home, link("a_b", "a+b"), link("deep/_c", "deep/.c"), link("long", long))
    before = os.umask(umask)
    try:
        made.make()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert {
        str(path.relative_to(home)): str(path.readlink()) for path in home.rglob("*") if path.is_symlink()
    } == {
        "a+b": "/store/current/secrets/a_b",
        "deep/.c": "/store/current/secrets/deep/_c",
        long: "/store/current/secrets/long",
    }
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home, home / "deep")} == {0o700}


def test_the_end_removes_the_links_and_the_folders_that_were_made_for_them(home: Path) -> None:
    home.parent.mkdir()
    before = facts(home.parent, changed=[home.parent])
    made = wanted(home, "db", "deep/er/tls")
    made.make()
    made.remove()
    assert facts(home.parent, changed=[home.parent]) == before
    made.remove()  # a second end finds nothing to do


def test_a_folder_that_was_there_stays_and_so_does_one_that_somebody_uses(home: Path) -> None:
    (home / "old").mkdir(parents=True)
    made = wanted(home, "old/db", "new/db")
    made.make()
    (home / "new/theirs").touch()
    made.remove()
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*")) == ["new", "new/theirs", "old"]


def test_a_folder_that_somebody_made_in_the_place_of_ours_stays(home: Path) -> None:
    made = wanted(home, "db")
    made.make()
    home.rename(home.with_name("ours"))
    home.mkdir()
    made.remove()
    assert home.is_dir()


@pytest.mark.parametrize("name", ["db", "old"])
def test_what_a_killed_start_has_left_is_taken_over(home: Path, name: str) -> None:
    wanted(home, link(name, "db")).make()  # with the same configuration, or with another one
    made = wanted(home, "db", "tls")
    made.make()
    assert {path.name: str(path.readlink()) for path in home.iterdir()} == {
        "db": "/store/current/secrets/db",
        "tls": "/store/current/secrets/tls",
    }
    made.remove()
    assert list(home.iterdir()) == []  # nobody knows any more who made the folder


@pytest.mark.parametrize(
    "target",
    [
        "/elsewhere",
        "/another/store/current/secrets/db",
        "/store/current/secrets",
        "/store/current/secrets/../../lock",
        "/store/current/manifest.json",
        "store/current/secrets/db",
    ],
)
def test_a_link_that_is_not_this_stores_is_refused_and_stays(home: Path, target: str) -> None:
    home.mkdir(parents=True)
    (home / "tls").symlink_to(target)
    before = facts(home.parent)
    made = wanted(home, "db", "tls")
    assert refusal(made) == (
        f"{home}/tls is in the way of the link to a secret. Move it away, or choose another SecretsHome."
    )
    made.remove()
    assert facts(home.parent) == before


def test_a_link_of_another_user_is_refused_even_if_it_leads_where_ours_would(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "db").symlink_to("/store/current/secrets/db")
    as_nobody(home / "db")
    before = facts(home.parent)
    made = wanted(home, "db")
    assert refusal(made).startswith(f"{home}/db is in the way of the link to a secret.")
    made.remove()
    assert facts(home.parent) == before


@pytest.mark.parametrize("kind", ["file", "folder", "fifo"])
def test_what_is_not_a_link_is_refused_before_anything_is_made(home: Path, kind: str) -> None:
    home.mkdir(parents=True)
    make_file: dict[str, Callable[[Path], object]] = {
        "file": Path.touch,
        "folder": Path.mkdir,
        "fifo": os.mkfifo,
    }
    make_file[kind](home / "tls")
    before = facts(home.parent)
    assert refusal(wanted(home, "db", "deep/db", "tls")).startswith(f"{home}/tls is in the way of the link")
    assert facts(home.parent) == before


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_way_that_is_not_a_folder_is_refused_and_not_followed(
    home: Path, tmp_path: Path, what: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.mkdir(parents=True)
    (home / "deep").symlink_to(elsewhere) if what == "link" else (home / "deep").touch()
    made = wanted(home, "db", "deep/db")
    assert refusal(made) == (
        f"{home}/deep is not a folder, or is a symbolic link. Move it away, or choose another SecretsHome."
    )
    assert [path.name for path in home.iterdir()] == ["deep"]
    (elsewhere / "db").symlink_to("/store/current/secrets/deep/db")
    made.remove()
    assert [path.name for path in elsewhere.iterdir()] == ["db"]


def test_a_folder_of_another_user_is_refused(home: Path) -> None:
    (home / "deep").mkdir(parents=True)
    as_nobody(home / "deep")
    before = facts(home.parent)
    assert refusal(wanted(home, "db", "deep/db")) == (
        f"{home}/deep belongs to another user. Choose another SecretsHome."
    )
    assert facts(home.parent) == before


@pytest.mark.parametrize(
    ("mode", "is_taken"), [(0o775, False), (0o757, False), (0o1777, True), (0o755, True)]
)
def test_a_folder_in_which_others_could_exchange_the_links_is_refused(
    home: Path, mode: int, is_taken: bool
) -> None:
    home.mkdir(parents=True)
    home.chmod(mode)
    made = wanted(home, "db")
    if is_taken:
        made.make()
    else:
        assert refusal(made) == (
            f"Others may write to {home}, and so exchange the links. Run chmod go-w {home}, or choose another "
            "SecretsHome."
        )
    assert stat.S_IMODE(home.stat().st_mode) == mode


def test_links_inside_the_store_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    assert refusal(wanted(root / "secrets", "db", root=root)) == (
        f"{root} is the store itself. Choose another SecretsHome."
    )
    assert list(root.iterdir()) == []


def test_when_a_later_link_fails_what_was_made_is_gone_again(home: Path) -> None:
    home.parent.mkdir()
    before = facts(home.parent, changed=[home.parent])
    made = wanted(home, "db", "deep/db", link("x", "x" * 256))
    assert refusal(made) == f"The link {home}/{'x' * 256} cannot be made: File name too long."
    assert facts(home.parent, changed=[home.parent]) == before


def test_what_comes_between_the_look_and_the_making_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(parents=True)
    symlink = os.symlink

    def race(target: str, name: str, *, dir_fd: int) -> None:
        if name == "tls":
            symlink("/theirs", name, dir_fd=dir_fd)
        symlink(target, name, dir_fd=dir_fd)

    monkeypatch.setattr("posix.symlink", race)
    assert refusal(wanted(home, "db", "tls")) == f"The link {home}/tls cannot be made: File exists."
    assert {path.name: str(path.readlink()) for path in home.iterdir()} == {"tls": "/theirs"}


def test_a_link_that_leads_elsewhere_by_now_is_not_removed_and_the_others_are(home: Path) -> None:
    made = wanted(home, "db", "tls", "key")
    made.make()
    for name, target in (("db", "/elsewhere"), ("tls", "/store/current/secrets/key")):
        (home / name).unlink()
        (home / name).symlink_to(target)
    made.remove()
    assert sorted(path.name for path in home.iterdir()) == ["db", "tls"]


def test_what_cannot_be_removed_is_reported_and_the_rest_is_removed(home: Path) -> None:
    made = wanted(home, link("x", "x" * 256), "db")
    home.mkdir(parents=True)
    (home / "db").symlink_to("/store/current/secrets/db")
    with pytest.raises(LinkError) as refused:
        made.remove()
    assert str(refused.value) == f"The link {home}/{'x' * 256} cannot be removed: File name too long."
    assert list(home.iterdir()) == []


def test_removing_makes_no_folder(home: Path) -> None:
    wanted(home, "db").remove()
    assert not home.parent.exists()
