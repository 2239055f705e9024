"""Writes docs/conformance.md from a run of all cases in all languages. What is marked there as kept stays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import ROOT

from .case import CASES, LANGUAGES, Case
from .contract import clauses, codes, messages
from .lint import Elsewhere, read_elsewhere

PAGE = ROOT / "docs" / "conformance.md"

BEGIN, END = "<!-- kept: begin -->", "<!-- kept: end -->"
_KEPT = "\nNothing was counted yet.\n"
_HEAD = """\
# Conformance

<!-- Written by `./dev conformance --write-docs` from a run of all cases. Only what stands between the two marks of
     what is kept is written by hand. -->

The [contract](../contract/contract.md) as [cases](../contract/README.md), asked of every reader: the same value, or the
same error in the same words.
"""


def write(cases: Sequence[Case], results: Sequence[dict[str, Any]], page: Path = PAGE) -> None:
    """Writes the page anew; `results` are the harness's, one for each language."""
    page.write_text(render(cases, results, kept(page.read_text() if page.exists() else "")))


def kept(text: str) -> str:
    """What stands between the marks of a page."""
    _, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return inside if begin and end else _KEPT


def render(cases: Sequence[Case], results: Sequence[dict[str, Any]], kept: str) -> str:
    """The text of the page."""
    different = {id for result in results for id in result["failed"]}
    count = sum(len(result["failed"]) for result in results)
    elsewhere = read_elsewhere()
    parts = [
        _HEAD,
        f"{len(cases)} cases, {len(LANGUAGES)} languages, **{count} divergences**.\n",
        "## Cases by language\n",
        "How many of the cases of each file were answered as the contract says.\n",
        _table(["about", "cases", *LANGUAGES], _by_file(cases, results)),
        *_not_asked(cases),
        "\n## Made-up and changing stores\n",
        f"{BEGIN}{kept}{END}\n",
        "## Clauses\n",
        "Each clause has cases, or tests where a case cannot say it, or both. The linter sees that none is left\n"
        "out and that each test is there.\n",
        _table(
            ["clause", "cases", "divergences", "tests elsewhere"], _by_clause(cases, different, elsewhere)
        ),
        "\n## Error codes\n",
        _table(["code", "cases", "tests elsewhere"], _by_code(cases, elsewhere)),
        f"\nEach of the {len(messages())} pieces that the messages of readers are made of (contract 8.4) is in a\n"
        "message that a case expects, but for these:\n",
        *(f"- `{piece}` {_tests(tests)}" for piece, tests in elsewhere["messages"].items()),
    ]
    return "\n".join(parts) + "\n"


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _by_file(cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    for file in sorted({case.file for case in cases}):
        inside = [case for case in cases if case.file == file]
        link = f"[{_section(file)}](../contract/cases/{file})"
        yield [link, str(len(inside)), *(_passed(inside, result) for result in results)]
    yield ["**all**", str(len(cases)), *(_passed(cases, result) for result in results)]


def _section(file: str) -> str:
    return str(json.loads((CASES / file).read_text())["section"])


def _passed(cases: Sequence[Case], result: dict[str, Any]) -> str:
    asked = [case.id for case in cases if case.id not in result["skipped"]]
    different = sum(id in result["failed"] for id in asked)
    if not asked:
        return "not asked"
    return f"{len(asked) - different}" + (f", **{different} different**" if different else "")


def _not_asked(cases: Sequence[Case]) -> Iterator[str]:
    exceptions = Counter(f"{name}: {reason}" for case in cases for name, reason in case.exceptions.items())
    for reason, count in exceptions.items():
        yield f"\nNot asked, {count} cases: {reason}"


def _by_clause(cases: Sequence[Case], different: set[str], elsewhere: Elsewhere) -> Iterator[list[str]]:
    tests = {**elsewhere["instead_of_cases"], **elsewhere["beside_cases"]}
    for clause in clauses():
        inside = [case for case in cases if case.clause == clause]
        count = sum(case.id in different for case in inside)
        yield [clause, _number(len(inside)), str(count) if inside else "", _tests(tests.get(clause, []))]


def _by_code(cases: Sequence[Case], elsewhere: Elsewhere) -> Iterator[list[str]]:
    expected = Counter(case.expect["error"]["code"] for case in cases if "error" in case.expect)
    for code in codes():
        tests = "reserved" if code.reserved else _tests(elsewhere["codes"].get(code.name, []))
        yield [f"`{code.name}`", _number(expected[code.name]), tests]


def _number(count: int) -> str:
    return str(count) if count else ""


def _tests(tests: Sequence[dict[str, str]]) -> str:
    # One reason for tests that stand together, then each as its file and name.
    reasons = dict.fromkeys(test["reason"] for test in tests)
    named = [f"[{test['test'].partition('::')[2]}](../{test['test'].partition('::')[0]})" for test in tests]
    return "<br>".join([*reasons, *named])
