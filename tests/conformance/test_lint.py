"""The linter refuses cases that cannot be used, and says which and why."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import lint
from case import CASES, HERE

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
    """What is wrong, without the complaint that a few cases do not ask for every error."""
    found = lint.problems(folder_with(folder, *cases))
    return [problem for problem in found if not problem.startswith("no case expects the error")]


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


def test_the_example_of_the_readme_is_one_of_the_cases() -> None:
    shown = re.findall(r"```json\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    written = [case for file in CASES.glob("*.json") for case in json.loads(file.read_text())["cases"]]
    assert [json.loads(text) in written for text in shown] == [True]


def test_a_good_case_is_accepted(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []


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


def test_two_cases_with_one_id_are_refused(tmp_path: Path) -> None:
    other = {**changed("store.secrets", {"db": "other\n"}), "expect": {"value": "other\n"}}
    assert problems(tmp_path, GOOD, other) == ["keeps-newline: this id is in some.json and in some.json"]


def test_two_cases_that_ask_the_same_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD, changed("id", "copy")) == [
        "copy: asks the same of the same store as keeps-newline"
    ]


def test_a_clause_that_the_contract_does_not_have_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, changed("clause", "6.5.99")) == [
        "keeps-newline: the contract has no clause 6.5.99"
    ]


def test_languages_may_differ_in_large_numbers_only(tmp_path: Path) -> None:
    case = {**GOOD, "expect_in": {"node": {"value": "line"}}}
    assert problems(tmp_path, case) == ["keeps-newline: only contract 6.4.6 lets languages differ, not 6.5.1"]


def test_an_error_of_readers_without_a_case_is_told(tmp_path: Path) -> None:
    found = lint.problems(folder_with(tmp_path, GOOD))
    assert "no case expects the error snapshot_expired" in found
    assert len(found) == len(lint.reader_codes()) == 15


def test_an_error_that_readers_do_not_have_is_refused(tmp_path: Path) -> None:
    case = changed("expect", {"error": {"code": "store_locked", "message": "m", "secret": None}})
    assert problems(tmp_path, case) == [
        "store_locked is expected, but the contract has no such error of readers"
    ]


def test_a_case_that_no_wrong_reader_fails_is_refused(tmp_path: Path) -> None:
    case = {**changed("store.secrets", {"db": "plain"}), "expect": {"value": "plain"}}
    assert problems(tmp_path, case) == [
        "keeps-newline: tests nothing: none of the wrong readers fails it (Trusting, Careless, Zealous)"
    ]


def test_a_store_that_cannot_be_built_is_told(tmp_path: Path) -> None:
    case = changed("store.manifest", {"replace": [{"find": "no such text", "with": ""}]})
    (problem,) = problems(tmp_path, case)
    assert problem.startswith(
        "keeps-newline: its store cannot be built: b'no such text' is in the manifest 0 times"
    )


def test_clauses_without_a_case_are_listed(tmp_path: Path) -> None:
    missing = lint.clauses_without_case(folder_with(tmp_path, GOOD))
    assert "6.5.1" not in missing
    assert "6.5.2" in missing
