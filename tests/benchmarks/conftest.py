"""Lets the tests of this folder import the benchmarks and what those import."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks/cold_start", "benchmarks/readers", "tests/e2e")]
