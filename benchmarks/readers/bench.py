"""Measures how long the readers take to load and to read, beside a plain file and a cache behind HTTP.

Nothing here is a test: the machine is noisy, so every figure is a median with its quartiles, and what is compared
runs in turn.

Exit codes: 0 measured, even when a budget is missed, because a busy machine misses too; with `--strict` 1 for a miss;
2 something could not be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
import keystart
import keystart.testing

from .cache import cache

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
REPORT = ROOT / "docs/internals/readers-performance.md"
SECRETS = {
    "db": {"username": "orders", "password": "p" * 32, "host": "orders.example.internal", "port": 5432},
    "stripe/key": "s" * 43,
    "limits": "100",
}
CALLS = ("get", "get_bytes", "get_json", "names", "snapshot", "path", "file", "file_json", "http")
LOAD_MS = {"python": 3.0, "node": 2.0, "ruby": 5.0}
FIRST_US = 300.0
# Statements that end a process at once: a function that has loaded the reader lives on, and cleans nothing up.
ENDS = {
    ".py": "os._exit(0)",
    "cjs": "process.reallyExit(0);",
    "mjs": "process.reallyExit(0);",
    ".rb": "exit!(true)",
}
WARM_US = {"python": 5.0, "node": 10.0, "ruby": 15.0}
STILL, CHANGING = "of a store at rest", "of one that changes 100 times a second"
# The interpreter's own part of a figure, whatever the reader does, measured in the same run.
FLOORS = {
    **{f"{form}: added by loading": f"loading an empty package ({form})" for form in ("require", "import")},
    **{f"first read ({form})": "the system calls of a first read alone" for form in ("require", "import")},
}


@dataclass(frozen=True)
class Figure:
    """One measurement: median and quartiles, in `unit`, and its budget."""

    language: str
    what: str
    unit: str
    low: float
    median: float
    high: float
    budget: float | None = None

    @property
    def verdict(self) -> str:
        """Returns `pass` or `MISS`, or nothing without a budget."""
        if self.budget is None:
            return ""
        return "pass" if self.median <= self.budget else "MISS"


@dataclass(frozen=True)
class Lifetime:
    """Nanoseconds from the start of a process to its end, on the wall and of CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Stand:
    """The inputs: two stores with the same secrets, a third one that changes, a plain file, a cache, a project."""

    root: str
    other: str
    changing: str
    file: str
    url: str
    project: Path


def main() -> int:
    """Runs the command and returns its exit code."""
    arguments = parse_arguments()
    figures = measure(arguments.language or list(LOAD_MS), arguments.quick)
    if arguments.json:
        print(
            json.dumps(
                {"machine": machine(), "figures": [as_json(one, figures) for one in figures]}, indent=2
            )
        )
    else:
        print(table(figures))
        print(ratios(figures))
    if arguments.write:
        write_report(figures)
    missed = any(figure.verdict == "MISS" for figure in figures)
    return 1 if missed and arguments.strict else 0


def measure(languages: Sequence[str], quick: bool) -> list[Figure]:
    """Measures every figure of these languages; `quick` takes few runs."""
    runs, loops = (5, 200) if quick else (41, 2000)
    figures = []
    with stand() as place:
        for language in languages:
            say(f"{language}: {runs} runs of each process")
            figures += loads(language, place, runs)
            figures += first_reads(language, place, runs)
            figures += warm_reads(language, place, loops)
            figures += reads_beside_a_writer(language, place, runs, loops)
    return figures


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="./dev bench-readers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--language", action="append", choices=list(LOAD_MS), help="only this one; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few runs: shows that it works, not how fast it is"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a budget is missed")
    parser.add_argument(
        "--write", action="store_true", help=f"put the tables into {REPORT.relative_to(ROOT)}"
    )
    return parser.parse_args()


@contextmanager
def stand(*, changes: bool = True) -> Iterator[Stand]:
    """Makes the stores, the file and the server to read from, for the length of the block.

    Without `changes` nothing publishes into a third store.
    """
    with (
        tempfile.TemporaryDirectory(prefix="keystart-bench-") as folder,
        keystart.testing.store(SECRETS) as one,
        keystart.testing.store(SECRETS) as other,
        publisher() if changes else nullcontext("") as changing,
        cache() as url,
    ):
        project = Path(folder)
        # Not a link, for which Node reads a second package.json: npm installs files.
        reader = project / "node_modules/keystart"
        shutil.copytree(ROOT / "bindings/node/dist", reader / "dist")
        shutil.copy(ROOT / "bindings/node/package.json", reader)
        empty = project / "node_modules/empty"
        (empty / "dist").mkdir(parents=True)
        (empty / "package.json").write_text((ROOT / "bindings/node/package.json").read_text())
        for name in ("index.js", "index.mjs", "index.node.mjs"):
            (empty / "dist" / name).touch()
        for file in PROGRAMS.iterdir():
            if file.is_file():
                (project / file.name).write_text(file.read_text())
        for name, load in {
            "empty.cjs": "",
            "empty.mjs": "",
            "empty.rb": "",
            "require.cjs": "require('keystart');",
            "import.mjs": "import 'keystart';",
            "require.rb": 'require "keystart"',
        }.items():
            (project / name).write_text(f"{load}\n{ENDS[name[-3:]]}\n")
        file = project / "db.json"
        file.write_text(json.dumps(SECRETS["db"]))
        yield Stand(one.root, other.root, changing, str(file), url, project)


@contextmanager
def publisher() -> Iterator[str]:
    """Publishes 100 generations a second during the block, and returns the root of their store."""
    command = [sys.executable, "-m", "benchmarks.readers.publisher", json.dumps(SECRETS)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.communicate()


def loads(language: str, place: Stand, runs: int) -> list[Figure]:
    """Returns how much longer a process lives that loads the reader and does nothing with it."""
    figures = []
    for what, bare, loaded, budget in starts(language):
        pairs = []
        for run in range(runs + 1):
            if run % 2:
                with_it, without = (lifetime(command, place.project) for command in (loaded, bare))
            else:
                without, with_it = (lifetime(command, place.project) for command in (bare, loaded))
            pairs.append((without, with_it))
        del pairs[0]  # the first one may have read from the disk, or compiled
        alone = [bare.wall for bare, _ in pairs]
        added = [loaded.wall - bare.wall for bare, loaded in pairs]
        cpu = [loaded.cpu - bare.cpu for bare, loaded in pairs]
        figures.append(figure(language, f"{what}: bare process", "ms", alone, 1e6))
        figures.append(figure(language, f"{what}: added by loading", "ms", added, 1e6, budget))
        figures.append(figure(language, f"{what}: CPU added by loading", "ms", cpu, 1e6))
    return figures


def starts(language: str) -> list[tuple[str, list[str], list[str], float]]:
    """Returns the ways to start: the name, the same program without and with the reader, and the budget."""
    budget = LOAD_MS[language]
    if language == "node":
        forms = (("require", "empty.cjs", "require.cjs"), ("import", "empty.mjs", "import.mjs"))
        return [(form, ["node", bare], ["node", loaded], budget) for form, bare, loaded in forms]
    if language == "ruby":
        return [("require", [*ruby(), "empty.rb"], [*ruby(), "require.rb"], budget)]
    python = sys.executable
    folders = [str(Path(module.__file__ or "").parents[1]) for module in (keystart, cffi)]
    # Without site, nothing has imported os; in every runtime something has.
    path = f"import os, sys; sys.path[:0] = {folders}"
    plain, alone, end = [python, "-c"], [python, "-I", "-S", "-c"], ENDS[".py"]
    return [
        ("import", [*plain, f"import os; {end}"], [*plain, f"import os, keystart; {end}"], budget),
        ("import, -I -S", [*alone, f"{path}; {end}"], [*alone, f"{path}; import keystart; {end}"], budget),
    ]


def lifetime(command: list[str], folder: Path) -> Lifetime:
    """Runs a process, and returns its time and its CPU time."""
    start = time.perf_counter_ns()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter_ns() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Lifetime(wall, (usage.ru_utime + usage.ru_stime) * 1e9)


def first_reads(language: str, place: Stand, runs: int) -> list[Figure]:
    """Returns figures of a new process: loading and first reads, timed inside of it."""
    forms = ("require", "import") if language == "node" else ("",)
    modes = {("keystart", form): [place.root, place.other] for form in forms}
    modes |= {("file", ""): [place.file], ("http", ""): [place.url]}
    if language == "node":
        modes |= {("empty", form): [] for form in forms} | {("calls", ""): [place.root]}
    seen: dict[tuple[str, str], dict[str, list[float]]] = {mode: {} for mode in modes}
    for _ in range(runs):
        for (what, form), arguments in modes.items():
            for name, nanoseconds in answer(language, place, [what, *arguments], form).items():
                seen[what, form].setdefault(name, []).append(nanoseconds)
    figures = []
    for form in forms:
        times, suffix = seen["keystart", form], f" ({form})" if form else ""
        figures.append(figure(language, f"loading, inside the process{suffix}", "ms", times["load"], 1e6))
        figures.append(figure(language, f"first read{suffix}", "µs", times["first"], 1e3, FIRST_US))
        if form != "import":
            figures.append(
                figure(language, "first read of another store", "µs", times["first_other"], 1e3, FIRST_US)
            )
        if language == "node":
            figures += above_floors(form, times, seen["empty", form]["load"], seen["calls", ""]["first"])
    if language == "node":
        calls = seen["calls", ""]["first"]
        figures.append(figure(language, "the system calls of a first read alone", "µs", calls, 1e3))
    file, http = seen["file", ""], seen["http", ""]
    figures.append(figure(language, "first read of a plain file", "µs", file["first"], 1e3))
    figures.append(figure(language, "loading the HTTP client, inside the process", "ms", http["load"], 1e6))
    figures.append(figure(language, "first request to a cache", "µs", http["first"], 1e3))
    return figures


def above_floors(
    form: str, times: dict[str, list[float]], empty: list[float], calls: list[float]
) -> list[Figure]:
    """Returns what Node itself needs to load an empty package, and what the reader adds to that and to the calls.

    The budgets limit what the reader adds to the bare interpreter. Node alone needs more, so this limits it too.
    """
    loading = [ours - node for ours, node in zip(times["load"], empty, strict=True)]
    reading = [ours - node for ours, node in zip(times["first"], calls, strict=True)]
    return [
        figure("node", f"loading an empty package ({form})", "ms", empty, 1e6),
        figure("node", f"loading, above an empty package ({form})", "ms", loading, 1e6, LOAD_MS["node"]),
        figure("node", f"first read, above its system calls ({form})", "µs", reading, 1e3, FIRST_US),
    ]


def warm_reads(language: str, place: Stand, loops: int) -> list[Figure]:
    """Measures reads after the first one, in one process."""
    times = answer(language, place, ["warm", place.root, place.file, place.url, str(loops)])
    budgets = {"get": WARM_US[language]}
    return [figure(language, f"warm {call}", "µs", times[call], 1e3, budgets.get(call)) for call in CALLS]


def reads_beside_a_writer(language: str, place: Stand, runs: int, loops: int) -> list[Figure]:
    """Returns figures of reads from a store that changes 100 times a second, and from one that does not, in turn."""
    first: dict[str, list[float]] = {STILL: [], CHANGING: []}
    warm: dict[str, list[float]] = {STILL: [], CHANGING: []}
    for run in range(runs):
        for which, root in ((STILL, place.root), (CHANGING, place.changing)):
            first[which].append(answer(language, place, ["keystart", root, place.other])["first"])
            if run % 8 == 0:
                times = answer(language, place, ["warm", root, place.file, place.url, str(loops)])
                warm[which] += times["get"]
    return [
        figure(language, f"{what}, {which}", "µs", times, 1e3)
        for what, measured in (("first read", first), ("warm get", warm))
        for which, times in measured.items()
    ]


def answer(language: str, place: Stand, arguments: list[str], form: str = "") -> dict[str, Any]:
    """Starts a program of this language, and returns its measurements: nanoseconds, or lists of them."""
    interpreters = {
        "python": [sys.executable, "reader.py"],
        "node": ["node", "reader.mjs" if form == "import" else "reader.cjs"],
        "ruby": [*ruby(), "reader.rb"],
    }
    command = [*interpreters[language], *arguments]
    said = subprocess.run(command, cwd=place.project, check=True, stdout=subprocess.PIPE).stdout
    times: dict[str, Any] = json.loads(said)
    return times


def ruby() -> list[str]:
    """Returns the command that starts Ruby with the reader of this checkout."""
    return ["ruby", "-I", str(ROOT / "bindings/ruby/lib")]


def figure(
    language: str, what: str, unit: str, nanoseconds: list[float], divisor: float, budget: float | None = None
) -> Figure:
    """Returns quartiles and median of measured nanoseconds in a unit."""
    low, median, high = statistics.quantiles(nanoseconds, n=4, method="inclusive")
    return Figure(language, what, unit, low / divisor, median / divisor, high / divisor, budget)


def table(figures: list[Figure]) -> str:
    """Returns the figures as a table for people."""
    rows = [("language", "what", "median", "quartiles", "budget", "floor", "")]
    for one in figures:
        budget = "" if one.budget is None else f"{one.budget:g} {one.unit}"
        quartiles = f"{one.low:.2f} - {one.high:.2f}"
        least = floor(one, figures)
        under = "" if least is None else f"{least:.2f} {one.unit}"
        median = f"{one.median:.2f} {one.unit}"
        rows.append((one.language, one.what, median, quartiles, budget, under, one.verdict))
    return markdown(rows)


def floor(one: Figure, figures: Sequence[Figure]) -> float | None:
    """Returns the median of the interpreter's own part of a figure, in the same unit."""
    for other in figures:
        if other.language == one.language and other.what == FLOORS.get(one.what):
            return other.median
    return None


def ratios(figures: list[Figure]) -> str:
    """Returns how many times faster a warm read, and a first one with everything it loads, are than the cache."""
    rows = [
        (
            "language",
            "cache : get, warm",
            "plain file : get, warm",
            "cache : get, new process with loading",
            "first read, store that changes : at rest",
            "warm get, store that changes : at rest",
        )
    ]
    by_name = {(one.language, one.what): one.median for one in figures}
    for language in dict.fromkeys(one.language for one in figures):

        def of(what: str, language: str = language) -> float:
            return by_name[language, what]

        form = " (require)" if language == "node" else ""
        ours = of(f"loading, inside the process{form}") * 1e3 + of(f"first read{form}")
        cache = of("loading the HTTP client, inside the process") * 1e3 + of("first request to a cache")
        get = of("warm get")
        rows.append(
            (
                language,
                f"{of('warm http') / get:.0f}",
                f"{of('warm file') / get:.1f}",
                f"{cache / ours:.1f}",
                f"{of(f'first read, {CHANGING}') / of(f'first read, {STILL}'):.2f}",
                f"{of(f'warm get, {CHANGING}') / of(f'warm get, {STILL}'):.2f}",
            )
        )
    return markdown(rows)


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """Returns rows as a table of Markdown; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def as_json(one: Figure, figures: Sequence[Figure]) -> dict[str, object]:
    """Returns a figure with its verdict and floor."""
    return {**dataclasses.asdict(one), "verdict": one.verdict or None, "floor": floor(one, figures)}


def machine() -> str:
    """Returns a description of the machine, without its name."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    versions = [platform.python_version()]
    versions += [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        for command in (["node", "--version"], ["ruby", "-e", "print RUBY_VERSION"])
    ]
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), Linux; "
        "Python {}, Node {}, Ruby {}".format(*versions)
    )


def write_report(figures: list[Figure]) -> None:
    """Replaces the text between the marks. The rest of the page is written by hand."""
    begin, end = "<!-- measured -->\n", "<!-- /measured -->"
    before, _, rest = REPORT.read_text().partition(begin)
    after = rest.partition(end)[2]
    measured = f"Measured on {machine()}.\n\n{table(figures)}\n{ratios(figures)}"
    REPORT.write_text(f"{before}{begin}\n{measured}\n{end}{after}")


def say(text: str) -> None:
    """Prints a line on standard error."""
    print(f"bench-readers: {text}", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        say(f"this program failed with {failure.returncode}, see above: {' '.join(failure.cmd)}")
        sys.exit(2)
