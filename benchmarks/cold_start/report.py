"""Reports the findings: as text for a terminal, as docs/internals/performance.md, and as its plots."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.readers import bench

from . import plots
from .budgets import Budget, budgets, init_ratio, median_init, reduction, sorted_functions
from .conditions import NotAppliedError
from .extensions import GO, ROOT, CannotMeasureError
from .findings import MORE, WITH, WITHOUT, Findings
from .inits import BARE, LANGUAGES, OURS, PEER, SDK, Case, Inits, not_there
from .starts import Start, Starts, median

PAGE = ROOT / "docs/internals/performance.md"
GUIDE = ROOT / "docs/performance.md"
README = ROOT / "README.md"
PLOTS = PAGE.with_name("plots")
_BEGIN, _END = "<!-- measured -->\n", "<!-- end -->\n"
_UNITS = {"registered": "ms", "published": "ms", "cpu": "ms CPU", "memory": "MB"}
# The name of the time before each event, in a picture of a start.
_PHASES = {
    "registered": "to registered",
    "connected": "to connected",
    "asked": "to first request",
    "answered": "to last answer",
    "published": "to published",
}
_WHO = {
    BARE: "no secrets",
    PEER: "Go extension and plain files",
    OURS: "Keystart",
    SDK: "SDK in init",
}
_FUNCTIONS = "Init of a function, beside no secrets and beside the Go extension with plain files"

# The bars of the chart in README.md, and the columns of the first table in docs/performance.md.
CHARTED = {
    BARE: "without secrets",
    OURS: "with Keystart",
    PEER: "with a Go extension",
    SDK: "with AWS's SDK",
}

Rows = Sequence[Sequence[str]]


def as_text(found: Findings) -> str:
    """Returns everything for a terminal."""
    return "\n\n".join(f"{title}\n{columns(rows)}" for title, rows in _tables(found))


def as_ratios(found: Findings) -> str:
    """Returns the report of a quick run. Its figures only mean something relative to others of the same run."""
    plain = found.latencies[30.0]
    compared = [["to Go", *_UNITS]]
    compared += [
        [name, *(_ratio(starts, plain[GO], what) for what in _UNITS)] for name, starts in plain.items()
    ]
    judged = [["budget", "what", "of the budget", ""]]
    for budget in budgets(found):
        share = "" if budget.found is None else f"{budget.found / budget.limit:.2f} x"
        judged.append([budget.number, budget.what, share, _verdict(budget)])
    return f"{columns(compared)}\n\n{columns(judged)}"


def as_json(found: Mapping[str, Sequence[Start]]) -> str:
    """Returns every start as JSON."""
    return json.dumps({name: [vars(start) for start in starts] for name, starts in found.items()}, indent=2)


def write(found: Findings) -> None:
    """Replaces the text between the marks of docs/internals/performance.md, its plots, and the Inits elsewhere."""
    before, _, after = _between_marks(PAGE)
    PLOTS.mkdir(exist_ok=True)
    parts = [f"{found.runs} starts of each, in turn. {bench.machine()}."]
    parts += [f"### {title}\n\n{_markdown(rows)}" for title, rows in _tables(found)]
    parts.append("### Plots")
    for name, (title, drawn) in _drawn(found).items():
        (PLOTS / f"{name}.svg").write_text(drawn)
        parts.append(f"![{title}](plots/{name}.svg)")
    PAGE.write_text(before + "\n\n".join(parts) + after)
    if not isinstance(found.inits, NotAppliedError):
        _write_charted(_charted(found.inits))


def inits_as_text(inits: Inits) -> str:
    """Returns the table of the functions for a terminal."""
    return columns(_inits(inits))


def write_inits(inits: Inits) -> None:
    """Replaces the table of the functions in docs/internals/performance.md, its plot, and the Inits elsewhere."""
    heading = f"### {_FUNCTIONS}\n\n"
    before, mark, rest = PAGE.read_text().partition(heading)
    _, end, after = rest.partition("\n\n### ")
    if not (mark and end):
        raise CannotMeasureError(f"{PAGE} has no table of functions to replace")
    PAGE.write_text(before + heading + _markdown(_inits(inits)) + end + after)
    _write_charted(_charted(inits))


def _write_charted(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Writes the chart of README.md and the text that stands for it, and the table of docs/performance.md."""
    (PLOTS / "init.svg").write_text(init_chart(rows)[1])
    (PLOTS / "init-dark.svg").write_text(init_chart(rows, plots.DARK)[1])
    text = re.sub(r'(?<=alt=")Init of a function[^"]*', init_words(rows), README.read_text())
    for name, value in rows["python"].items():
        text = re.sub(rf"(?<=of )\d+(?= ms\s+{name})", f"{value:.0f}", text)
    README.write_text(text)
    before, _, after = _between_marks(GUIDE)
    table = [["", *CHARTED.values()]]
    for language, row in rows.items():
        table.append(
            [
                language.capitalize(),
                *(f"{row[name]:.0f} ms" if name in row else "not measured" for name in CHARTED.values()),
            ]
        )
    GUIDE.write_text(before + _markdown(table) + after)


def init_words(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the chart of README.md as a sentence for each language. The first one names the bars."""
    sentences: list[str] = []
    for language, row in rows.items():
        bars = [f"{value:.0f} {name}" if not sentences else f"{value:.0f}" for name, value in row.items()]
        sentences.append(f"{language.capitalize()}: {', '.join(bars)}.")
    return f"{init_chart(rows)[0]}, in milliseconds. {' '.join(sentences)}"


def _between_marks(page: Path) -> tuple[str, str, str]:
    """Returns the text before the measured part of a page, that part, and the text after it."""
    before, begin, rest = page.read_text().partition(_BEGIN)
    measured, end, after = rest.partition(_END)
    if not (begin and end):
        raise CannotMeasureError(f"{page} has no place for the figures")
    return before + begin + "\n", measured, "\n\n" + end + after


def _tables(found: Findings) -> Iterator[tuple[str, Rows]]:
    judged = [["", "what", "budget", "measured", ""]]
    for budget in budgets(found):
        value = "" if budget.found is None else f"{budget.found:.2f} {budget.unit}"
        judged.append([budget.number, budget.what, budget.allowed, value, _verdict(budget)])
    yield "Budgets", judged
    for latency in (30.0, 300.0):
        yield f"3 secrets, {latency:g} ms of latency", starts_rows(found.latencies[latency])
    yield "3 secrets, 30 ms, configured in a file", starts_rows(found.files)
    yield "100 secrets, 30 ms", starts_rows(found.secrets[100])
    if isinstance(found.shares, NotAppliedError):
        yield "CPU quotas", [["not applied"], [str(found.shares)]]
    else:
        for share, starts in found.shares.items():
            yield f"3 secrets, 30 ms, {share:g} of a CPU", starts_rows(starts)
    if isinstance(found.cold, NotAppliedError):
        yield "Cold page cache", [["not applied"], [str(found.cold)]]
    else:
        yield "3 secrets, 30 ms, with a cold page cache", starts_rows(found.cold)
    if isinstance(found.inits, NotAppliedError):
        yield _FUNCTIONS, [["not applied"], [str(found.inits)]]
    else:
        yield _FUNCTIONS, _inits(found.inits)
    if isinstance(found.square, NotAppliedError):
        yield "Square's tables", [["not applied"], [str(found.square)]]
    else:
        for title, what in _SQUARE.items():
            yield title, _square(found.square, what)


_SQUARE = {
    "Square's first table: function duration (ms) over ten invocations, each of a new environment": "duration",
    "Square's second table: runtime init (ms) over ten cold starts": "runtime",
}


def _square(found: Inits, what: str) -> Rows:
    """Returns ten figures with their average and median, and by how much they are less than without Keystart."""
    rows = [["function", *(str(number) for number in range(1, 11)), "average", "median", "reduction"]]
    for language in LANGUAGES:
        without = found.get(Case(language, *WITHOUT), ())
        for variant, memory in (WITH, MORE, WITHOUT):
            inits = found.get(Case(language, variant, memory), ())
            name = f"{language}, {memory} MB, {_WHO[variant]}"
            if not inits:
                rows.append([f"{name}: {not_there(language, variant)}", *[""] * 13])
                continue
            values = [getattr(init, what) for init in inits]
            middle = median_init(inits, what)
            less = ""
            if without and variant != SDK:
                less = f"{reduction(median_init(without, what), middle):.1f} %"
            average = f"{statistics.mean(values):.0f}"
            rows.append([name, *(f"{value:.0f}" for value in values), average, f"{middle:.0f}", less])
    return rows


def _inits(measured: Inits) -> Rows:
    """Returns a row for each language and memory. `SDK` was measured with one memory alone."""
    rows = [["Init (ms)", *_WHO.values(), "Keystart to Go", "Keystart to no secrets"]]
    for language, memory in sorted_functions(measured):
        found = (measured.get(Case(language, variant, memory), ()) for variant in _WHO)
        cells = (quartiles([init.whole for init in inits]) if inits else "" for inits in found)
        ratios = (f"{init_ratio(measured, language, memory, peer):.2f} x" for peer in (PEER, BARE))
        rows.append([f"{language}, {memory:,} MB", *cells, *ratios])
    return rows


def starts_rows(starts: Starts) -> Rows:
    """Returns the medians with their quartiles, and each median divided by that of the Go extension, which is first."""
    peer = next(iter(starts.values()))
    rows = [["", *(f"{what} ({unit})" for what, unit in _UNITS.items())]]
    for name, measured in starts.items():
        cells = (
            f"{quartiles([getattr(start, what) for start in measured])}  {_ratio(measured, peer, what)}"
            for what in _UNITS
        )
        rows.append([name, *cells])
    return rows


def quartiles(values: Sequence[float]) -> str:
    """Returns the median with the quartiles around it, or the values if they are too few for quartiles."""
    if len(values) < 3:
        return " ".join(f"{value:.1f}" for value in values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.1f} [{low:.1f}-{high:.1f}]"


def _ratio(starts: Sequence[Start], to: Sequence[Start], what: str) -> str:
    return f"{median(starts, what) / median(to, what):.2f} x"


def _verdict(budget: Budget) -> str:
    return f"{budget.verdict}: {budget.why_not}" if budget.why_not else budget.verdict


def columns(rows: Rows) -> str:
    """Returns rows as text for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _markdown(rows: Rows) -> str:
    bold = [["**miss**" if cell == "miss" else cell for cell in row] for row in rows]
    lines = [bold[0], ["---"] * len(bold[0]), *bold[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _drawn(found: Findings) -> dict[str, tuple[str, str]]:
    """Returns the plots of the page by the names of their files, each with its title. README.md has the Inits."""
    plain = found.latencies[30.0]
    bare = next(figure.median for figure in found.readers if figure.what == "import: bare process")
    timeline = {
        "python, nothing else": [("interpreter", bare)],
        **{name: phases(each) for name, each in {**plain, **found.files}.items()},
    }
    drawn = {
        "timeline": (
            title := "A cold start: 3 secrets, 30 ms of latency",
            plots.stacks(title, plots.Axis("ms from exec"), timeline),
        ),
        "latency": _swept(plain, "Latency of the store", "ms of latency", found.latencies, logarithmic=False),
        "secrets": _swept(
            plain, "Number of secrets, 30 ms of latency", "secrets", found.secrets, logarithmic=True
        ),
        "reads": _reads(found.readers),
    }
    if not isinstance(found.shares, NotAppliedError):
        drawn["quota"] = _swept(
            plain, "CPU quota, 3 secrets, 30 ms", "share of a CPU", found.shares, logarithmic=True
        )
    return drawn


def phases(starts: Sequence[Start]) -> list[tuple[str, float]]:
    """Returns a start as parts, in the order of their ends: some extensions register before they fetch, some after."""
    ends = sorted((median(starts, event), name) for event, name in _PHASES.items())
    begins = [0.0, *(end for end, _ in ends)]
    return [(name, end - begin) for begin, (end, name) in zip(begins, ends, strict=False)]


def _swept(
    plain: Iterable[str],
    what: str,
    along: str,
    swept: Mapping[int, Starts] | Mapping[float, Starts],
    *,
    logarithmic: bool,
) -> tuple[str, str]:
    """Draws published (a line) and registered (dashed) for each extension that was measured at every step."""
    title = f"{what}: published, and registered (dashed)"
    names = [name for name in plain if all(name in starts for starts in swept.values())]
    series: dict[str, dict[str, plots.Points]] = {
        event: {
            name: [(value, median(starts[name], event)) for value, starts in sorted(swept.items())]
            for name in names
        }
        for event in ("published", "registered")
    }
    x = plots.Axis(along, logarithmic)
    y = plots.Axis("ms from exec", logarithmic=True)
    return title, plots.lines(title, x, y, series["published"], series["registered"], plain)


def _reads(readers: Sequence[bench.Figure]) -> tuple[str, str]:
    title = "Warm reads per second, in one thread"
    calls = {"get": "Keystart", "file": "a plain file", "http": "a cache behind HTTP"}
    rows = {
        language: {
            name: 1e6 / figure.median
            for call, name in calls.items()
            for figure in readers
            if (figure.language, figure.what) == (language, f"warm {call}")
        }
        for language in LANGUAGES
    }
    return title, plots.bars(title, plots.Axis("reads per second", logarithmic=True), rows)


def _charted(inits: Inits) -> dict[str, dict[str, float]]:
    return {
        language: {
            # As the table has it: rounded from there once more, it must be the same number.
            name: round(median_init(inits[Case(language, variant)], "whole"), 1)
            for variant, name in CHARTED.items()
            if inits.get(Case(language, variant))
        }
        for language in LANGUAGES
    }


def init_chart(
    rows: Mapping[str, Mapping[str, float]], ink: tuple[str, str] | None = plots.LIGHT
) -> tuple[str, str]:
    """Draws the Init of a function in each language, with a bar for each of `CHARTED`."""
    title = "Init of a function that needs three secrets"
    named = {language.capitalize(): row for language, row in rows.items()}
    return title, plots.bars(title, plots.Axis("ms"), named, ink)
