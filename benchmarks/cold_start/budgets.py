"""Compares the findings with the budgets for time and size. A miss ends nothing, because busy machines miss."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .conditions import MB_OF_A_CPU, NotAppliedError
from .extensions import GO, GO_SQUARE, GO_YAML, ONE_FILE, PIP, PIP_SQUARE, SQUARE, YAML
from .findings import WITH, WITHOUT, Findings
from .inits import BARE, LANGUAGES, OURS, PEER, SDK, Case, Init, Inits, not_there
from .starts import Start, Starts, median


@dataclass(frozen=True)
class Budget:
    """A budget: what is measured, its limit (the most, or with `least` the least), and the finding.

    `why_not` says why it was not judged; then `found` may be None.
    """

    number: str
    what: str
    limit: float
    unit: str
    found: float | None
    why_not: str = ""
    least: bool = False

    @property
    def verdict(self) -> str:
        """Returns `pass`, `miss` or `not applied`."""
        if self.found is None or self.why_not:
            return "not applied"
        return "pass" if (self.found >= self.limit if self.least else self.found <= self.limit) else "miss"

    @property
    def allowed(self) -> str:
        """Returns the limit as text."""
        return f"{'≥' if self.least else '≤'} {self.limit:g} {self.unit}"


def budgets(found: Findings) -> list[Budget]:
    """Returns every budget in order, for the interpreter's process and, if it was built, the layer's executable."""
    judged = [
        *_starts(found),
        *_scarce(found),
        *_inits(found),
        *_readers(found),
        _invocation(found),
        _wipe(found),
    ]
    return sorted(judged, key=lambda budget: int(budget.number[1:]))  # a stable sort


def _starts(found: Findings) -> Iterator[Budget]:
    plain, slow, many = found.latencies[30.0], found.latencies[300.0], found.secrets[100]
    for ours, registered, published, memory in ((PIP, 25.0, 1.15, 20.0), (ONE_FILE, 2.0, 0.9, 12.0)):
        if ours not in plain:
            yield Budget("B1", f"{ours}: registered", registered, "ms", None, "it is not built here")
            continue
        mine = plain[ours]
        slower = _ratio("registered", slow[ours], mine)
        yield Budget("B1", f"{ours}: registered", registered, "ms", median(mine, "registered"))
        yield Budget("B1", f"{ours}: registered at 300 ms of latency, to 30 ms", 1.1, "x", slower)
        yield Budget("B2", f"{ours}: published, to Go", published, "x", _ratio("published", mine, plain[GO]))
        if ours == ONE_FILE:
            yield Budget("B3", f"{ours}: CPU to published, to Go", 1.0, "x", _ratio("cpu", mine, plain[GO]))
        else:
            yield Budget("B3", f"{ours}: CPU to published", 40, "ms", median(mine, "cpu"))
        yield Budget("B5", f"{ours}: peak memory", memory, "MB", median(mine, "memory"))
        more = _ratio("published", many[ours], mine)
        yield Budget("B11", f"{ours}: published, 100 secrets to 3", 5, "x", more)
    for what, limit in (("registered", 1.0), ("published", 1.6)):
        ratio = _ratio(what, found.files[YAML], found.files[GO_YAML])
        yield Budget("B1", f"{YAML}: {what}, to Go with YAML", limit, "x", ratio)
    for ours in (SQUARE, PIP_SQUARE):
        if ours in found.files:
            # Square's functions start once their secrets exist: one figure is both.
            ratio = _ratio("registered", found.files[ours], found.files[GO_SQUARE])
            yield Budget("B1", f"{ours}: registered, to Go with Square's file", 1.0, "x", ratio)


def _scarce(found: Findings) -> Iterator[Budget]:
    """Returns B4 and B13: little CPU, and a cold page cache."""
    little = found.shares if isinstance(found.shares, NotAppliedError) else found.shares[0.1]
    for number, where, starts, registered, published in (
        ("B4", "CPU quota 0.1", little, 0.25, {PIP: 1.5, ONE_FILE: 0.9}),
        ("B13", "cold page cache", found.cold, 0.4, {PIP: 1.05, ONE_FILE: 1.05}),
    ):
        for ours in _there(found.latencies[30.0]):
            for what, limit in (("registered", registered), ("published", published[ours])):
                title = f"{ours}: {what}, {where}, to Go"
                if isinstance(starts, NotAppliedError):
                    yield Budget(number, title, limit, "x", None, str(starts))
                else:
                    yield Budget(number, title, limit, "x", _ratio(what, starts[ours], starts[GO]))


def _inits(found: Findings) -> Iterator[Budget]:
    """Returns B6 and B7: what a function sees."""
    if isinstance(found.inits, NotAppliedError):
        yield Budget("B6", "Init of functions", 0.9, "x", None, str(found.inits))
    else:
        yield from _functions(found.inits)
    for language in LANGUAGES:
        for what, title, limit in (("whole", "Init", 60), ("duration", "duration", 40)):
            text = f"{language}: {title} at 128 MB, reduction against the SDK in init"
            value, why_not = _reduction(found, language, what)
            yield Budget("B7", text, limit, "%", value, why_not, least=True)


def _functions(inits: Inits) -> Iterator[Budget]:
    """Returns B6: Init with secrets, beside the Go extension with plain files, and beside no secrets."""
    for language, memory in sorted_functions(inits):
        what = f"{language}, {memory} MB: Init with Keystart, to that with"
        yield Budget("B6", f"{what} Go and plain files", 0.9, "x", init_ratio(inits, language, memory, PEER))
        smallest, limit = (MB_OF_A_CPU, 1.25) if language == "python" else (512, 1.15)
        if memory >= smallest:
            yield Budget("B6", f"{what}out secrets", limit, "x", init_ratio(inits, language, memory, BARE))


def sorted_functions(inits: Inits) -> list[tuple[str, int]]:
    """Returns the languages and memories of which there are functions with Keystart, each language's together."""
    found = {(case.language, case.memory_mb) for case in inits if case.variant == OURS}
    return sorted(found, key=lambda function: (LANGUAGES.index(function[0]), function[1]))


def init_ratio(inits: Inits, language: str, memory: int, variant: str) -> float:
    """Returns the median Init with Keystart, divided by that of another variant."""
    ours, peer = (median_init(inits[Case(language, which, memory)], "whole") for which in (OURS, variant))
    return ours / peer


def _reduction(found: Findings, language: str, what: str) -> tuple[float | None, str]:
    if isinstance(found.square, NotAppliedError):
        return None, str(found.square)
    if why := not_there(language, SDK):
        return None, why
    ours, sdk = (found.square.get(Case(language, *column)) for column in (WITH, WITHOUT))
    if ours is None or sdk is None:
        return None, "not in a quick run"
    return reduction(median_init(sdk, what), median_init(ours, what)), ""


def _readers(found: Findings) -> Iterator[Budget]:
    for figure in found.readers:
        if figure.budget is not None:
            number = "B9" if "loading" in figure.what else "B8"
            yield Budget(
                number, f"{figure.language}: {figure.what}", figure.budget, figure.unit, figure.median
            )


def _invocation(found: Findings) -> Budget:
    return Budget("B12", "INVOKE with nothing due", 1, "ms", statistics.median(found.invocations))


def _wipe(found: Findings) -> Budget:
    what = "SHUTDOWN to the end, 100 secrets on a disk"
    return Budget("B18", what, 200, "ms", statistics.median(found.wipes))


def reduction(before: float, after: float) -> float:
    """Returns by how many per cent the second is less than the first."""
    return (1 - after / before) * 100


def median_init(inits: Sequence[Init], what: str) -> float:
    """Returns the median of one figure over some Inits."""
    values: list[float] = [getattr(init, what) for init in inits]
    return statistics.median(values)


def _ratio(what: str, of: Sequence[Start], to: Sequence[Start]) -> float:
    return median(of, what) / median(to, what)


def _there(starts: Starts) -> list[str]:
    return [ours for ours in (PIP, ONE_FILE) if ours in starts]
