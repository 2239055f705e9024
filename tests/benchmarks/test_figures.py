"""Checks the figures that are computed from measured times: a wrong figure would look like a right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cold_start import report
from benchmarks.cold_start.budgets import Budget, budgets, reduction
from benchmarks.cold_start.conditions import PERIOD_US, NotAppliedError, limited, settings, share_of
from benchmarks.cold_start.extensions import BOTO3, GO, GO_SQUARE, GO_YAML, PIP, SQUARE, YAML
from benchmarks.cold_start.findings import MORE, WITH, WITHOUT, Findings, functions
from benchmarks.cold_start.inits import LANGUAGES, Case, Init, Inits
from benchmarks.cold_start.report import phases, quartiles
from benchmarks.cold_start.starts import Start, Starts
from benchmarks.readers import bench


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


def test_figures_are_computed_as_the_page_says() -> None:
    assert Budget("B6", "what", 10, "ms", 3, "it was not judged").verdict == "not applied"
    assert reduction(1000, 612) == pytest.approx(38.8)
    assert quartiles([5, 1, 4, 2, 3]) == "3.0 [2.0-4.0]"
    assert quartiles([2, 1]) == "2.0 1.0"
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
    with pytest.raises(NotAppliedError, match="No such file or directory"), limited(0.1, tmp_path):
        pytest.fail("nothing limits here")


def test_a_start_falls_into_parts_in_the_order_in_which_they_ended() -> None:
    before = [start(registered=4)]
    names = [name for name, _ in phases(before)]
    assert names == ["to registered", "to connected", "to first request", "to last answer", "to published"]
    after = phases([start(connected=4), start(connected=5), start(connected=6)])
    assert after[0] == ("to connected", 5)
    assert after[-2:] == [("to registered", 2), ("to published", 1)]
    assert sum(length for _, length in after) == 43


def test_beside_a_budget_stands_what_of_it_the_interpreter_takes_by_itself() -> None:
    figures = [
        bench.Figure("node", "first read (import)", "µs", 900, 1000, 1100, 300),
        bench.Figure("node", "the system calls of a first read alone", "µs", 600, 700, 800),
    ]
    assert [bench.floor(one, figures) for one in figures] == [700, None]
    assert "| 300 µs | 700.00 µs | MISS |" in bench.table(figures)


def findings(limited: bool) -> Findings:
    """Returns made-up findings of a machine that allows every condition, or none."""
    starts: Starts = {name: [start(), start(), start()] for name in (GO, PIP, BOTO3)}
    init = [Init(100, 60, 120)] * 10
    square: Inits = {Case(language, *one): init for language in LANGUAGES for one in (WITH, MORE, WITHOUT)}
    refused = NotAppliedError("cgroups cannot be written here")
    figures = [
        bench.Figure(language, what, unit, 1, 2, 3, budget)
        for language in LANGUAGES
        for what, unit, budget in (
            ("import: bare process", "ms", None),
            ("import: added by loading", "ms", 3.0),
            ("first read", "µs", 300.0),
            ("warm get", "µs", 5.0),
            ("warm file", "µs", None),
            ("warm http", "µs", None),
        )
    ]
    return Findings(
        runs=3,
        latencies={0.0: starts, 30.0: starts, 300.0: starts},
        files={GO_YAML: starts[GO], YAML: starts[PIP], GO_SQUARE: starts[GO], SQUARE: starts[PIP]},
        secrets={1: starts, 3: starts, 100: starts},
        shares={0.1: starts, 1.0: starts} if limited else refused,
        cold=starts if limited else NotAppliedError("the page cache cannot be dropped here"),
        invocations=[0.5],
        wipes=[90.0],
        inits=dict.fromkeys(functions(), init) if limited else refused,
        square=square if limited else refused,
        readers=figures,
    )


def test_every_budget_except_that_of_the_layers_size_is_judged() -> None:
    judged = {f"B{n}" for n in (*range(1, 10), 11, 12, 13, 18)}
    assert {budget.number for budget in budgets(findings(True))} == judged


def test_what_the_machine_does_not_allow_is_not_applied_and_says_why() -> None:
    why = {
        budget.number: budget.why_not
        for budget in budgets(findings(False))
        if budget.number in ("B4", "B6", "B13")
    }
    no_cgroups = "cgroups cannot be written here"
    assert why == {"B4": no_cgroups, "B6": no_cgroups, "B13": "the page cache cannot be dropped here"}
    assert "not applied: cgroups cannot be written here" in report.as_text(findings(False))


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pages that a benchmark writes, each with figures of before."""
    marked = "before\n<!-- measured -->\n\nfigures of before\n\n<!-- end -->\nafter\n"
    inits = f"### {report._FUNCTIONS}\n\nfigures of before\n\n### Plots\n\nplots of before"
    (tmp_path / "page.md").write_text(marked.replace("figures of before", f"### Budgets\n\nkept\n\n{inits}"))
    (tmp_path / "guide.md").write_text(marked)
    sentence = (
        "It has an Init of 7 ms with Keystart, of 8 ms\n  with a Go extension, and of 9 ms with AWS's SDK."
    )
    (tmp_path / "README.md").write_text(
        f'{sentence}\n<img alt="Init of a function: figures of before" src="x">\n'
    )
    (tmp_path / "plots").mkdir()
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "GUIDE", tmp_path / "guide.md")
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    return tmp_path


def check_functions(pages: Path) -> None:
    written = {name: (pages / name).read_text() for name in ("page.md", "guide.md", "README.md")}
    assert not [name for name, text in written.items() if "figures of before" in text]
    hundred = "100.0 [100.0-100.0]"
    assert f"| python, 1,769 MB | {' | '.join([hundred] * 4)} | 1.00 x | 1.00 x |" in written["page.md"]
    assert f"| ruby, 128 MB | {' | '.join([hundred] * 3)} |  | 1.00 x | 1.00 x |" in written["page.md"]
    assert "| Ruby | 100 ms | 100 ms | 100 ms | 100 ms |" in written["guide.md"]
    alt = (
        "Init of a function that needs three secrets, in milliseconds. Python: 100 without secrets, "
        "100 with Keystart, 100 with a Go extension, 100 with AWS's SDK. Node: 100, 100, 100, 100. "
        "Ruby: 100, 100, 100, 100."
    )
    sentence = "It has an Init of 100 ms with Keystart, of 100 ms\n  with a Go extension, and of 100 ms with AWS's SDK."
    assert written["README.md"] == f'{sentence}\n<img alt="{alt}" src="x">\n'
    for name in ("page.md", "guide.md"):
        assert written[name].startswith("before\n<!-- measured -->\n\n")
        assert written[name].endswith("\n\n<!-- end -->\nafter\n")


def test_only_what_lies_between_the_marks_of_the_pages_is_written(pages: Path) -> None:
    report.write(findings(True))
    check_functions(pages)
    drawn = sorted(path.stem for path in (pages / "plots").iterdir())
    assert drawn == ["init", "init-dark", "latency", "quota", "reads", "secrets", "timeline"]
    for name in set(drawn) - {"init", "init-dark"}:  # those are for README.md
        assert f"](plots/{name}.svg)" in (pages / "page.md").read_text()


def test_the_functions_alone_are_written_and_the_other_figures_stay(pages: Path) -> None:
    inits = findings(True).inits
    assert not isinstance(inits, NotAppliedError)
    report.write_inits(inits)
    check_functions(pages)
    assert "### Budgets\n\nkept\n\n### Init of" in (pages / "page.md").read_text()
    assert "### Plots\n\nplots of before" in (pages / "page.md").read_text()
    assert sorted(path.stem for path in (pages / "plots").iterdir()) == ["init", "init-dark"]
