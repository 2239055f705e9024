"""The soak: readers in every language beside a writer that publishes as fast as it can.

    ./dev soak --seconds 120

Four times a quarter of the time: one writer; one that answers requests, and publishes values that are too old; writers
that stop as at SHUTDOWN and start again; writers that are killed at random moments. It ends with 0 when no reader saw
anything that was not published, older than before, or mixed, and got no error except those that the contract allows;
with 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

from .reading import LANGUAGES, LONG, WRITER, BrokenError, Report, reading

COLUMNS = ("reads", "pairs", "snapshots", "generations", "waits", "refreshes", "logins")
# The phases, and the codes that readers may get in each.
PHASES: dict[str, Sequence[str]] = {
    "one writer": (),
    # The writer has ended, or a busy machine let it publish nothing within the two seconds of 11.7.
    "asked": ("refresh_unavailable", "refresh_failed", "secret_stale"),
    "stopped": ("not_ready: stopped",),
    "killed": (),
}


@dataclass
class Phase:
    """The result of one phase."""

    name: str
    published: int
    writers: int
    reports: list[Report]


class Writers:
    """Writers of one store, one after the other; checks that their numbers never fall."""

    def __init__(self, root: Path, run: str, chance: random.Random, *, answers: bool = False) -> None:
        self._answers = answers
        self._root = root
        self._run = run
        self._chance = chance
        self._stop = root.parent / "stop-writing"
        self.started = 0
        self.last = 0

    def write(self, seconds: float) -> None:
        """Runs one writer that is asked to end."""
        with self._start() as writer:
            self._ended_by_itself(writer, seconds)

    def write_and_stop(self) -> None:
        """Runs one writer that wipes the store after some generations."""
        with self._start(publishes=self._chance.randint(1, 60)) as writer:
            self._ended_by_itself(writer, LONG)

    def write_and_be_killed(self) -> None:
        """Runs one writer that is killed at any point."""
        with self._start() as writer:
            try:
                # From before its first step until late in its publishing. Starting Python takes
                # part of that time.
                writer.communicate(timeout=self._chance.uniform(0.1, 1.2))
            except subprocess.TimeoutExpired:
                writer.kill()
                writer.communicate()
        self._see(self._generation())

    def _start(self, **more: int) -> subprocess.Popen[str]:
        self._stop.unlink(missing_ok=True)
        self.started += 1
        given = {
            "root": str(self._root), "run": self._run, "stop": str(self._stop), "answers": self._answers,
            "seed": self._chance.getrandbits(32),
        }  # fmt: skip
        program = [*WRITER, json.dumps({**given, **more})]
        return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def _ended_by_itself(self, writer: subprocess.Popen[str], seconds: float) -> None:
        while writer.poll() is None and self._generation() <= self.last:
            time.sleep(0.01)  # it starts
        try:
            printed, _ = writer.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._stop.touch()
            printed, _ = writer.communicate(timeout=LONG)
        if writer.returncode:
            raise BrokenError(f"a writer ended with {writer.returncode}")
        self._see(json.loads(printed)["last"])

    def _generation(self) -> int:
        try:
            return int(json.loads((self._root / "state.json").read_text())["generation"])
        except FileNotFoundError:
            return 0  # killed before it wrote for the first time

    def _see(self, number: int) -> None:
        if number < self.last:
            raise BrokenError(f"a writer ended at generation {number} after one had reached {self.last}")
        self.last = number


def soak(
    seconds: float, seed: int, languages: Sequence[str] = LANGUAGES, threads: int = 2, children: int = 2
) -> list[Phase]:
    """Runs the four phases."""
    phases = []
    part = seconds / len(PHASES)
    for name, allowed in PHASES.items():
        with tempfile.TemporaryDirectory(prefix="keystart-soak-") as folder:
            root = Path(folder, "store")
            run = secrets.token_hex(8)
            asks = name == "asked"
            writers = Writers(root, run, random.Random(f"{seed} {name}"), answers=asks)
            # A first generation, and a root: without a root the readers know at once that nobody writes.
            writers.write(0)
            with reading(
                root,
                run,
                languages=languages,
                threads=threads,
                children=children,
                allowed=allowed,
                asks=asks,
            ) as readers:
                readers.wait_until_reading()
                until = time.monotonic() + part
                while time.monotonic() < until:
                    if name in ("one writer", "asked"):
                        writers.write(part)
                    elif name == "stopped":
                        writers.write_and_stop()
                    else:
                        writers.write_and_be_killed()
                # Publish once more for readers that wait for a set: the last writer has stopped, or was killed.
                writers.write(0)
            phases.append(Phase(name, writers.last, writers.started, readers.reports))
            print(
                f"{name}: {writers.last} generations by {writers.started} writers",
                file=sys.stderr,
                flush=True,
            )
    return phases


def table(phases: Sequence[Phase]) -> str:
    """Returns the counts of each language in each phase, and what was wrong."""
    lines = ["".join([f"{'phase':12}{'reader':8}", *(f"{column:>13}" for column in COLUMNS), "  errors"])]
    for phase in phases:
        for seen in phase.reports:
            errors = ", ".join(f"{code} {count}" for code, count in sorted(seen.errors.items()))
            numbers = "".join(f"{seen.counts[column]:13,}" for column in COLUMNS)
            lines.append(f"{phase.name:12}{seen.language:8}{numbers}  {errors or 'none'}")
            lines.extend(f"  WRONG {what}" for what in seen.wrong)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="./dev soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long in all (default: %(default)g)")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().getrandbits(32),
        help="repeats an earlier run's choices",
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of each reader program (default: %(default)s)"
    )
    parser.add_argument(
        "--children", type=int, default=2, help="processes that each forks or starts (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    given = parser.parse_args(arguments)
    print(f"soak: seed {given.seed}, {given.seconds:g} s", file=sys.stderr, flush=True)
    try:
        phases = soak(given.seconds, given.seed, threads=given.threads, children=given.children)
    except BrokenError as broken:
        print(f"soak: {broken}", file=sys.stderr)
        return 1
    wrongs = sum(seen.wrongs for phase in phases for seen in phase.reports)
    reads = sum(seen.counts["reads"] for phase in phases for seen in phase.reports)
    published = sum(phase.published for phase in phases)
    writers = sum(phase.writers for phase in phases)
    if given.json:
        described = [
            {
                "phase": p.name,
                "published": p.published,
                "writers": p.writers,
                "readers": [vars(r) for r in p.reports],
            }
            for p in phases
        ]
        print(
            json.dumps(
                {"seed": given.seed, "seconds": given.seconds, "wrong": wrongs, "phases": described}, indent=2
            )
        )
    else:
        print(table(phases))
        print(
            f"soak: {reads:,} reads of {published:,} generations by {writers} writers, {wrongs} wrong; "
            f"seed {given.seed}"
        )
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
