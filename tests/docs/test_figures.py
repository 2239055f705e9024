"""Compares the figures of docs/performance.md and README.md with the tables that the benchmarks wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import NamedTuple

import pytest

from tests import ROOT

INTERNALS = ROOT / "docs/internals"
LANGUAGES = {"python": "Python", "node": "Node", "ruby": "Ruby"}
Table = dict[str, list[str]]


def tables(page: str) -> dict[str, Table]:
    """Returns the tables of a page by the heading above them, each row by its first cell."""
    found: dict[str, Table] = {}
    for part in re.split(r"^##+ ", (INTERNALS / page).read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines()
            if line.startswith("| ")
        ]
        found[title] = {row[0]: row[1:] for row in rows}
    return found


STARTS = tables("performance.md")
SHORT, TENTH = STARTS["3 secrets, 30 ms of latency"], STARTS["3 secrets, 30 ms, 0.1 of a CPU"]
(INITS,) = [table for title, table in STARTS.items() if title.startswith("Init of a function")]
LESS = ("128 MB", "256 MB", "512 MB")  # less than a whole CPU
BARS = {
    "no secrets": " without secrets",
    "Keystart": " with Keystart",
    "Go extension and plain files": " with a Go extension",
    "SDK in init": " with AWS's SDK",
}
# Keystart to Go, below a whole CPU.
RATIOS = [row[-2].removesuffix(" x") for name, row in INITS.items() if re.search(r" (128|256|512) MB", name)]
RANGE = f"{min(RATIOS)} to {max(RATIOS)}"
VARIANTS = {"Python": BARS, "Node": dict.fromkeys(BARS, ""), "Ruby": dict.fromkeys(BARS, "")}
SMALL = dict(
    re.findall(
        r"^\| B7 \| (\w+): Init at 128 MB.*?\| ([\d.]+) % \|",
        (INTERNALS / "performance.md").read_text(),
        re.M,
    )
)
READS = {
    (row[0].strip(), row[1].strip()): row[2].strip()
    for row in (
        line.strip("|").split("|") for line in (INTERNALS / "readers-performance.md").read_text().splitlines()
    )
    if len(row) > 2
}


COUNTS: dict[str, int] = json.loads((ROOT / "benchmarks/readers/instructions.json").read_text())["counts"]


def millions(what: str, digits: int = 2) -> str:
    return f"{COUNTS[what] / 1e6:.{digits}f}"


def inits_to_go(memory: Container[str]) -> str:
    """Returns the range of the ratios of Inits with Keystart to those with the Go extension."""
    column = INITS["Init (ms)"].index("Keystart to Go")
    found = [row[column].split()[0] for name, row in INITS.items() if name.partition(", ")[2] in memory]
    return f"{min(found)} to {max(found)}"


def ratio(table: Table, who: str, column: int) -> float:
    """Returns the ratio of a start to the Go extension's, as the table prints it."""
    return float(table[who][column].split()[-2])


def init(language: str, variant: str) -> str:
    cell = INITS[f"{language}, 1,769 MB"][INITS["Init (ms)"].index(variant)]
    return f"{float(cell.split()[0]):.0f} ms"


def bar(language: str, variant: str) -> str:
    return init(language, variant).removesuffix(" ms")


def faster(value: float) -> str:
    return f"{round((1 - value) * 100)} % earlier ({value:.2f})"


def slower(value: float) -> str:
    return f"{round((value - 1) * 100)} % later ({value:.2f})"


def read(language: str, what: str) -> float:
    """Returns the median in microseconds."""
    number, unit = READS[language, what].split()
    return float(number) * {"µs": 1, "ms": 1000}[unit]


class Claim(NamedTuple):
    page: str
    sentence: str


def claims() -> list[Claim]:
    layer, pip, page = "keystart, layer", "keystart, interpreter", "docs/performance.md"
    readers = "docs/internals/readers-performance.md"
    early = ratio(SHORT, layer, 0)
    warm = [f"{read(language, 'warm get'):.0f} µs in {name}" for language, name in LANGUAGES.items()]
    text = (INTERNALS / "readers-performance.md").read_text().partition("| cache : get, warm")[2]
    cache = [re.findall(rf"^\| {language} +\| (\d+) ", text, re.MULTILINE)[0] for language in LANGUAGES]
    less = {language: f"{float(SMALL[language]):.0f} %" for language in LANGUAGES}
    return [
        *(
            Claim(page, f"| {' | '.join([name, *(init(language, kind) for kind in BARS)])} |")
            for language, name in LANGUAGES.items()
        ),
        Claim(page, f"of the Python function by {less['python']}"),
        Claim(page, f"of the Node function by {less['node']}"),
        Claim(page, f"of the Ruby function by {less['ruby']}"),
        Claim(page, f"registers {round(1 / early)} times earlier ({early:.2f} of the time)"),
        Claim(page, f"publishes {faster(ratio(SHORT, layer, 1))}"),
        Claim(page, f"With a tenth of a CPU it publishes {faster(ratio(TENTH, layer, 1))}"),
        Claim(
            page, f"registers {round(1 / ratio(SHORT, pip, 0))} times earlier ({ratio(SHORT, pip, 0):.2f})"
        ),
        Claim(page, f"publishes {slower(ratio(SHORT, pip, 1))}"),
        Claim(page, f"With a tenth of a CPU it publishes {slower(ratio(TENTH, pip, 1))}"),
        Claim(
            page,
            f"takes {SHORT[layer][3].split()[0]} MB of memory, the Go extension {SHORT['go'][3].split()[0]} MB",
        ),
        Claim(page, f"A warm read takes {warm[0]}, {warm[1]} and {warm[2]}"),
        Claim(page, f"takes {cache[0]}, {cache[1]} and {cache[2]} times as long"),
        Claim(
            page,
            f"The first read takes {read('python', 'first read') / 1000:.2f} ms in Python, "
            f"{read('node', 'first read (require)') / 1000:.1f} ms in Node and "
            f"{read('ruby', 'first read') / 1000:.2f} ms in Ruby",
        ),
        Claim(
            "README.md",
            " ".join(
                f"{name}: "
                + ", ".join(f"{bar(language, kind)}{words}" for kind, words in VARIANTS[name].items())
                + "."
                for language, name in LANGUAGES.items()
            ),
        ),
        Claim("README.md", f"takes {inits_to_go(LESS)} times as long as with a Go extension"),
        Claim("docs/internals/performance.md", f"with a whole CPU ({inits_to_go(['1,769 MB'])})"),
        Claim("docs/internals/performance.md", f"each row below it ({inits_to_go(LESS)})"),
        Claim("docs/internals/performance.md", f"a start takes {millions('executable', 1)} million"),
        Claim(readers, f"| {millions('node: require')} million | {millions('node: import')} million | |"),
        Claim(readers, f"| {millions('ruby')} million |"),
        Claim(readers, f"`get` of three values | 31.3 million | {millions('ruby', 1)} million |"),
        Claim(readers, f"| {millions('python')} million |"),
        Claim(readers, f"Python: of {millions('python', 1)} million instructions"),
        Claim("README.md", f"an Init of {init('python', 'Keystart')} with Keystart"),
        Claim("README.md", f"of {init('python', 'Go extension and plain files')} with a Go extension"),
        Claim("README.md", f"of {init('python', 'SDK in init')} with AWS's SDK"),
        *(
            Claim(shown, f"takes {RANGE} times as long as with a Go extension")
            for shown in ("README.md", page)
        ),
    ]


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: f"{claim.page}: {claim.sentence}")
def test_a_figure_is_that_of_the_benchmark(claim: Claim) -> None:
    assert claim.sentence in " ".join((ROOT / claim.page).read_text().split())


def test_the_chart_of_the_readme_shows_the_figures_of_the_table() -> None:
    for chart in ("init.svg", "init-dark.svg"):
        drawn = (INTERNALS / "plots" / chart).read_text()
        shown = re.findall(r"<text[^>]*>(\d+)</text>", drawn)
        for language in LANGUAGES:
            assert {bar(language, kind) for kind in BARS} <= set(shown), chart
