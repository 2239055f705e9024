"""Checks the cases: their form, and that together they cover everything. It asks no reader."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from generate.contract import FOLDER
from tests import ROOT

from .case import CASES, HERE, SCHEMA, Case, load
from .contract import clauses, codes, is_piece_of, messages, reader_codes, rules_without_number

ELSEWHERE = HERE / "elsewhere.json"
# The declaration of a test in the language of its file; {} is its name.
_TESTS = {
    ".py": r"^ *(?:async )?def {}\(",
    ".rs": r"^ *fn {}\(",
    ".rb": r"^ *def {}$",
    ".js": r"^ *test\('{}', ",
    ".mjs": r"^ *test\('{}', ",
}


class CasesError(Exception):
    """Cases that cannot be used. The message has one problem a line."""


def check_schema(folder: Path) -> None:
    """Raises CasesError unless every file of cases follows schema.json."""
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    problems = []
    for file in sorted(folder.glob("*.json")):
        try:
            document = json.loads(file.read_text(), object_pairs_hook=_without_repetition)
        except ValueError as unreadable:
            problems.append(f"{file.name}: {unreadable}")
            continue
        for error in validator.iter_errors(document):
            # The deepest reason of a oneOf says more than "is not valid under any".
            best = jsonschema.exceptions.best_match([error])
            problems.append(f"{file.name}: {_place(document, best)}: {best.message[:300]}")
    if problems:
        raise CasesError("\n".join(problems))


def _without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in members]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the member {name!r} is there twice")
    return dict(members)


def _place(document: Any, error: Any) -> str:
    path = list(error.absolute_path)
    if len(path) >= 2 and path[0] == "cases":
        case = document["cases"][path[1]]
        name = case.get("id", path[1]) if isinstance(case, dict) else path[1]
        return ".".join(map(str, [name, *path[2:]]))
    return ".".join(map(str, path)) or "the file"


def problems(folder: Path, contract: Path = FOLDER) -> list[str]:
    """Returns everything that is wrong with the cases of a folder, one sentence each."""
    try:
        check_schema(folder)
    except CasesError as refused:
        return str(refused).splitlines()
    cases = load(folder)
    return [
        *_repetitions(cases),
        *_unknown_clauses(cases, clauses(contract)),
        *_other_languages(cases),
        *_unknown_codes(cases, contract),
    ]


Elsewhere = dict[str, dict[str, list[dict[str, str]]]]


def gaps(folder: Path = CASES, contract: Path = FOLDER, elsewhere: Path = ELSEWHERE) -> list[str]:
    """Returns what the contract says and neither a case nor a test elsewhere covers, one sentence each."""
    cases = load(folder)
    tests = read_elsewhere(elsewhere)
    errors = [case.expect["error"] for case in cases if "error" in case.expect]
    asked = {case.clause for case in cases}
    expected = {error["code"] for error in errors}
    said = {piece for code, piece in messages(contract) if _is_said(code, piece, errors)}
    known = [error for error in codes(contract) if not error.is_reserved]
    return [
        *(f"this rule has no number: {line}" for line in rules_without_number(contract)),
        *_missing("clause", clauses(contract), asked, tests["instead_of_cases"]),
        *_beside("clause", asked, tests["beside_cases"]),
        *_missing("code", [error.code for error in known], expected, tests["codes"]),
        *_missing("message", [piece for _, piece in messages(contract)], said, tests["messages"]),
        *_tests_that_are_not_there(tests),
    ]


def read_elsewhere(file: Path = ELSEWHERE) -> Elsewhere:
    """Returns the tests that complement or replace cases. Each has `test` (path::name) and `reason`."""
    read: Elsewhere = json.loads(file.read_text(), object_pairs_hook=_without_repetition)
    return read


def _is_said(code: str, piece: str, errors: Sequence[Mapping[str, str]]) -> bool:
    return any(error["code"] == code and is_piece_of(piece, error["message"]) for error in errors)


def _missing(what: str, all_of_them: list[str], asked: set[str], tests: Mapping[str, Any]) -> Iterator[str]:
    for one in all_of_them:
        if one not in asked and one not in tests:
            yield f"no case asks and no test elsewhere is named for the {what} {one}"
    for one in tests:
        if one not in all_of_them:
            yield f"elsewhere.json: the contract has no {what} {one}"
        elif one in asked:
            yield f"elsewhere.json: the {what} {one} has cases and needs no test in their place"


def _beside(what: str, asked: set[str], tests: Mapping[str, Any]) -> Iterator[str]:
    for one in tests:
        if one not in asked:
            yield f"elsewhere.json: the {what} {one} has no case for a test to stand beside"


def _tests_that_are_not_there(elsewhere: Elsewhere) -> Iterator[str]:
    for group in elsewhere.values():
        for one, tests in group.items():
            if not tests:
                yield f"elsewhere.json: no test is named for {one}"
            for test in tests:
                file, _, name = test["test"].partition("::")
                if not test["reason"].endswith("."):
                    yield f"elsewhere.json: {one}: the reason is no sentence"
                if not _is_there(ROOT / file, name):
                    yield f"elsewhere.json: {one}: there is no test {test['test']}"


def _is_there(file: Path, name: str) -> bool:
    pattern = _TESTS.get(file.suffix)
    if pattern is None or not file.is_file():
        return False
    return re.search(pattern.format(re.escape(name)), file.read_text(), re.MULTILINE) is not None


def _repetitions(cases: list[Case]) -> Iterator[str]:
    ids: dict[str, str] = {}
    contents: dict[str, str] = {}
    for case in cases:
        if case.id in ids:
            yield f"{case.id}: this id is in {ids[case.id]} and in {case.file}"
        ids[case.id] = case.file
        what = json.dumps([case.store, case.ask], sort_keys=True)
        if what in contents:
            yield f"{case.id}: asks the same of the same store as {contents[what]}"
        contents[what] = case.id


def _unknown_clauses(cases: list[Case], known: list[str]) -> Iterator[str]:
    for case in cases:
        if case.clause not in known:
            yield f"{case.id}: the contract has no clause {case.clause}"


def _other_languages(cases: list[Case]) -> Iterator[str]:
    for case in cases:
        if case.expect_in and case.clause != "6.4.6":
            yield f"{case.id}: only contract 6.4.6 lets languages differ, not {case.clause}"


def _unknown_codes(cases: list[Case], contract: Path) -> Iterator[str]:
    expected = {case.expect["error"]["code"] for case in cases if "error" in case.expect}
    for code in sorted(expected.difference(reader_codes(contract))):
        yield f"{code} is expected, but the contract has no such error of readers"


def main(arguments: list[str] | None = None) -> int:
    """Prints what is wrong and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.lint",
        description="Judges the form of cases. The cases of this repository must also "
        "ask, with the tests named in elsewhere.json, for each clause, error code and message of the contract.",
        epilog="Exit codes: 0 nothing is wrong; 1 something is, and is printed.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=CASES, help="a folder of case files (*.json)")
    folder = parser.parse_args(arguments).folder
    try:
        found = problems(folder)
        complete = folder.resolve() == CASES
        if not found and complete:
            found = gaps()
    except OSError as error:
        found = [str(error)]
    for problem in found:
        print(f"lint: {problem}", file=sys.stderr)
    if not found:
        print(f"lint: {len(load(folder))} cases are well-formed")
        if complete:
            counted = f"{len(clauses())} clauses, {len(codes())} error codes and {len(messages())} messages"
            print(f"lint: {counted} of the contract have a case or a test")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
