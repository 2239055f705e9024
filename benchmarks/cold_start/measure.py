"""Measures cold starts: of extensions from exec to registered and published, and of functions that need secrets.

It is not a test: machines are noisy. So every figure is a median with its quartiles, peers run in turn, and the
figure that counts is the ratio to the Go extension of the same run.

Exit codes: 0 measured, even if a budget is missed; 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.lambda_simulator import SimulatorError
from tests.fakes.timed import TimedCloud

from . import report
from .conditions import NotAppliedError
from .extensions import CannotMeasureError, store
from .findings import FEW_MEMORIES, MEMORIES, everything, functions, quick
from .inits import measure_inits
from .starts import measure


def main() -> int:
    """Runs the command and returns its exit code."""
    options = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="keystart-bench-") as name, ExitStack() as closing:
            folder = Path(name)
            closing.callback(shutil.rmtree, store(folder).parent, ignore_errors=True)
            _run(folder, options)
    except (CannotMeasureError, NotAppliedError, SimulatorError, subprocess.CalledProcessError) as why:
        print(f"bench: {why}", file=sys.stderr)
        return 2
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Holds cold starts, functions and readers to their budgets. Takes some 25 minutes, or less:",
        epilog="Exit codes: 0 measured, even when a budget is missed; 2 something could not be measured.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="print ratios of few runs, in less than a minute"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/internals/performance.md, its plots, and the Inits of README.md and docs/performance.md",
    )
    parser.add_argument(
        "--functions",
        action="store_true",
        help="measure the Init of functions alone, in 5 minutes, or with --quick in one",
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="starts of each (default: 20)")
    one = parser.add_argument_group("one table of extensions only", "with any of these:")
    one.add_argument("--secrets", type=int, metavar="N", help="how many are fetched (default: 3)")
    one.add_argument("--latency", type=float, metavar="MS", help="of Secrets Manager (default: 30 ms)")
    one.add_argument("--share", type=float, metavar="X", help="of a CPU, by a cgroup; 0.07 is that of 128 MB")
    one.add_argument("--cold", action="store_true", help="empty the page cache before each start")
    one.add_argument("--json", action="store_true", help="print every start as JSON")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--write needs the figures of all runs: leave out --quick")
    return options


def _run(folder: Path, options: argparse.Namespace) -> None:
    cloud = TimedCloud(folder)
    one = (options.secrets, options.latency, options.share, options.cold or None, options.json or None)
    if any(option is not None for option in one):
        starts = measure(
            folder,
            cloud,
            options.runs,
            secrets=options.secrets or 3,
            latency=30.0 if options.latency is None else options.latency,
            share=options.share,
            cold=options.cold,
        )
        print(report.as_json(starts) if options.json else report.columns(report.starts_rows(starts)))
    elif options.functions:
        memories, runs = (FEW_MEMORIES, 3) if options.quick else (MEMORIES, options.runs)
        inits = measure_inits(folder, cloud, runs, functions(memories))
        print(report.inits_as_text(inits))
        if options.write:
            report.write_inits(inits)
            print("bench: the Inits of functions are written, and their chart", file=sys.stderr)
    elif options.quick:
        print(report.as_ratios(quick(folder, cloud)))
    else:
        found = everything(folder, cloud, options.runs)
        print(report.as_text(found))
        if options.write:
            report.write(found)
            print(f"bench: {report.PAGE.name} and its plots are written", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
