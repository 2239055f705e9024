"""Simulates when the last of 1,000 environments is new after AWSCURRENT moved: by a roll, or by a ttl.

It is a model with its own clock, and asks AWS nothing. docs/roll.md has what it prints, and names the assumptions.

    python -m benchmarks.roll
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import NamedTuple

from keystart_extension.deploy.update import starts

ENVIRONMENTS = 1_000
_MOVES = 200  # of the label, each simulated on its own
_SEED = 27

# The assumptions, in seconds. A pair is a range.
_EVENT = 0.5
_BUILD = (20.0, 60.0)
_REQUEST = 0.1
_APPLIED = (1.0, 10.0)
_INIT = 1.0
_BETWEEN_CALLS = 1.0  # of one environment, on average
_TTL = 300.0
_SHORTEST_TTL = 0.9  # of it: each environment shortens it at random
_SCHEDULE = 3600.0
# Lambda's quota for all that reads and writes functions except GetFunction, in requests a second.
_CONTROL_PLANE = 15


class Outcome(NamedTuple):
    """What became of one move of the label."""

    seconds: float
    """Until the last environment is new."""
    lambda_requests: int
    secret_requests: int


def roll_outcome(
    functions: int, over: float, chance: random.Random, *, is_event_lost: bool = False
) -> Outcome:
    """Rolls functions that share the environments evenly."""
    clock = chance.uniform(0, _SCHEDULE) if is_event_lost else _EVENT
    clock += chance.uniform(*_BUILD)
    # It looks at one function after the other: GetFunction, and ListAliases, which shares a quota.
    clock += functions * max(2 * _REQUEST, 1 / _CONTROL_PLANE) + _REQUEST
    last = 0.0
    for start in starts(functions, over):
        applied = clock + start + _REQUEST + chance.uniform(*_APPLIED)
        for _ in range(ENVIRONMENTS // functions):
            last = max(last, applied + chance.expovariate(1 / _BETWEEN_CALLS) + _INIT)
    pages = -(-functions // 100)  # of the tagging API
    # GetFunction and ListAliases to look, UpdateFunctionConfiguration, and GetFunction to wait.
    return Outcome(last, 4 * functions + pages, 1 + ENVIRONMENTS)


def refresh_outcome(chance: random.Random) -> Outcome:
    """Lets each environment find the version when its ttl has passed."""
    last = 0.0
    for _ in range(ENVIRONMENTS):
        ttl = _TTL * chance.uniform(_SHORTEST_TTL, 1)
        due = ttl * chance.random()  # the label moves at any time between two fetches
        last = max(last, due + chance.expovariate(1 / _BETWEEN_CALLS) + _REQUEST)
    return Outcome(last, 0, ENVIRONMENTS)


CASES: dict[str, Callable[[random.Random], Outcome]] = {
    "roll, 1 function of 1,000 environments": lambda chance: roll_outcome(1, 300, chance),
    "roll, 10 functions of 100, over 5m": lambda chance: roll_outcome(10, 300, chance),
    "roll, 100 functions of 10, over 5m": lambda chance: roll_outcome(100, 300, chance),
    "roll, 100 functions of 10, over 0s": lambda chance: roll_outcome(100, 0, chance),
    "roll, 1,000 functions of 1, over 5m": lambda chance: roll_outcome(1_000, 300, chance),
    "the same, event lost, schedule of 1h": lambda chance: roll_outcome(
        1_000, 300, chance, is_event_lost=True
    ),
    "ttl: 5m": refresh_outcome,
}


def report() -> str:
    """Returns the table."""
    lines = [
        f"{ENVIRONMENTS:,} environments, {_MOVES} moves of the label",
        "",
        f"{'':38}  {'last new environment':>21}  {'requests of one move':>22}",
        f"{'':38}  {'median':>10} {'longest':>10}  {'Lambda':>8} {'Secrets Mgr.':>13}",
    ]
    for name, case in CASES.items():
        chance = random.Random(f"{_SEED} {name}")  # noqa: S311 no secret depends on it
        moves = [case(chance) for _ in range(_MOVES)]
        seconds = [move.seconds for move in moves]
        lines.append(
            f"{name:38}  {statistics.median(seconds):>8.0f} s {max(seconds):>8.0f} s"
            f"  {moves[0].lambda_requests:>8,} {moves[0].secret_requests:>13,}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
