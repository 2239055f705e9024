"""Counts the instructions that a reader adds to a bare runtime, and those of a start of the layer's executable.

A reader's are those from loading it to its third read, the executable's those from exec until it has published. That
start trusts the authority in AWS_CA_BUNDLE. Another one trusts the bundled ones, and is counted until it has refused.

A busy machine does not change these counts, so a change of one percent is seen. Valgrind counts them (cachegrind
without a cache). instructions.json has the budget: the counts of the runtimes that it names.

Exit codes: 0 all counts are within the budget, or were written; 1 a count is not; 2 nothing could be counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cold_start.extensions import CannotMeasureError
from benchmarks.cold_start.instructions import count_refused_start, count_start

from .bench import ENDS, Stand, ruby, stand

BUDGET = Path(__file__).parent / "instructions.json"
TOLERANCE = 0.03
RUNS = 5
# No thread of V8 works beside the one that is counted, and its hashes are the same in each run.
NODE = ("node", "--single-threaded", "--v8-pool-size=0", "--hash-seed=1", "--random-seed=1")
VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
LANGUAGES = ("python", "node", "ruby")
EXECUTABLE = "executable"
PARTS = (*LANGUAGES, EXECUTABLE)
_COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


class CountError(Exception):
    """Nothing can be counted here."""


@dataclass(frozen=True)
class Counts:
    """Median instructions above the bare runtime, by what was measured, and where."""

    machine: str
    runtimes: dict[str, str]
    counts: dict[str, int]


def programs(place: Stand) -> dict[str, tuple[list[str], list[str]]]:
    """Returns by name the command of a bare runtime, and that of one that reads three secrets."""
    javascript = f"new Keystart({{ root: '{place.root}' }})"
    reads = "for (const name of ['stripe/key', 'db', 'limits']) client.get(name);"
    texts = {
        # As AWS's runtime client does: an ES module that has required some of Node's modules and one more file.
        "runtime.mjs": (
            "import { createRequire } from 'node:module';\n"
            "const require = createRequire(import.meta.url);\n"
            "for (const name of ['util', 'net', 'http', 'fs', 'path', './runtime.cjs']) require(name);\n"
            "const file = process.argv[2];\n"
            "if (file.endsWith('.mjs')) await import(file);\nelse require(file);\n"
        ),
        "runtime.cjs": "",
        "counted.cjs": (
            f"const {{ Keystart }} = require('keystart');\nconst client = {javascript};\n{reads}\n{ENDS['cjs']}\n"
        ),
        "counted.mjs": (
            f"import {{ Keystart }} from 'keystart';\nconst client = {javascript};\n{reads}\n{ENDS['mjs']}\n"
        ),
        "counted.rb": (
            f'require "keystart"\nclient = Keystart::Client.new(root: "{place.root}")\n'
            f'["stripe/key", "db", "limits"].each {{ |name| client.get(name) }}\n{ENDS[".rb"]}\n'
        ),
        "empty.py": f"import os\n{ENDS['.py']}\n",
        "counted.py": (
            f'import os\nimport keystart\nclient = keystart.Keystart("{place.root}")\n'
            f'for name in ("stripe/key", "db", "limits"):\n    client.get(name)\n{ENDS[".py"]}\n'
        ),
    }
    for name, text in texts.items():
        (place.project / name).write_text(text)
    python = [sys.executable]
    node = [*NODE, "runtime.mjs"]
    return {
        "python": ([*python, "empty.py"], [*python, "counted.py"]),
        "node: require": ([*node, "./empty.cjs"], [*node, "./counted.cjs"]),
        "node: import": ([*node, "./empty.mjs"], [*node, "./counted.mjs"]),
        "ruby": ([*ruby(), "empty.rb"], [*ruby(), "counted.rb"]),
    }


def count(parts: Sequence[str] = PARTS, runs: int = RUNS) -> Counts:
    """Counts the readers of languages, and the executable. Raises `CountError`."""
    if shutil.which("valgrind") is None:
        raise CountError("there is no valgrind to count instructions with")
    found = {}
    with stand(changes=False) as place:
        for name, (bare, reading) in programs(place).items():
            if name.split(":")[0] in parts:
                added = [instructions(reading, place) - instructions(bare, place) for _ in range(runs)]
                found[name] = round(statistics.median(added))
    if EXECUTABLE in parts:
        try:
            found[EXECUTABLE] = round(statistics.median(count_start() for _ in range(runs)))
            refused = (count_refused_start() for _ in range(runs))
            found[f"{EXECUTABLE}: bundled authorities"] = round(statistics.median(refused))
        except CannotMeasureError as error:
            raise CountError(str(error)) from error
    return Counts(platform.machine(), runtimes(parts), found)


def instructions(command: Sequence[str], place: Stand) -> int:
    """Returns how many instructions a process takes."""
    # Python keeps what it compiled, as in a package that was installed: the median has no run that compiles.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(place.project / "compiled")}
    environment = {**os.environ, "PYTHONHASHSEED": "0", **compiled}
    counted = subprocess.run(
        [*VALGRIND, *command], cwd=place.project, env=environment, capture_output=True, text=True
    )
    found = _COUNT.search(counted.stderr)
    if counted.returncode or found is None:
        raise CountError(f"{' '.join(command)} ended with {counted.returncode}: {counted.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def runtimes(parts: Sequence[str]) -> dict[str, str]:
    """Returns the versions of the runtimes, and of the executable's compiler, on which the counts depend."""
    commands = {
        "node": ["node", "--version"],
        "ruby": ["ruby", "-e", "print RUBY_VERSION"],
        EXECUTABLE: ["rustc", "--version"],
    }
    found = {"python": platform.python_version()} if "python" in parts else {}
    for part in parts:
        if part in commands:
            output = subprocess.run(commands[part], check=True, capture_output=True, text=True).stdout
            found[part] = output.strip()
    return found


def read_budget() -> Counts:
    """Returns the counts in the repository."""
    return Counts(**json.loads(BUDGET.read_text()))


def write_budget(counts: Counts) -> None:
    """Replaces the counts of what was measured, and keeps the others."""
    known = read_budget() if BUDGET.exists() else Counts(counts.machine, {}, {})
    whole = Counts(counts.machine, {**known.runtimes, **counts.runtimes}, {**known.counts, **counts.counts})
    BUDGET.write_text(json.dumps(asdict(whole), indent=2) + "\n")


def elsewhere(counts: Counts, budget: Counts) -> list[str]:
    """Returns why counts cannot be compared with the budget: one sentence for each language and for the machine."""
    if counts.machine != budget.machine:
        return [f"this machine is {counts.machine}, and the budget is for {budget.machine}"]
    return [
        f"{language} is {version} here, and the budget is for {budget.runtimes.get(language)}"
        for language, version in counts.runtimes.items()
        if version != budget.runtimes.get(language)
    ]


def misses(counts: Mapping[str, int], budget: Mapping[str, int]) -> list[str]:
    """Returns which counts are more than the tolerance away from the budget, in either direction."""
    return [
        f"{name}: {counted:,} instructions, {counted / budget[name] - 1:+.1%} of the budget's {budget[name]:,}"
        for name, counted in counts.items()
        if name in budget and abs(counted / budget[name] - 1) > TOLERANCE
    ]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each program (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write the counts into {BUDGET.name}")
    options = parser.parse_args(arguments)
    try:
        counted = count(options.part or PARTS, options.runs)
    except CountError as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 2
    for name, number in counted.counts.items():
        print(f"{name:32} {number:12,}")
    if options.write:
        write_budget(counted)
        return 0
    budget = read_budget()
    for reason in elsewhere(counted, budget):
        print(f"instructions: not compared: {reason}", file=sys.stderr)
    wrong = [] if elsewhere(counted, budget) else misses(counted.counts, budget.counts)
    for miss in wrong:
        print(f"instructions: {miss}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
