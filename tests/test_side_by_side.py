"""The sessions of `./dev test` side by side: what is printed, what a failure means, and how a run is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.interrupt import interrupt
from tests.waiting import until

_PATIENCE = 60.0  # seconds; only a test that fails waits for so long

# Sessions that meet: `left` and `right` each end only when the other has begun.
NOXFILE = """
import os, pathlib, subprocess, sys, time
import nox

nox.options.default_venv_backend = "none"
FOLDER = pathlib.Path(__file__).parent

def meet(own, other):
    (FOLDER / own).touch()
    end = time.monotonic() + 60
    while not (FOLDER / other).exists():
        assert time.monotonic() < end, "the other session never began"
        time.sleep(0.01)

@nox.session
def base(session):
    session.log("the base")

@nox.session
def left(session):
    session.log("left begins")
    meet("left", "right")
    session.log("left ends")

@nox.session
def right(session):
    session.log("right begins")
    meet("right", "left")
    session.log("right ends")

@nox.session
def broken(session):
    session.error("this is broken")

@nox.session
def last(session):
    session.log("last begins")

@nox.session
def endless(session):
    code = "import os, pathlib, time; pathlib.Path('endless.pid').write_text(str(os.getpid())); time.sleep(600)"
    session.run(sys.executable, "-c", code)
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "noxfile.py").write_text(NOXFILE)
    return [sys.executable, "-m", "tests.side_by_side", "--noxfile", str(tmp_path / "noxfile.py")]


def run(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "DEV_TICK": "0"}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=_PATIENCE
    )


def test_two_sessions_run_at_once_and_the_output_of_each_is_printed_whole(command: list[str]) -> None:
    done = run(command, "left", "right")
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.findall(r"(left|right) (begins|ends)", done.stdout)
    assert said in (
        [("left", "begins"), ("left", "ends"), ("right", "begins"), ("right", "ends")],
        [("right", "begins"), ("right", "ends"), ("left", "begins"), ("left", "ends")],
    )
    assert re.search(
        r"^dev:   \d+ s so far: running left \(\d+ s\) and right \(\d+ s\)$", done.stderr, re.MULTILINE
    )
    assert re.search(r"^dev: \* left: success, took \d+ seconds$", done.stderr, re.MULTILINE)


def test_a_session_that_fails_is_named_and_the_others_still_run(command: list[str]) -> None:
    done = run(command, "--first", "base", "broken", "left", "right", "--last", "last")
    assert done.returncode == 1
    assert "this is broken" in done.stdout
    assert done.stdout.index("last begins") > max(
        done.stdout.index(end) for end in ("left ends", "right ends")
    )
    results = re.findall(r"^dev: \* (\w+): (\w+), took", done.stderr, re.MULTILINE)
    assert results[0] == ("base", "success")
    assert results[-1] == ("last", "success")
    assert set(results[1:-1]) == {("broken", "failed"), ("left", "success"), ("right", "success")}
    log = done.stderr.splitlines()[-1].removeprefix("dev: broken failed: all of its output is in ")
    assert "this is broken" in Path(log).read_text()


def test_a_session_begins_after_the_one_whose_output_it_uses(command: list[str]) -> None:
    # Without the option `last` would begin beside `left`, and `left` would wait for `right`.
    done = run(command, "left", "last", "right", "--after", "last=left")
    assert done.returncode == 0, done.stdout + done.stderr
    began = re.findall(r"^dev: (\w+) began", done.stderr, re.MULTILINE)
    assert began == ["left", "right", "last"]
    results = re.findall(r"^dev: \* (\w+): success", done.stderr, re.MULTILINE)
    assert results.index("left") < results.index("last")


def test_a_session_begins_though_the_one_before_it_failed(command: list[str]) -> None:
    done = run(command, "broken", "last", "--after", "last=broken")
    assert done.returncode == 1
    assert "last begins" in done.stdout


def test_nothing_runs_after_a_first_session_that_fails(command: list[str]) -> None:
    done = run(command, "--first", "broken", "base", "--last", "last")
    assert done.returncode == 1
    assert re.findall(r"^dev: \* (\w+): (\w+), took", done.stderr, re.MULTILINE) == [("broken", "failed")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_everything_that_it_started(
    command: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    running = tmp_path / "endless.pid"
    with subprocess.Popen(
        [*command, "endless", "base", "--at-once", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert until(lambda: running.exists() and running.read_text() != "", _PATIENCE)
        started = int(running.read_text())
        interrupt(process, number)
        _, error = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130
    assert re.findall(r"^dev: \* (\w+): (\w+), took", error, re.MULTILINE) == [("endless", "interrupted")]
    assert until(lambda: not Path(f"/proc/{started}").exists(), _PATIENCE)
