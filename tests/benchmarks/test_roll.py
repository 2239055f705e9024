"""Checks the simulation of rolls, and that docs/roll.md shows what it prints."""

from __future__ import annotations

import random

from benchmarks.roll import ENVIRONMENTS, refresh_outcome, report, roll_outcome
from tests import ROOT


def test_the_page_shows_what_the_simulation_prints() -> None:
    assert f"```text\n{report()}\n```\n" in (ROOT / "docs/roll.md").read_text()


def test_more_functions_take_longer_and_a_lost_event_waits_for_the_schedule() -> None:
    def seconds(functions: int, over: float, *, is_event_lost: bool = False) -> float:
        return roll_outcome(functions, over, random.Random(1), is_event_lost=is_event_lost).seconds

    assert seconds(1, 300) < seconds(10, 0) < seconds(10, 300) < seconds(1_000, 300)
    assert seconds(10, 300, is_event_lost=True) > seconds(10, 300)


def test_every_environment_fetches_once_for_a_move() -> None:
    assert refresh_outcome(random.Random(1)).secret_requests == ENVIRONMENTS
    outcome = roll_outcome(10, 300, random.Random(1))
    assert outcome.secret_requests == ENVIRONMENTS + 1  # DescribeSecret
    assert outcome.lambda_requests == 4 * 10 + 1
