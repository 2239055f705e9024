"""Judges the cases: their form, that each can fail, that each error is asked for. Asks no reader."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import store
from case import CASES, HERE, Case, Place, class_of, difference, load, request
from wrong_readers import ALL, Trusting

CONTRACT = HERE.parent.parent / "docs" / "contract.md"


class Refused(Exception):
    """Cases that cannot be used; the message has one problem a line."""


def check_schema(folder: Path) -> None:
    """Raises Refused unless every file of cases is as schema.json says."""
    schema = json.loads((HERE / "schema.json").read_text())
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
        raise Refused("\n".join(problems))


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


def problems(folder: Path, contract: Path = CONTRACT) -> list[str]:
    """Everything that is wrong with the cases of a folder, one sentence each."""
    try:
        check_schema(folder)
    except Refused as refused:
        return str(refused).splitlines()
    cases = load(folder)
    return [
        *_repetitions(cases),
        *_unknown_clauses(cases, clauses(contract)),
        *_other_languages(cases),
        *_codes_without_case(cases, reader_codes(contract)),
        *_indifferent(cases),
    ]


def clauses(contract: Path = CONTRACT) -> list[str]:
    """The numbers of the contract's clauses, in its order."""
    return re.findall(r"^- \*\*(\d+(?:\.\d+)+)\*\*", contract.read_text(), re.MULTILINE)


def reader_codes(contract: Path = CONTRACT) -> list[str]:
    """The error codes that readers raise (contract 8.2: 101 to 306)."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", contract.read_text(), re.MULTILINE)
    return [code for code, number in rows if 101 <= int(number) <= 306]


def clauses_without_case(folder: Path, contract: Path = CONTRACT) -> list[str]:
    """For information: the clauses that no case names."""
    named = {case.clause for case in load(folder)}
    return [clause for clause in clauses(contract) if clause not in named]


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


def _codes_without_case(cases: list[Case], codes: list[str]) -> Iterator[str]:
    expected = {case.expect["error"]["code"] for case in cases if "error" in case.expect}
    for code in codes:
        if code not in expected:
            yield f"no case expects the error {code}"
    for code in sorted(expected.difference(codes)):
        yield f"{code} is expected, but the contract has no such error of readers"


def _indifferent(cases: list[Case]) -> Iterator[str]:
    for case in cases:
        if case.reason_to_skip("core") == "only root can give a file to another user":
            continue
        try:
            can_fail = any(fails(reader, case) for reader in ALL)
        except (ValueError, KeyError, OSError) as error:
            yield f"{case.id}: its store cannot be built: {error}"
            continue
        if not can_fail:
            names = ", ".join(reader.__name__ for reader in ALL)
            yield f"{case.id}: tests nothing: none of the wrong readers fails it ({names})"


def fails(reader: type[Trusting], case: Case) -> bool:
    """Whether a wrong reader answers something wrong. One that crashes has not answered."""
    with tempfile.TemporaryDirectory(prefix="keystart-lint-") as folder:
        place = Place(Path(folder).resolve() / "store", Path.cwd())
        store.build(place.root, case.store)
        wrong = reader(request(case, place))
        if "then" in case.ask:
            if case.ask["then"]["after"] == "asked":
                _answer(wrong)
            store.change(place.root, case.ask["then"]["change"])
        answer = _answer(wrong)
        return answer is not None and difference(case, "python", answer, place) is not None


def _answer(wrong: Trusting) -> dict[str, Any] | None:
    try:
        answer = wrong.answer()
    except (TypeError, ValueError, AttributeError, KeyError, OSError, RecursionError):
        return None
    if "error" in answer:
        answer["error"]["class"] = class_of(answer["error"]["code"])
    return answer


def main() -> int:
    """Prints what is wrong, and for information which clauses have no case."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CASES
    found = problems(folder)
    for problem in found:
        print(f"lint: {problem}", file=sys.stderr)
    if not found:
        cases = load(folder)
        print(f"lint: {len(cases)} cases are well-formed, and each can fail")
        print(f"lint: no case yet for {', '.join(clauses_without_case(folder)) or 'no clause'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
