"""Rotates the passwords of real servers under load, with `attempt` and without it. Exit code 1 for a wrong outcome."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.e2e import stage
from tests.servers import mariadb as mariadb_server
from tests.servers import postgresql as postgresql_server

from . import crowd, database, handshakes, model


@dataclass
class Part:
    """The outcome of one part: its lines, its figures as JSON, what is wrong, and the verdict in a sentence."""

    lines: list[str]
    figures: Any
    problems: list[str]
    verdict: str


class Progress:
    """Shows what runs, on a terminal only."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        self.show("")


def postgresql(options: argparse.Namespace, show: Callable[[str], None]) -> Part:
    schedule = database.QUICK if options.quick else database.FULL
    report = database.run(postgresql_server.serve, database.PLANS, schedule, options.seed, show)
    return Part(report.lines(), asdict(report), report.problems, report.verdict())


def dead(options: argparse.Namespace, show: Callable[[str], None]) -> Part:
    plans = [plan for plan in database.PLANS if plan.mode == "attempt"]
    seconds = database.QUICK_DEAD if options.quick else database.FULL_DEAD
    report = database.run_dead(postgresql_server.serve, plans, seconds, options.seed, show)
    return Part([], asdict(report), report.problems, report.line())


def simulation(options: argparse.Namespace, show: Callable[[str], None]) -> Part:
    runs, environments = (4, (1, 10, 100)) if options.quick else (40, (1, 10, 20, 50, 100, 1000))
    show("simulating environments")
    lines = [*model.kinds_table(options.seed), "", *model.locks_table(options.seed, runs, environments)]
    verdict = f"{runs} simulated rotations of each kind for 1 to {environments[-1]} environments"
    return Part(lines, lines, [], verdict)


def mariadb(options: argparse.Namespace, show: Callable[[str], None]) -> Part:
    rotations = 2 if options.quick else 10
    locking = [f"--max-password-errors={crowd.MAX_ERRORS}"]
    outcomes = [
        outcome
        for mode in crowd.MODES
        for outcome in crowd.run(mariadb_server.serve(locking), mode, rotations, show)
    ]
    problems = [problem for outcome in outcomes for problem in outcome.problems()]
    lines = [crowd.HEAD, *(outcome.line() for outcome in outcomes)]
    return Part(lines, [asdict(outcome) for outcome in outcomes], problems, crowd.verdict(outcomes))


def mutual_tls(options: argparse.Namespace, show: Callable[[str], None]) -> Part:
    outcomes = []
    for layout, mode, number in handshakes.QUICK if options.quick else handshakes.FULL:
        show(f"mutual TLS: {number} handshakes, {layout}, {mode}")
        outcomes.append(handshakes.run(layout, mode, number))
    problems = [problem for outcome in outcomes for problem in outcome.problems()]
    lines = [handshakes.HEAD, *(outcome.line() for outcome in outcomes)]
    return Part(lines, [asdict(outcome) for outcome in outcomes], problems, handshakes.verdict(outcomes))


PARTS: dict[str, Callable[[argparse.Namespace, Callable[[str], None]], Part]] = {
    "postgresql": postgresql,
    "dead": dead,
    "mariadb": mariadb,
    "mutual-tls": mutual_tls,
    "simulation": simulation,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev rotation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes instead of an hour")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--seed", type=int, default=1, help="of the load")
    parser.add_argument("--only", choices=PARTS, action="append", help="run this part only; may be repeated")
    options = parser.parse_args()
    stage.without_aws_settings()
    began = time.monotonic()
    progress = Progress()
    parts = {}
    for name in options.only or PARTS:
        parts[name] = PARTS[name](options, progress.show)
        progress.clear()
        if not options.json:
            print("\n".join([*parts[name].lines, ""]) if parts[name].lines else "", flush=True)
    problems = [f"{name}: {problem}" for name, part in parts.items() for problem in part.problems]
    if options.json:
        figures = {name: part.figures for name, part in parts.items()}
        print(json.dumps({**figures, "problems": problems}, indent=1))
    else:
        for problem in problems:
            print(f"✗ {problem}")
        verdict = "; ".join(part.verdict for part in parts.values() if part.verdict)
        print(f"{'✗' if problems else '✓'} {verdict} ({time.monotonic() - began:.0f} s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
