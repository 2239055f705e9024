"""What the model of rotations must come to. It runs the decisions of the extension."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from .model import KINDS, Kind, simulate, simulate_crowd


@pytest.mark.parametrize("kind", ["single-user", "alternating", "secret-first", "rolled-back"])
@pytest.mark.parametrize("pause", [0.0, 0.3, 5.0, 60.0])
def test_no_call_fails(kind: Kind, pause: float) -> None:
    outcome, _ = simulate(kind, pause=pause, rate=5)
    assert outcome.calls > 100
    assert outcome.failed == 0


@pytest.mark.parametrize(("kind", "pause", "seed"), [("secret-first", 5.0, 2), ("rolled-back", 0.05, 0)])
def test_no_call_fails_if_the_server_changes_while_it_looks_for_another_version(
    kind: Kind, pause: float, seed: int
) -> None:
    # With a pending version that is left over, and a previous one: one more login each, before this was decided.
    outcome, _ = simulate(kind, pause=pause, rate=10, environments=50, is_soon=True, seed=seed)
    assert outcome.failed == 0


@pytest.mark.parametrize("kind", ["single-user", "secret-first", "rolled-back"])
def test_without_attempt_calls_fail(kind: Kind) -> None:
    outcome, _ = simulate(kind, rate=5, is_plain=True)
    assert outcome.failed > 0


def test_a_database_that_is_changed_first_fails_calls_until_the_secret_follows() -> None:
    outcome, _ = simulate("database-first", pause=10, rate=5)
    assert outcome.failed > 0
    assert outcome.late == 0


def test_a_password_that_is_dead_for_ten_minutes_costs_a_dozen_refused_logins() -> None:
    outcome, _ = simulate("dead", rate=7)
    assert outcome.calls > 4_000
    assert 12 <= outcome.refused <= 14


@pytest.mark.parametrize("kind", KINDS)
def test_each_stage_is_fetched_at_most_once_a_second(kind: Kind) -> None:
    _, store = simulate(kind, environments=3, rate=5)
    times = defaultdict(list)
    for environment, stage, time in store.fetches:
        times[environment, stage].append(time)
    for each in times.values():
        assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(each))


def test_one_environment_locks_no_server_that_locks_after_three() -> None:
    for seed in range(10):
        outcome, _ = simulate("single-user", rate=5, locks_after=3, seed=seed)
        assert not outcome.is_locked
        assert outcome.failed == 0


@pytest.mark.parametrize("half", [(0.1, 0.2), (1.0, 1.2), (1.5, 2.0), (2.5, 3.0), (4.0, 4.5)])
@pytest.mark.parametrize(
    ("kind", "pause"),
    [("single-user", 60.0), ("single-user", 0.2), ("secret-first", 60.0)],
    ids=["during a rotation", "after one", "secret first"],
)
def test_one_environment_locks_no_server_that_takes_seconds_for_a_login(
    half: tuple[float, float], kind: Kind, pause: float
) -> None:
    for seed in range(5):
        outcome = simulate_crowd(50, half, kind=kind, locks_after=3, pause=pause, seed=seed)
        assert (outcome.failed, outcome.is_locked) == (0, False)


def test_a_hundred_environments_lock_it_with_one_user_and_not_with_two() -> None:
    outcome, _ = simulate("single-user", environments=100, rate=0.5, locks_after=3)
    assert outcome.is_locked
    outcome, _ = simulate("alternating", environments=100, rate=0.5, locks_after=3)
    assert not outcome.is_locked


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_may_come_at_any_moment_of_a_rotation(kind: Kind) -> None:
    for seed in range(10):
        outcome, _ = simulate(kind, environments=10, rate=0.2, seed=seed)
        assert outcome.late == 0


def test_a_seed_repeats_a_run() -> None:
    assert simulate("rolled-back", seed=3)[0] == simulate("rolled-back", seed=3)[0]
