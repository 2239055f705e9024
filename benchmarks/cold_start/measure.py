"""Measures a cold start: from exec to registered and to published, beside a Go extension that does the same.

Nothing here is a test: machines are noisy, so every figure is a median with its quartiles, peers run in turn, and what
counts is the ratio to the Go extension of the same run. "Published" is when the process asks for its next event.

Exit codes: 0 measured; 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloud import Cloud
from quota import NotApplied, drop_caches, share

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXECUTABLE = (
    ROOT / "target/standalone" / {"aarch64": "arm64"}.get(platform.machine(), platform.machine()) / "keystart"
)
REPORT = ROOT / "docs/performance.md"
PEER = "go"
PIP = "keystart, native"
LAYER = "keystart, layer"
# 1,769 MB of memory are one CPU in Lambda: 128 MB, 177, 442.
SHARES = (0.07, 0.1, 0.25, 1.0)
COLD = "cold page cache"
_PATIENCE = 30.0  # seconds for one start


@dataclass(frozen=True)
class Start:
    """One start: milliseconds from exec, milliseconds of CPU, and the most memory in MB."""

    registered: float
    published: float
    cpu: float
    memory: float


class CannotMeasure(Exception):
    """Something that the measurement needs is not there; the text says what."""


def main() -> int:
    """Runs the command and gives its exit code."""
    options = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="keystart-bench-") as folder:
            if options.write:
                write_report(Path(folder), options.runs)
                return 0
            starts = measure(Path(folder), options.runs, options.secrets, options.latency)
    except CannotMeasure as why:
        print(f"bench: {why}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: [vars(start) for start in all] for name, all in starts.items()}, indent=2))
    else:
        print(table(starts))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measures cold starts of the extension beside a Go extension.",
        epilog="Exit codes: 0 measured; 2 something could not be measured.",
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="starts of each (default: 20)")
    parser.add_argument(
        "--secrets", type=int, default=3, metavar="N", help="how many are fetched (default: 3)"
    )
    parser.add_argument(
        "--latency", type=float, default=30.0, metavar="MS", help="of Secrets Manager (default: 30 ms)"
    )
    parser.add_argument("--json", action="store_true", help="print every start as JSON")
    parser.add_argument(
        "--write", action="store_true", help="measure what docs/performance.md tells, and write it there"
    )
    return parser.parse_args()


def measure(
    folder: Path,
    runs: int,
    secrets: int = 3,
    latency: float = 30.0,
    *,
    only: Sequence[str] = (),
    group: Path | None = None,
    cold: bool = False,
) -> dict[str, list[Start]]:
    """Starts each extension once in turn, `runs` times, after one start of each that does not count.

    `group` is what `share` gave; `cold` empties the page cache before each start.
    """
    cloud = Cloud(folder, latency / 1000)
    wanted = ",".join(f"s{number}=bench/s{number}" for number in range(secrets))
    keystart = Path(sys.executable).with_name("keystart")
    yaml = folder / "keystart.yaml"
    yaml.write_text("version: 1\nsecrets:\n" + "".join(f"  s{n}: bench/s{n}\n" for n in range(secrets)))
    inline = {"KEYSTART_SECRETS": wanted}
    extensions: dict[str, tuple[Path, dict[str, str]]] = {
        PEER: (_go(folder), {"PEER_SECRETS": wanted}),
        LAYER: (EXECUTABLE, inline),
        PIP: (keystart, inline),
        "keystart, native, YAML": (keystart, {"KEYSTART_CONFIG": str(yaml)}),
        "keystart, boto3": (keystart, {**inline, "KEYSTART_SOURCE": "boto3"}),
    }
    if not EXECUTABLE.exists():
        print(f"bench: without {LAYER}: ./dev layer builds it, on Debian 12", file=sys.stderr)
        del extensions[LAYER]
    extensions = {name: one for name, one in extensions.items() if not only or name in only}
    starts: dict[str, list[Start]] = {name: [] for name in extensions}
    for run in range(runs + 1):
        for name, (program, variables) in extensions.items():
            store = folder / "store"
            shutil.rmtree(store, ignore_errors=True)
            variables = {**variables, "KEYSTART_DIR": str(store), "PEER_DIR": str(store)}
            if cold:
                drop_caches()
            start = _start(program, variables, cloud, group)
            if run > 0:
                starts[name].append(start)
        _progress(run, runs)
    return starts


def _go(folder: Path) -> Path:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise CannotMeasure("the Go extension cannot be built: install Go 1.24 or newer (golang-go)")
    program = folder / "peer"
    built = subprocess.run(
        [go, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "."],
        cwd=HERE / "peers/go",
        capture_output=True,
        text=True,
    )
    if built.returncode != 0:
        raise CannotMeasure(f"the Go extension cannot be built:\n{built.stderr}")
    return program


def _start(program: Path, variables: Mapping[str, str], cloud: Cloud, group: Path | None) -> Start:
    cloud.begin()
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **cloud.variables(), **variables}

    began = time.monotonic()
    told, tell = os.pipe()

    def enter(group: Path) -> None:
        # The kernel takes about 20 ms for it, which Lambda has spent long before: the clock starts afterwards.
        group.write_text(str(os.getpid()))
        os.write(tell, struct.pack("d", time.monotonic()))

    process = subprocess.Popen(
        [program],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A process that has something to do before exec starts 2 ms later.
        preexec_fn=None if group is None else partial(enter, group),
    )
    if group is not None:
        (began,) = struct.unpack("d", os.read(told, 8))
    os.close(told)
    os.close(tell)
    ready = cloud.waits(_PATIENCE)
    memory = _peak_memory(process.pid)
    (cloud.shut_down if ready else process.kill)()
    said = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not ready or process.returncode != 0:
        raise CannotMeasure(f"{program.name} ended with {process.returncode}:\n{said}")
    return Start(
        registered=(cloud.events["register"] - began) * 1000,
        published=(cloud.events["next"] - began) * 1000,
        cpu=(used.ru_utime + used.ru_stime) * 1000,
        memory=memory,
    )


def _peak_memory(pid: int) -> float:
    """The most memory that a process had, in MB; what wait4 gives counts this process's own from before the exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def median(starts: Sequence[Start], what: str) -> float:
    values: list[float] = [getattr(start, what) for start in starts]
    return statistics.median(values)


def rows_of(starts: Mapping[str, Sequence[Start]]) -> list[list[str]]:
    """The medians with their quartiles, and each median divided by that of the Go extension."""
    units = {"registered": "ms", "published": "ms", "cpu": "ms CPU", "memory": "MB"}
    rows = [["", *(f"{what} ({unit})" for what, unit in units.items())]]
    for name, all in starts.items():
        row = [name]
        for what in units:
            low, middle, high = statistics.quantiles([getattr(start, what) for start in all], n=4)
            row.append(f"{middle:.1f} [{low:.1f}-{high:.1f}]  {middle / median(starts[PEER], what):.2f} x")
        rows.append(row)
    return rows


def table(starts: Mapping[str, Sequence[Start]]) -> str:
    """The figures as text for a terminal."""
    rows = rows_of(starts)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_report(folder: Path, runs: int) -> None:
    """Measures what docs/performance.md tells, and puts it between its two marks."""
    plain = measure(folder, runs)
    slow = measure(folder, runs, latency=300)
    many = measure(folder, runs, secrets=100)
    tables = {"3 secrets, 30 ms of latency": plain, "3 secrets, 300 ms": slow, "100 secrets, 30 ms": many}
    few = (PEER, LAYER, PIP)
    not_applied = []
    try:
        for part in SHARES:
            with share(part) as group:
                tables[f"{part:g} of a CPU"] = measure(folder, runs, only=few, group=group)
    except NotApplied as why:
        not_applied.append(f"- A share of a CPU (B4) was not applied: {why}.")
    try:
        tables[COLD] = measure(folder, runs, only=few, cold=True)
    except NotApplied as why:
        not_applied.append(f"- A cold page cache (B13) was not applied: {why}.")
    parts = [f"{runs} starts of each, in turn, on {os.cpu_count()} cores; Python {sys.version.split()[0]}."]
    for title, starts in tables.items():
        header, *rows = rows_of(starts)
        lines = [header, ["---"] * len(header), *rows]
        parts.append(f"### {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines))
    judged = [
        f"| {what} | {budget:g} {unit} | {found:.2f} {unit} | {'pass' if found <= budget else '**miss**'} |"
        for what, budget, unit, found in budgets(tables)
    ]
    parts.append("### Budgets\n\n| what | at most | measured | |\n|---|---|---|---|\n" + "\n".join(judged))
    parts += ["\n".join(not_applied)] if not_applied else []
    before, mark, rest = REPORT.read_text().partition("<!-- measured -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    if not (mark and end):
        raise CannotMeasure(f"{REPORT} has no place for the figures")
    REPORT.write_text(before + mark + "\n" + "\n\n".join(parts) + "\n\n" + end + after)
    print(f"bench: {REPORT.relative_to(ROOT)} is written", file=sys.stderr)


def budgets(tables: Mapping[str, Mapping[str, Sequence[Start]]]) -> list[tuple[str, float, str, float]]:
    """What is measured, the most it should be, the unit, and what it is."""
    plain, slow, many, *_ = tables.values()

    def ratio(what: str, of: Sequence[Start], to: Sequence[Start]) -> float:
        return median(of, what) / median(to, what)

    found = []
    for name, registered, published, memory in ((PIP, 25, 1.15, 20), (LAYER, 3, 1.05, 14)):
        if name not in plain:
            continue
        ours, go = plain[name], plain[PEER]
        found += [
            (f"B1 registered: {name}", registered, "ms", median(ours, "registered")),
            (f"B1 registered at 300 ms, to 30 ms: {name}", 1.1, "x", ratio("registered", slow[name], ours)),
            (f"B2 published, to Go: {name}", published, "x", ratio("published", ours, go)),
            (f"B3 CPU to published: {name}", 40, "ms", median(ours, "cpu")),
            (f"B5 peak memory: {name}", memory, "MB", median(ours, "memory")),
            (f"B11 100 secrets, to 3: {name}", 5, "x", ratio("published", many[name], ours)),
        ]
        for title, label, most in (
            ("0.1 of a CPU", "B4 at 0.1 of a CPU", (0.25, 1.5)),
            (COLD, "B13 cold", (0.4, 1.05)),
        ):
            if title in tables:
                ours, go = tables[title][name], tables[title][PEER]
                found.append(
                    (f"{label}, registered, to Go: {name}", most[0], "x", ratio("registered", ours, go))
                )
                found.append(
                    (f"{label}, published, to Go: {name}", most[1], "x", ratio("published", ours, go))
                )
    yaml, go = plain["keystart, native, YAML"], plain[PEER]
    found.append(("B1 registered with YAML, to Go", 1.0, "x", ratio("registered", yaml, go)))
    found.append(("B2 published with YAML, to Go", 1.6, "x", ratio("published", yaml, go)))
    return found


def _progress(run: int, runs: int) -> None:
    if sys.stderr.isatty():
        print(f"\rbench: {run} of {runs}", end="\n" if run == runs else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
