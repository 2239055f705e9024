"""All tests of this repository, except those next to their code in Rust, Node and Ruby."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
