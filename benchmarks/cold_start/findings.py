"""The findings of one run of the benchmark, and how much it measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.readers import bench
from tests.fakes.timed import TimedCloud

from .conditions import MB_OF_A_CPU, NotAppliedError
from .extensions import BOTO3, GO, ONE_FILE, PIP, WITH_FILES
from .inits import BARE, LANGUAGES, OURS, PEER, SDK, Case, Inits, measure_inits
from .starts import Starts, invocations, measure, measure_latencies, wipes

_Found = TypeVar("_Found")
WITH, MORE, WITHOUT = (OURS, 128), (OURS, 192), (SDK, 128)  # the columns of Square's table, with their MB
_SWEPT = (GO, ONE_FILE, PIP, BOTO3)
MEMORIES = (128, 256, 512, MB_OF_A_CPU)  # the rows of the table of functions
FEW_MEMORIES = (512, MB_OF_A_CPU)  # those of a quick run


@dataclass(frozen=True)
class Findings:
    """The starts by milliseconds of latency, by number of secrets and by share of a CPU, and the other findings.

    `invocations` and `wipes` are milliseconds. A `NotAppliedError` stands for a condition that the machine does not
    allow.
    """

    runs: int
    latencies: Mapping[float, Starts]
    files: Starts
    secrets: Mapping[int, Starts]
    shares: Mapping[float, Starts] | NotAppliedError
    cold: Starts | NotAppliedError
    invocations: Sequence[float]
    wipes: Sequence[float]
    inits: Inits | NotAppliedError
    square: Inits | NotAppliedError
    readers: Sequence[bench.Figure]


def everything(folder: Path, cloud: TimedCloud, runs: int) -> Findings:
    """Measures all budgets with `runs` starts each, and the figures for the plots alone with half of them."""
    half = max(2, runs // 2)
    # First, because they need most of what may be missing.
    inits = _tried(lambda: measure_inits(folder, cloud, runs, functions()))
    latencies = {
        **measure_latencies(folder, cloud, runs, (30.0, 300.0)),
        **measure_latencies(folder, cloud, half, (0.0, 100.0)),
    }
    plain = latencies[30.0]
    secrets = {
        number: measure(folder, cloud, half, secrets=number, only=_SWEPT) for number in (1, 10, 30, 500)
    }
    secrets |= {3: plain, 100: measure(folder, cloud, runs, secrets=100)}
    return Findings(
        runs,
        latencies,
        measure(folder, cloud, runs, only=WITH_FILES),
        secrets,
        _tried(
            lambda: {
                share: measure(folder, cloud, runs if share == 0.1 else half, share=share, only=_SWEPT)
                for share in (0.07, 0.1, 0.25, 1.0)
            }
        ),
        _tried(lambda: measure(folder, cloud, runs, cold=True, only=_SWEPT)),
        invocations(folder, cloud, runs),
        wipes(folder, cloud, runs),
        inits,
        _tried(lambda: measure_inits(folder, cloud, 10, _square(LANGUAGES))),
        bench.measure(LANGUAGES, quick=False),
    )


def quick(folder: Path, cloud: TimedCloud) -> Findings:
    """Measures each budget a few times in less than a minute. It shows that it works, and the order of magnitude."""
    both = (GO, ONE_FILE, PIP)
    plain = measure(folder, cloud, 3)
    return Findings(
        3,
        {30.0: plain, 300.0: measure(folder, cloud, 2, latency=300, only=both)},
        measure(folder, cloud, 3, only=WITH_FILES),
        {3: plain, 100: measure(folder, cloud, 2, secrets=100, only=both)},
        _tried(lambda: {0.1: measure(folder, cloud, 2, share=0.1, only=both)}),
        _tried(lambda: measure(folder, cloud, 2, cold=True, only=both)),
        invocations(folder, cloud, 3),
        wipes(folder, cloud, 3),
        _tried(lambda: measure_inits(folder, cloud, 1, functions(FEW_MEMORIES), warm=True)),
        _tried(lambda: measure_inits(folder, cloud, 1, _square(["ruby"]), warm=True)),
        bench.measure(LANGUAGES, quick=True),
    )


def functions(memories: Sequence[int] = MEMORIES) -> list[Case]:
    """Returns every function with each memory, and with AWS's SDK for the chart alone."""
    compared = [
        Case(language, variant, memory)
        for memory in memories
        for language in LANGUAGES
        for variant in (BARE, PEER, OURS)
    ]
    return compared + [Case(language, SDK) for language in LANGUAGES]


def _square(languages: Sequence[str]) -> list[Case]:
    return [Case(language, *column) for language in languages for column in (WITH, MORE, WITHOUT)]


def _tried(measurement: Callable[[], _Found]) -> _Found | NotAppliedError:
    try:
        return measurement()
    except NotAppliedError as why:
        return why
