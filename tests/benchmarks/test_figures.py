"""What is computed from measured times: a wrong figure would look like a right one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import plots
import pytest
from budgets import Budget, reduction
from conditions import PERIOD_US, NotApplied, limited, settings, share_of
from report import phases, quartiles
from starts import Start


def start(**times: float) -> Start:
    known = {"connected": 5, "asked": 10, "answered": 40, "registered": 42, "published": 43}
    return Start(**{**known, "cpu": 1, "memory": 1, **times})


@pytest.mark.parametrize(
    ("least", "found", "verdict"),
    [
        (False, 25.0, "pass"),
        (False, 25.1, "miss"),
        (True, 25.0, "pass"),
        (True, 24.9, "miss"),
        (False, None, "not applied"),
    ],
)
def test_a_budget_is_the_most_that_passes_or_with_least_the_least(
    least: bool, found: float | None, verdict: str
) -> None:
    assert Budget("B1", "what", 25, "ms", found, least=least).verdict == verdict


def test_a_budget_with_a_reason_is_not_judged_though_something_was_found() -> None:
    assert Budget("B6", "what", 10, "ms", 3, "its own start is shorter").verdict == "not applied"


def test_a_reduction_is_told_against_what_was_before() -> None:
    assert reduction(1000, 612) == pytest.approx(38.8)


def test_quartiles_stand_around_the_median_of_all_values() -> None:
    assert quartiles([5, 1, 4, 2, 3]) == "3.0 [2.0-4.0]"
    assert quartiles([2, 1]) == "2.0 1.0"


def test_memory_stands_for_the_share_of_a_cpu_that_lambda_gives() -> None:
    assert share_of(1769) == 1
    assert share_of(128) == pytest.approx(0.0724, abs=1e-4)


def test_a_share_becomes_the_quota_of_either_version_of_cgroups(tmp_path: Path) -> None:
    group, files = settings(0.1, tmp_path)
    assert group.parent == tmp_path / "cpu"
    assert files == {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": f"{PERIOD_US // 10}"}
    (tmp_path / "cgroup.controllers").touch()
    group, files = settings(0.1, tmp_path)
    assert group.parent == tmp_path
    assert files == {"cpu.max": f"{PERIOD_US // 10} {PERIOD_US}"}


def test_without_cgroups_a_quota_is_not_applied_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotApplied, match="No such file or directory"), limited(0.1, tmp_path):
        pytest.fail("nothing limits here")


def test_a_start_falls_into_parts_in_the_order_in_which_they_ended() -> None:
    before = [start(registered=4)]
    names = [name for name, _ in phases(before)]
    assert names == ["to registered", "to connected", "to first request", "to last answer", "to published"]
    after = phases([start(connected=4), start(connected=5), start(connected=6)])
    assert after[0] == ("to connected", 5)
    assert after[-2:] == [("to registered", 2), ("to published", 1)]
    assert sum(length for _, length in after) == 43


def test_values_are_placed_between_the_ends_of_an_axis() -> None:
    assert plots.Axis("", 0, 200).place(50) == 0.25
    assert plots.Axis("", 1, 10_000, True).place(100) == pytest.approx(0.5)
    assert plots.Axis("", 0, 105).ticks() == [0, 50, 100]
    assert plots.Axis("", 0.06, 1.1, True).ticks() == pytest.approx([0.1, 0.2, 0.5, 1])


def test_a_chart_is_xml_with_a_line_for_each_series() -> None:
    series = {"a & b": [(1.0, 2.0), (3.0, 4.0)], "c": [(1.0, 1.0)]}
    x, y = plots.axis("x", [1, 3]), plots.axis("y", [1, 2, 4], logarithmic=True)
    drawn = ElementTree.fromstring(plots.lines("<title>", x, y, series, {"c": [(2.0, 2.0)]}))  # noqa: S314 our own
    assert len(drawn.findall("{*}polyline")) == 3
    assert {"a & b", "c", "<title>"} <= {text.text for text in drawn.findall("{*}text")}
