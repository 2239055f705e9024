"""The linter refuses unusable cases, and says which and why."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from generate.contract import FOLDER

from . import contract, lint
from .case import CASES

GOOD: dict[str, Any] = {
    "id": "keeps-newline",
    "clause": "6.5.1",
    "reason": "A trailing newline belongs to the secret.",
    "store": {"base": "good", "secrets": {"db": "line\n"}},
    "ask": {"call": "text", "name": "db"},
    "expect": {"value": "line\n"},
}


def folder_with(folder: Path, *cases: dict[str, Any]) -> Path:
    (folder / "some.json").write_text(json.dumps({"section": "Some", "cases": list(cases)}))
    return folder


def problems(folder: Path, *cases: dict[str, Any]) -> list[str]:
    return lint.problems(folder_with(folder, *cases))


CLAUSES = """
- **1.1** A rule for writers.
- **1.2** A rule for readers, and for writers:
  1. first;
  2. then.
- **8.4** The messages of readers.
- **8.5** The end.
"""
ERRORS = """
piece = []

[[error]]
code = "not_ready"
number = 202
since = "1"
raised_by = "reader"
when = "waited"
summary = "Waited."

[[error.message]]
name = "not_ready"
text = "The store at {root} is not ready: {what}."
what = ["it was stopped", "{member} is wrong"]
member = ["format"]

[[error]]
code = "later"
number = 401
since = "1"
raised_by = "nobody yet"
when = "reserved"
summary = "Reserved."

[[error]]
code = "internal"
number = 901
since = "1"
raised_by = "reader"
when = "a bug"
summary = "A bug."
"""
NOT_READY = {
    "id": "stopped",
    "clause": "1.2",
    "reason": "It says so.",
    "store": {"base": "none"},
    "ask": {"call": "names"},
    "expect": {
        "error": {
            "code": "not_ready",
            "message": "The store at {root} is not ready: it was stopped.",
            "secret": None,
        }
    },
}
HERE_IS_A_TEST = "tests/conformance/test_lint.py::test_what_neither_a_case_nor_a_test_asks_is_reported"


def test_a_clause_of_the_contract_is_one_line(tmp_path: Path) -> None:
    assert contract.wrapped_lines() == []
    (tmp_path / "contract.md").write_text(f"{CLAUSES}- **1.9** A rule\n  over two lines.\n")
    assert contract.wrapped_lines(tmp_path) == ["  over two lines."]


def gaps(folder: Path, **elsewhere: dict[str, list[dict[str, str]]]) -> list[str]:
    """Returns what one case and these tests leave uncovered in a small contract."""
    contract = folder / "contract"
    contract.mkdir(exist_ok=True)
    (contract / "contract.md").write_text(CLAUSES)
    (contract / "errors.toml").write_text(ERRORS)
    (contract / "limits.toml").write_text("")
    (contract / "variables.toml").write_text("group = []\nreason = {}\n")
    (contract / "rejections.json").write_text('{"servers": {}, "drivers": {}, "follow": {}}')
    groups: dict[str, Any] = {name: {} for name in ("instead_of_cases", "beside_cases", "codes", "messages")}
    (folder / "elsewhere").write_text(json.dumps({**groups, **elsewhere}))
    cases = folder_with(folder, NOT_READY)
    return lint.gaps(cases, contract, folder / "elsewhere")


def named(test: str = HERE_IS_A_TEST) -> list[dict[str, str]]:
    return [{"test": test, "reason": "A reason."}]


def changed(path: str, value: Any) -> dict[str, Any]:
    case = copy.deepcopy(GOOD)
    *parents, member = path.split(".")
    place = case
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[member]
    else:
        place[member] = value
    return case


def test_the_cases_of_this_repository_are_accepted() -> None:
    assert lint.problems(CASES) == []


def test_the_contract_has_no_rule_that_nothing_asks_for() -> None:
    assert lint.gaps() == []


def test_the_example_of_the_readme_is_one_of_the_cases() -> None:
    shown = re.findall(r"```json\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    written = [case for file in CASES.glob("*.json") for case in json.loads(file.read_text())["cases"]]
    assert [json.loads(text) in written for text in shown] == [True]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("clause", None),
        ("id", "Keeps_Newline"),
        ("reason", "no sentence"),
        ("reson", "A misspelt member."),
        ("store.base", "better"),
        ("store.links", {"a": 5}),
        ("store.lniks", {}),
        ("store.modes", {".": "777"}),
        ("store.manifest", {"raw": "{}", "pad": 5}),
        ("ask.call", "texts"),
        ("expect.error", {"code": "not_ready", "message": "both", "secret": None}),
        ("expect", {"error": {"code": "not_ready", "message": "no secret"}}),
        ("except", {"perl": "It has no reader."}),
    ],
)
def test_a_case_that_is_not_as_the_schema_says_is_refused(tmp_path: Path, path: str, value: Any) -> None:
    (problem,) = problems(tmp_path, changed(path, value))
    assert problem.startswith("some.json: ")


def test_a_member_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.json").write_text('{"section": "Some", "section": "Other", "cases": []}')
    assert lint.problems(tmp_path) == ["some.json: the member 'section' is there twice"]


OTHER = {**changed("store.secrets", {"db": "other\n"}), "expect": {"value": "other\n"}}
LOCKED = changed("expect", {"error": {"code": "store_locked", "message": "m", "secret": None}})


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([GOOD], []),
        ([GOOD, OTHER], ["keeps-newline: this id is in some.json and in some.json"]),
        ([GOOD, changed("id", "copy")], ["copy: asks the same of the same store as keeps-newline"]),
        ([changed("clause", "6.5.99")], ["keeps-newline: the contract has no clause 6.5.99"]),
        (
            [{**GOOD, "expect_in": {"node": {"value": "line"}}}],
            ["keeps-newline: only contract 6.4.6 lets languages differ, not 6.5.1"],
        ),
        ([LOCKED], ["store_locked is expected, but the contract has no such error of readers"]),
    ],
)
def test_what_is_wrong_with_cases_is_reported(
    tmp_path: Path, cases: list[dict[str, Any]], expected: list[str]
) -> None:
    assert problems(tmp_path, *cases) == expected


def test_what_neither_a_case_nor_a_test_asks_is_reported(tmp_path: Path) -> None:
    nothing = "no case asks and no test elsewhere is named for the"
    assert gaps(tmp_path) == [
        f"{nothing} clause 1.1",
        f"{nothing} clause 1.2.1",
        f"{nothing} clause 1.2.2",
        f"{nothing} clause 8.4",
        f"{nothing} clause 8.5",
        f"{nothing} code internal",
        f"{nothing} message {{member}} is wrong",
        f"{nothing} message : format is missing or wrong.",
    ]


def test_a_test_elsewhere_stands_for_a_case(tmp_path: Path) -> None:
    clauses = dict.fromkeys(("1.1", "1.2.1", "1.2.2", "8.4", "8.5"), named())
    messages = dict.fromkeys(("{member} is wrong", ": format is missing or wrong."), named())
    codes = {"internal": named()}
    assert gaps(tmp_path, instead_of_cases=clauses, codes=codes, messages=messages) == []
    assert (
        gaps(
            tmp_path, instead_of_cases=clauses, codes=codes, messages=messages, beside_cases={"1.2": named()}
        )
        == []
    )


@pytest.mark.parametrize(
    ("elsewhere", "expected"),
    [
        ({"instead_of_cases": {"1.9": named()}}, "the contract has no clause 1.9"),
        ({"instead_of_cases": {"1.2": named()}}, "the clause 1.2 has cases and needs no test in their place"),
        ({"beside_cases": {"1.1": named()}}, "the clause 1.1 has no case for a test to stand beside"),
        ({"codes": {"not_ready": named()}}, "the code not_ready has cases and needs no test in their place"),
        ({"codes": {"later": named()}}, "the contract has no code later"),
        ({"instead_of_cases": {"1.1": []}}, "no test is named for 1.1"),
        ({"instead_of_cases": {"1.1": named("no/file.py::test")}}, "1.1: there is no test no/file.py::test"),
        (
            {"instead_of_cases": {"1.1": named(HERE_IS_A_TEST[:-1])}},
            f"1.1: there is no test {HERE_IS_A_TEST[:-1]}",
        ),
    ],
)
def test_a_wrong_entry_for_a_test_elsewhere_is_reported(
    tmp_path: Path, elsewhere: dict[str, Any], expected: str
) -> None:
    assert f"elsewhere.json: {expected}" in gaps(tmp_path, **elsewhere)


def test_a_rule_without_a_number_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "contract.md"
    file.write_text("- **1.1** A reader\n  MUST do this.\n\nA reader MUST do that.\n")
    assert contract.rules_without_number(tmp_path) == ["A reader MUST do that."]
