"""The quick run of `./dev rotation`, and what its report must see."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import ROOT

from .database import Load, Report, Row, add, logins_while_dead
from .fleet import Call, Login
from .rotations import Kind

PARTS = ("postgresql", "dead", "mariadb", "mutual-tls", "simulation")


@pytest.mark.parametrize("part", PARTS)
def test_the_quick_run_finds_nothing_wrong(part: str) -> None:
    command = [sys.executable, "-m", "tests.rotation", "--quick", "--only", part]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1].startswith("✓")


def call(*outcomes: tuple[float, float, str], error: str | None = None) -> Call:
    logins = [Login(*outcome) for outcome in outcomes]
    return Call(logins[0].began, logins[-1].ended, logins, error)


def test_a_login_is_in_flight_if_it_began_before_the_first_refusal_was_reported() -> None:
    load = Load()
    calls = [
        call((0.0, 1.0, "refused"), (2.0, 3.0, "accepted")),
        call((1.5, 4.0, "refused"), (5.0, 6.0, "accepted")),  # began while the first one reported
        call((2.5, 4.0, "refused"), (5.0, 6.0, "accepted")),
    ]
    add(load, calls, 0.0, 9.0, refused=3)
    assert (load.first, load.in_flight, load.further, load.failed) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("kind", "load", "words"),
    [
        ("single-user", Load(calls=9, failed=1, errors=["why"]), "1 of 9 calls of attempt failed: why"),
        ("alternating", Load(calls=9, refused=2, first=1), "1 refused logins were neither the first"),
        ("database-first", Load(calls=9), "no call failed, so the load cannot see what fails"),
    ],
)
def test_the_report_names_what_must_not_happen(kind: Kind, load: Load, words: str) -> None:
    report = Report([Row(kind, 4.0, 1, {"attempt": load})], {"attempt": 1})
    report.judge()
    assert [problem for problem in report.problems if words in problem] == report.problems != []


def test_without_attempt_calls_must_fail() -> None:
    loads = {"attempt": Load(calls=9), "get": Load(calls=9)}
    report = Report([Row("single-user", 3.0, 1, loads)], {"attempt": 1, "get": 1})
    report.judge()
    assert report.problems == ["get: no call failed, so the load cannot see what fails"]


def test_the_decisions_allow_a_dozen_logins_in_ten_dead_minutes() -> None:
    assert logins_while_dead(0.5) == 1
    assert logins_while_dead(20) == 3
    assert logins_while_dead(600) == 13


def test_the_report_is_json() -> None:
    command = [sys.executable, "-m", "tests.rotation", "--quick", "--json", "--only", "simulation"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["problems"] == []
