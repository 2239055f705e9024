"""Runs the soak for some seconds, wipes under many readers, and checks that a writer in breach is caught."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests import ROOT

from .reading import LANGUAGES, WRITER, Report, reading
from .soak import soak

SHORT = 8.0  # seconds; `./dev soak -- --seconds 600` for more


def test_readers_of_writers_that_end_and_are_killed_see_whole_sets_in_their_order() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    for phase in soak(SHORT, seed):
        assert [seen.language for seen in phase.reports] == list(LANGUAGES)
        for seen in phase.reports:
            assert seen.wrongs == 0, f"{phase.name}: {seen.language}: {seen.wrong}"
            assert seen.counts["pairs"] > 0
            if phase.name == "asked":
                assert min(seen.counts["refreshes"], seen.counts["logins"]) > 0, seen.language


@pytest.mark.parametrize("fresh", [False, True])
def test_a_wipe_under_sixteen_readers_shows_nobody_zeros_nor_a_value_that_is_gone(
    tmp_path: Path, fresh: bool
) -> None:
    run = secrets.token_hex(8)
    root = tmp_path / "store"
    # A root without a writer would be a different error.
    _writer(root, run, publishes=None).communicate()
    with reading(
        root, run, threads=2, children=2, allowed=["not_ready: stopped"], fresh=fresh, until_stopped=True
    ) as readers:
        readers.wait_until_reading()
        writer = _writer(root, run, publishes=40)
        writer.communicate()
    assert writer.returncode == 0
    for seen in readers.reports:
        assert seen.wrongs == 0, f"{seen.language}: {seen.wrong}"
        assert seen.errors["not_ready: stopped"] > 0


def test_a_store_that_is_removed_under_sixteen_readers_is_reported_and_read_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    run = secrets.token_hex(8)
    root = tmp_path / "store"
    _writer(root, run, publishes=None).communicate()
    # What an idle machine shows in a second takes longer on a busy one.
    rounds = (_removed_for_a_while(root, run, seconds) for seconds in (1.0, 4.0, 16.0))
    # Only the first read of a client waits. If every read did, twelve threads together would report
    # at most once a second.
    assert any(
        all(seen.errors["not_ready: removed"] > 12 * seconds for seen in reports)
        for seconds, reports in rounds
    )


def _removed_for_a_while(root: Path, run: str, seconds: float) -> tuple[float, list[Report]]:
    """Returns what all readers report if their store is away for the middle of three equal times."""
    away = root.parent / "away"
    # A reader that has not read before the removal cannot know that a store existed.
    allowed = ["not_ready: removed", "not_attached"]
    with reading(root, run, threads=2, children=2, allowed=allowed) as readers:
        readers.wait_until_reading()
        for source, target in ((root, away), (away, root)):
            time.sleep(seconds)
            source.rename(target)
        time.sleep(seconds)
    for seen in readers.reports:
        assert seen.wrongs == 0, f"{seen.language}: {seen.wrong}"
    return seconds, readers.reports


def test_a_secret_that_is_written_in_place_is_caught_in_every_language(tmp_path: Path) -> None:
    run = secrets.token_hex(8)
    root = tmp_path / "store"
    _writer(root, run, publishes=None).communicate()
    # What an idle machine shows in a second takes longer on a busy one.
    rounds = (_written_in_place(root, run, seconds) for seconds in (1.0, 4.0, 16.0))
    assert any(all(_suspicious(seen) for seen in reports) for reports in rounds)


def _written_in_place(root: Path, run: str, seconds: float) -> list[Report]:
    """Returns what all readers report while somebody overwrites a secret again and again, as our writer never does."""
    done = threading.Event()

    def overwrite() -> None:
        secret = root / "current/secrets/text"
        whole = secret.read_bytes()
        while not done.is_set():
            secret.write_bytes(b"\0" * len(whole))
            secret.write_bytes(whole)

    vandal = threading.Thread(target=overwrite)
    allowed = ["secret_corrupt", "secret_not_text"]
    with reading(root, run, threads=1, children=0, allowed=allowed, fresh=True) as readers:
        readers.wait_until_reading()
        vandal.start()
        done.wait(seconds)
        done.set()
        vandal.join()
    return readers.reports


def _suspicious(seen: Report) -> bool:
    return seen.wrongs > 0 or seen.errors["secret_corrupt"] > 0


def _writer(root: Path, run: str, publishes: int | None) -> subprocess.Popen[str]:
    """Starts a writer that wipes and ends after so many sets; without a number after one set, which stays."""
    stop = root.parent / "stop"
    if publishes is None:
        stop.touch()
    else:
        stop.unlink(missing_ok=True)
    given = {"root": str(root), "run": run, "stop": str(stop), "seed": 1}
    arguments = json.dumps(given if publishes is None else {**given, "publishes": publishes})
    return subprocess.Popen([*WRITER, arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
