"""Makes the tables of docs/internals/conformance.md: how many cases and which tests each clause and error code has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from .case import CASES, LANGUAGES, Case, load
from .contract import clauses, codes, messages
from .lint import read_elsewhere


def by_file() -> str:
    """Returns the table of the files of cases, and the languages that are not asked."""
    cases = load()
    rows = [_row_of_file(file, cases) for file in sorted({case.file for case in cases})]
    exceptions = Counter((name, reason) for case in cases for name, reason in case.exceptions.items())
    return "\n".join(
        [
            _table(["about", "cases"], [*rows, ["**all**", str(len(cases))]]),
            f"{len(LANGUAGES)} languages answer all of them, with these exceptions:\n",
            *(
                f"{name} is not asked {count} of them. {reason}"
                for (name, reason), count in exceptions.items()
            ),
            "",
        ]
    )


def by_clause() -> str:
    """Returns the table of the clauses."""
    elsewhere = read_elsewhere()
    tests = {**elsewhere["instead_of_cases"], **elsewhere["beside_cases"]}
    count = Counter(case.clause for case in load())
    rows = [[clause, str(count[clause] or ""), _tests(tests.get(clause, []))] for clause in clauses()]
    return _table(["clause", "cases", "tests elsewhere"], rows)


def by_code() -> str:
    """Returns the table of the error codes, and the messages that no case expects."""
    elsewhere = read_elsewhere()
    count = Counter(case.expect["error"]["code"] for case in load() if "error" in case.expect)
    rows = [
        [
            f"`{error.code}`",
            str(count[error.code] or ""),
            "reserved" if error.is_reserved else _tests(elsewhere["codes"].get(error.code, [])),
        ]
        for error in codes()
    ]
    return "\n".join(
        [
            _table(["code", "cases", "tests elsewhere"], rows),
            f"Cases expect each of the {len(messages())} pieces of the readers' messages (contract 8.4), "
            "except these:\n",
            *(f"- `{piece}` {_tests(tests)}" for piece, tests in elsewhere["messages"].items()),
            "",
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *rows])


def _row_of_file(file: str, cases: Sequence[Case]) -> list[str]:
    section = json.loads((CASES / file).read_text())["section"]
    return [f"[{section}](../../contract/cases/{file})", str(sum(case.file == file for case in cases))]


def _tests(tests: Sequence[dict[str, str]]) -> str:
    # The reason once for tests that share it, then each test as its file and name.
    reasons = dict.fromkeys(test["reason"] for test in tests)
    named = [
        f"[{test['test'].partition('::')[2]}](../../{test['test'].partition('::')[0]})" for test in tests
    ]
    return "<br>".join([*reasons, *named])
