"""What the report of `./dev rotation` must see."""

from __future__ import annotations

import pytest

from tests.fakes.stages import Asked

from .crowd import MAX_ERRORS, Outcome
from .database import Load, Report, Row, add, logins_while_dead, trace
from .fleet import Call, Login, Plan
from .rotations import Kind, Rotation


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
        ("rolled-back", Load(calls=9, failed=1, errors=["why"], traces=["how"]), "failed: why\nhow"),
        ("database-first", Load(calls=9), "no call failed, so the load cannot see what fails"),
    ],
)
def test_the_report_names_what_must_not_happen(kind: Kind, load: Load, words: str) -> None:
    report = Report("a server", [Row(kind, 4.0, 1, {"attempt": load})], {"attempt": 1})
    report.judge()
    assert [problem for problem in report.problems if words in problem] == report.problems != []


def test_without_attempt_calls_must_fail() -> None:
    loads = {"attempt": Load(calls=9), "get": Load(calls=9)}
    report = Report("a server", [Row("single-user", 3.0, 1, loads)], {"attempt": 1, "get": 1})
    report.judge()
    assert report.problems == ["get: no call failed, so the load cannot see what fails"]


@pytest.mark.parametrize(("refused", "problems"), [(5, 1), (6, 0), (7, 0)])
def test_a_crowd_without_attempt_must_lock_the_user_and_may_be_refused_once_more(
    refused: int, problems: int
) -> None:
    outcome = Outcome("get", 16, 16, rotations=2, refused=refused)
    assert MAX_ERRORS * outcome.rotations == 6
    assert len(outcome.problems()) == problems


def test_the_decisions_allow_a_dozen_logins_in_ten_dead_minutes() -> None:
    assert logins_while_dead(0.5) == 1
    assert logins_while_dead(20) == 3
    assert logins_while_dead(600) == 13


def test_a_trace_shows_logins_beside_what_the_server_and_the_store_did() -> None:
    logins = [
        Login(100.1, 100.2, "refused", "AWSCURRENT b"),
        Login(100.4, 100.5, "accepted", "AWSPREVIOUS a"),
    ]
    rotation = Rotation("secret-first", 3.0, 98.0, 102.0, (100.25, 200.0))
    asked = [Asked(100.3, "db", "AWSPENDING"), Asked(50.0, "db", "AWSCURRENT")]
    traced = trace(
        Plan("attempt", "ruby"), Call(100.0, 100.5, logins, "why"), rotation, rotation.changed, asked
    )
    assert traced.splitlines() == [
        "    attempt_None_ruby, 2.000 s after the rotation began, ttl none",
        "      +0.000 s  the call begins",
        "      +0.100 s  logs in with AWSCURRENT b",
        "      +0.200 s  refused",
        "      +0.250 s  the server has another password",
        "      +0.300 s  some environment fetches AWSPENDING",
        "      +0.400 s  logs in with AWSPREVIOUS a",
        "      +0.500 s  accepted",
        "      +0.500 s  the call ends: why",
    ]
