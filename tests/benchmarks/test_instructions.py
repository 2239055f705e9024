"""Holds the readers and the executable to their budget of instructions, and checks the calculation."""

from __future__ import annotations

import pytest

from benchmarks.readers.instructions import (
    BUDGET,
    CountError,
    Counts,
    count,
    elsewhere,
    misses,
    read_budget,
)


@pytest.mark.parametrize("part", list(read_budget().runtimes))
def test_a_part_takes_as_many_instructions_as_its_budget_says(part: str) -> None:
    budget = read_budget()
    try:
        here = count([part])
    except CountError as error:
        pytest.skip(str(error))
    if reasons := elsewhere(here, budget):
        pytest.skip("; ".join(reasons))
    assert misses(here.counts, budget.counts) == [], f"write {BUDGET.name} again if this is meant"


@pytest.mark.parametrize(("counted", "is_missed"), [(1029, False), (971, False), (1031, True), (969, True)])
def test_a_count_may_be_three_percent_off_in_either_direction(counted: int, is_missed: bool) -> None:
    assert bool(misses({"ruby": counted}, {"ruby": 1000})) == is_missed


def test_a_miss_names_the_reader_and_the_difference() -> None:
    assert misses({"ruby": 2000}, {"ruby": 1000}) == [
        "ruby: 2,000 instructions, +100.0% of the budget's 1,000"
    ]


def test_counts_of_another_machine_or_runtime_are_not_compared() -> None:
    budget = Counts("x86_64", {"node": "v20.20.2"}, {})
    assert elsewhere(Counts("aarch64", {"node": "v20.20.2"}, {}), budget)
    assert elsewhere(Counts("x86_64", {"node": "v22.0.0"}, {}), budget)
    assert elsewhere(budget, budget) == []
