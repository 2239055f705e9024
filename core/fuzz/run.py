"""The command that builds the fuzz targets and runs each for a while, from what the conformance cases hold."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# A separate build folder: everything here is built for another compiler, with a sanitizer.
WORK = ROOT / "target/fuzz-core"
TARGETS = ("json", "manifest", "state", "name")
# The longest input in bytes, and the seconds that one input may take: a hundred times what it needs.
LONGEST, SLOWEST = 4096, 5


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="./dev fuzz-core",
        description="Fuzzes the parsers of the core by coverage, with libFuzzer.",
        epilog="Exit codes: 0 nothing found; 1 a finding, whose input is kept; 2 the arguments are wrong; "
        "3 what it needs is missing.",
    )
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="for each target (default 60)")
    parser.add_argument(
        "--target", action="append", choices=TARGETS, help="may be repeated; all when left out"
    )
    options = parser.parse_args()
    missing = _missing()
    if missing:
        print(f"fuzz-core: {missing}", file=sys.stderr)
        return 3
    subprocess.run([sys.executable, "-m", "core.fuzz.seeds", str(WORK / "seeds")], cwd=ROOT, check=True)
    found = [target for target in options.target or TARGETS if not _run(target, options.seconds)]
    for target in found:
        print(f"fuzz-core: {target} FAILED; its input is in {WORK}/{target}-*", file=sys.stderr)
    return 1 if found else 0


def _missing() -> str | None:
    """Returns what has to be installed, as a sentence."""
    if shutil.which("rustup") is None:
        return "rustup is missing: a nightly compiler is needed, and rustup brings it (https://rustup.rs)"
    if (
        subprocess.run(["rustup", "run", "nightly", "rustc", "--version"], capture_output=True).returncode
        != 0
    ):
        return "a nightly compiler is missing: rustup toolchain install nightly"
    if subprocess.run(["cargo", "fuzz", "--version"], capture_output=True).returncode != 0:
        return "cargo-fuzz is missing: cargo install cargo-fuzz"
    return None


def _run(target: str, seconds: int) -> bool:
    corpus = WORK / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    libfuzzer = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST}",
        f"-dict={HERE / 'tokens.dict'}",
        f"-artifact_prefix={WORK}/{target}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    command = ["cargo", "+nightly", "fuzz", "run", "--fuzz-dir", str(HERE), target, str(corpus)]
    print(f"fuzz-core: {target}, {seconds} s", flush=True)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(WORK / "build")}
    ended = subprocess.run([*command, str(WORK / "seeds" / target), "--", *libfuzzer], env=environment)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
