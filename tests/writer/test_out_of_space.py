"""Takes the space away from a writer at every step: it reports that, readers keep their set, and it continues later."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .disk import Disk
from .driven import (
    OPEN,
    STOP,
    RefusedError,
    Writer,
    accepting,
    numbers,
    publishing,
    recover,
    refreshing,
    store,
    tree,
    trying,
)
from .seen import Readers
from .test_killed import FAILPOINTS, IN_A_STOP, sweep

NEW = "generations/.new-{}"
SECRETS = [f"{NEW}/secrets/tls/cert", f"{NEW}/secrets/tls/key", f"{NEW}/manifest.json", ".state.json"]
FOLDERS = [NEW, f"{NEW}/secrets", f"{NEW}/secrets/tls"]
# The steps that need space, for the first publish in a new root, and for a later one.
STEPS = {
    "pages": ([".state.json", *SECRETS], SECRETS),
    "files": (
        ["the root", "lock", "generations", ".state.json", *FOLDERS, *SECRETS, ".current-{}"],
        [*FOLDERS, *SECRETS, ".current-{}"],
    ),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk.make(tmp_path) as made:
        yield made


def refused_at(error: RefusedError) -> str:
    """A step without space."""
    assert error.code == "store_unwritable"
    found = re.search(r" cannot be written: ENOSPC at (.+?)\. There is no space left", str(error))
    assert found, error
    return found[1]


def places(steps: list[str], number: int) -> set[str]:
    return {step.format(number) for step in steps}


@pytest.mark.parametrize("kind", STEPS)
def test_a_first_publish_reports_where_there_was_no_room_and_works_once_there_is(
    kind: str, disk: Disk, readers: Readers
) -> None:
    full_at = set()
    for room in range(100):
        root = disk.path / f"store-{room}"
        disk.fill(**{kind: room})
        with Writer(root) as writer:
            try:
                writer.open()
                writer.publish("one")
            except RefusedError as refused:
                full_at.add(refused_at(refused))
                assert readers.see(root) == ("not_ready" if root.exists() else "not_attached")
                disk.make_room()
            else:
                assert readers.see(root) == "one"
                break
        recover(root)
        assert readers.see(root) == "next"
        shutil.rmtree(root)
    assert full_at == places(STEPS[kind][0], 1)


@pytest.mark.parametrize("kind", STEPS)
def test_another_publish_without_room_leaves_the_old_set_and_works_once_there_is(
    kind: str, disk: Disk, readers: Readers
) -> None:
    full_at = set()
    for room in range(100):
        root = disk.path / f"store-{room}"
        with Writer(root) as writer:
            writer.open()
            assert writer.publish("one") == 1
            assert writer.publish("two") == 2
            disk.fill(**{kind: room})
            readers.begin(root)
            try:
                writer.publish("three")
            except RefusedError as refused:
                full_at.add(refused_at(refused))
                assert readers.end() == ({"two"}, {"two"})
                assert readers.see(root) == "two"
                assert tree(root) == store(1, 2)
                disk.make_room()
                assert writer.publish("four") == 4
                assert tree(root) == store(2, 4)
                assert readers.see(root) == "four"
            else:
                readers.end()
                assert readers.see(root) == "three"
                break
        recover(root)
        shutil.rmtree(root)
    assert full_at == places(STEPS[kind][1], 3)


@pytest.mark.parametrize("kind", STEPS)
def test_a_candidate_without_room_leaves_the_old_set_and_can_be_accepted_once_there_is(
    kind: str, disk: Disk, readers: Readers
) -> None:
    full_at: dict[str, set[str]] = {"candidate": set(), "accept": set()}
    for room in range(100):
        root = disk.path / f"store-{room}"
        refused = None
        with Writer(root, kept_ms=60_000) as writer:
            writer.open()
            assert writer.publish("old") == 1
            disk.fill(**{kind: room})
            try:
                candidate = writer.do(trying("new"))["generation"]
            except RefusedError as error:
                refused = "candidate"
                full_at[refused].add(refused_at(error))
                assert tree(root) == store(1)
                disk.make_room()
                candidate = writer.do(trying("new"))["generation"]
                assert candidate == 3, "the number is used up"
            assert readers.see(root) == "old"
            try:
                accepted = writer.do(accepting(candidate))["generation"]
            except RefusedError as error:
                assert refused is None, "there was room"
                refused = "accept"
                full_at[refused].add(refused_at(error))
                assert readers.see(root) == "old"
                assert tree(root) == store(1, candidate)
                disk.make_room()
                accepted = writer.do(accepting(candidate))["generation"]
            assert accepted == candidate + (2 if refused == "accept" else 1)
            assert readers.see(root) == "new"
        if refused is None:
            disk.make_room()
        recover(root)
        shutil.rmtree(root)
        if refused is None:
            break
    assert full_at["candidate"] == places([step for step in STEPS[kind][1] if ".current" not in step], 2)
    # Links take no pages, and each state.json leaves one for the next.
    assert full_at["accept"]
    assert full_at["accept"] <= places(STEPS[kind][1], 3)


@pytest.mark.parametrize("act", ["publish", "refresh", "candidate"])
def test_former_generations_make_room(act: str, disk: Disk, readers: Readers) -> None:
    root = disk.path / "store"
    with Writer(root, kept_ms=60_000) as writer:
        writer.open()
        for of in ("one", "two", "three", "old"):
            writer.publish(of)
        assert tree(root) == store(1, 2, 3, 4)
        disk.fill(pages=3, files=3)
        command = {"publish": publishing, "refresh": refreshing, "candidate": trying}[act]("new")
        assert writer.do(command)["generation"] == 5
        assert tree(root) - {"freshness.json"} == store(3, 4, 5)
        assert readers.see(root) == ("old" if act == "candidate" else "new")
        disk.make_room()
    recover(root)


def published(root: Path, failpoint: str | None = None) -> None:
    """Publishes two sets, and is killed while it opens, publishes the third or refreshes it, or never."""
    with Writer(root) as writer:
        for command in (OPEN, publishing("one"), publishing("two")):
            writer.do(command)
    with Writer(root, failpoint) as writer:
        with_kept = publishing("three", {"kept": "as it is"})
        candidate = (trying("five"), accepting(8))
        commands = (OPEN, *[publishing("three")] * 3, with_kept, refreshing("four"), *candidate, STOP)
        assert failpoint is None or any(map(writer.dies, commands))


@pytest.mark.parametrize("failpoint", [name for name in FAILPOINTS if name not in IN_A_STOP])
def test_a_writer_that_was_killed_on_a_full_disk_has_a_successor(
    failpoint: str, disk: Disk, readers: Readers
) -> None:
    root = disk.path / "store"
    published(root, failpoint)
    used = numbers(root)
    left = [path for path in (root / "generations").rglob("*") if path.is_file()]
    disk.fill(pages=0, files=0)
    with Writer(root) as writer:
        if left:
            writer.open()
        else:
            # Nothing of the previous writer can be removed, so only more space helps.
            with pytest.raises(RefusedError) as refused:
                writer.open()
            assert refused_at(refused.value) == ".state.json"
        assert readers.see(root) == "not_ready"
        disk.make_room()
        if not left:
            writer.open()
        assert tree(root) == store()
        assert writer.publish("four") > max(used)
        assert readers.see(root) == "four"
    recover(root)


@pytest.mark.parametrize(
    "failpoint", [name for name in FAILPOINTS if name.startswith(("3", "file made", "file removed"))]
)
def test_a_writer_that_is_killed_while_it_makes_room_on_a_full_disk_forgets_no_number(
    failpoint: str, disk: Disk, core: Readers
) -> None:
    def killed(point: str) -> bool:
        root = disk.path / point
        # The link says 3, and state.json 2.
        published(root, "6")
        disk.fill(pages=0, files=0)
        with Writer(root, point) as writer:
            died = writer.dies(OPEN)
        assert core.see(root) in {"three", "not_ready"}
        assert max(numbers(root)) == 3, point
        disk.make_room()
        recover(root)
        shutil.rmtree(root)
        return died

    assert sweep(failpoint, killed) > 0


def test_a_writer_that_is_killed_while_it_clears_up_after_a_full_disk_leaves_the_old_set(
    disk: Disk, readers: Readers
) -> None:
    full_at = []

    def killed(point: str) -> bool:
        root = disk.path / point
        with Writer(root, point) as writer:
            writer.open()
            writer.publish("one")
            disk.fill(pages=4)
            try:
                died = writer.dies(publishing("two"))
            except RefusedError as refused:
                full_at.append(refused_at(refused))
                died = False
        assert readers.see(root) == "one"
        disk.make_room()
        recover(root)
        shutil.rmtree(root)
        return died

    assert sweep("file removed", killed) == 2, "the certificate and the key"
    assert full_at == ["generations/.new-2/manifest.json"]


def test_a_writer_stops_on_a_full_disk(disk: Disk, readers: Readers) -> None:
    root = disk.path / "store"
    with Writer(root) as writer:
        writer.open()
        writer.publish("one")
        disk.fill(pages=0, files=0)
        writer.stop()
        assert tree(root) == store()
    assert readers.see(root) == "not_ready"
    assert b'"stopped"' in (root / "state.json").read_bytes()


def test_a_writer_that_cannot_even_say_why_it_gives_up_raises_in_its_caller(
    disk: Disk, readers: Readers
) -> None:
    root = disk.path / "store"
    with Writer(root) as writer:
        writer.open()
        disk.fill(pages=0, files=0)
        with pytest.raises(RefusedError) as refused:
            writer.fail()
        assert refused_at(refused.value) == ".state.json"
        assert tree(root) == store()
        assert readers.see(root) == "not_ready"
        disk.make_room()
        writer.fail()
        assert readers.see(root) == "prefetch_failed"
