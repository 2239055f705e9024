"""Makes, replaces and removes the links that functions written for Square's extension read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from keystart_extension import links
from keystart_extension.plan import Link, Plan

ROOT = "/store"


def plan(home: Path | None, *made: Link) -> Plan:
    return Plan("before", 8.0, None, (), made, None if home is None else str(home), "config.yaml")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "theirs" / "secrets"


def test_links_have_the_exact_file_names_and_lead_to_what_is_published(home: Path) -> None:
    long = "x" * 255
    links.make(plan(home, Link("a_b", "a+b"), Link("deep/_c", "deep/.c"), Link("long", long)), ROOT)
    made = {
        str(path.relative_to(home)): str(path.readlink()) for path in home.rglob("*") if path.is_symlink()
    }
    assert made == {
        "a+b": "/store/current/secrets/a_b",
        "deep/.c": "/store/current/secrets/deep/_c",
        long: "/store/current/secrets/long",
    }
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home.parent, home, home / "deep")} == {0o700}


def test_a_link_that_is_there_is_replaced_and_so_is_what_a_killed_process_has_left(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "db").symlink_to("/elsewhere")
    (home / f".keystart-{os.getpid()}").symlink_to("/unfinished")
    links.make(plan(home, Link("db", "db")), ROOT)
    assert [(path.name, str(path.readlink())) for path in home.iterdir()] == [
        ("db", "/store/current/secrets/db")
    ]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_link_is_not_replaced(home: Path, kind: str) -> None:
    home.mkdir(parents=True)
    (home / "db").mkdir() if kind == "folder" else (home / "db").write_text("theirs")
    with pytest.raises(links.LinkRefused) as refused:
        links.make(plan(home, Link("db", "db")), ROOT)
    assert str(refused.value) == f"{home}/db is in the way of the link to a secret. Remove it."
    links.remove(plan(home, Link("db", "db")), ROOT)
    assert (home / "db").exists()


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_way_that_is_no_folder_is_refused_and_not_followed(home: Path, tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.mkdir(parents=True)
    (home / "deep").symlink_to(elsewhere) if what == "link" else (home / "deep").touch()
    wanted = plan(home, Link("deep/db", "deep/db"))
    with pytest.raises(links.LinkRefused) as refused:
        links.make(wanted, ROOT)
    assert str(refused.value) == f"{home}/deep is not a folder, or is a symbolic link. Remove it."
    (elsewhere / "db").symlink_to("/store/current/secrets/deep/db")
    links.remove(wanted, ROOT)
    assert [path.name for path in elsewhere.iterdir()] == ["db"]


def test_what_the_system_refuses_is_told(home: Path) -> None:
    with pytest.raises(links.LinkRefused) as refused:
        links.make(plan(home, Link("x", "x" * 256)), ROOT)
    assert str(refused.value) == f"The link {home}/{'x' * 256} cannot be made: File name too long."
    with pytest.raises(links.LinkRefused) as refused:
        links.remove(plan(home, Link("x", "x" * 256)), ROOT)
    assert str(refused.value) == f"The link {home}/{'x' * 256} cannot be removed: File name too long."


def test_only_links_of_this_store_are_removed(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "theirs").symlink_to("/elsewhere")
    (home / "other").symlink_to("/another/store/current/secrets/other")
    wanted = plan(home, Link("ours", "ours"))
    links.make(wanted, ROOT)
    links.remove(
        plan(
            home, Link("ours", "ours"), Link("theirs", "theirs"), Link("other", "other"), Link("no", "no/no")
        ),
        ROOT,
    )
    assert sorted(path.name for path in home.iterdir()) == ["other", "theirs"]


def test_without_a_home_nothing_is_made_and_removing_makes_no_folder(home: Path) -> None:
    links.make(plan(None), ROOT)
    links.remove(plan(home, Link("db", "db")), ROOT)
    assert not home.parent.exists()
