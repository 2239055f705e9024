"""A short run of the fuzzer, and proof that it finds a fault, makes it small and writes a case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from tests import ROOT
from tests.conformance import lint, store
from tests.conformance.case import same
from tests.conformance.runner import chosen_languages, command_of

from .fuzz import Tally, fuzz, main, make, write
from .judge import judged
from .readers import Readers
from .shrink import shrunk

pytestmark = pytest.mark.long

CANARY = "QKVZXWMJHGQKVZXW"
RUNNERS = ROOT / "tests/conformance/runners"
TRIMS = 'text = CALLS["text"]; CALLS["text"] = lambda reader, asked: text(reader, asked).strip()'
DIFFERS = 'CALLS["names"] = lambda reader, asked: None'
DIES = 'CALLS["path"] = lambda reader, asked: os._exit(1)'
HANGS = 'CALLS["path"] = lambda reader, asked: os.read(os.pipe()[0], 1)'


def beside_a_liar(lie: str) -> dict[str, list[str]]:
    """Returns the runner of Python with one more line, next to the core's."""
    main = 'if __name__ == "__main__":'
    liar = (RUNNERS / "python.py").read_text().replace(main, f"{lie}\n{main}")
    return {"core": command_of("core"), "python": [sys.executable, "-c", liar]}


def found(lie: str, stores: int) -> Tally:
    *_, tally = fuzz(beside_a_liar(lie), 1, range(stores))
    return tally


@pytest.mark.parametrize("seed", [20261123, SystemRandom().randrange(2**32)], ids=["the same", "another"])
def test_all_readers_answer_the_same(seed: int, tmp_path: Path) -> None:
    commands = {language: command_of(language) for language in chosen_languages()}
    *_, tally = fuzz(commands, seed, range(192), jobs=2)
    write(tally.findings, tmp_path)
    assert not tally.findings, f"seed {seed}: {tally.findings}"
    assert tally.stores == 192
    assert len(tally.outcomes) > 8, f"seed {seed} asks too little: {tally.outcomes}"
    assert tally.beside > 2, f"seed {seed} asks too little beside a writer"


def test_a_reader_that_trims_is_found_and_a_small_case_written(tmp_path: Path) -> None:
    tally = found(TRIMS, 100)
    finding = next(finding for finding in tally.findings if finding.case["ask"]["call"] == "text")
    assert finding.kind == "disagreement"
    assert len(json.dumps([finding.case["store"], finding.case["ask"]])) < 120
    assert "then" not in finding.case["ask"]

    write(tally.findings, tmp_path)
    lint.check_schema(tmp_path)
    answers = json.loads((tmp_path / f"{finding.case['id']}.answers.txt").read_text())
    assert answers["python"]["value"] == answers["core"]["value"].strip() != answers["core"]["value"]


@pytest.mark.parametrize(
    ("lie", "finding"),
    [(DIES, "ended without an answer"), (HANGS, "gave no answer within 1 s")],
    ids=["dies", "hangs"],
)
def test_a_reader_without_an_answer_is_found_and_the_others_are_heard(lie: str, finding: str) -> None:
    with Readers(beside_a_liar(lie), patience=1) as readers:
        questions = [{"call": "names"}, {"call": "path", "name": "db"}, {"call": "names"}]
        place = readers.place(0)
        answers = readers.answers([(place, question) for question in questions])
    verdict = judged(questions[1], answers[1], CANARY)
    assert verdict is not None
    assert verdict.kind == "no answer"
    assert finding in verdict.what
    assert [answer["core"]["error"]["code"] for answer in answers] == ["not_attached"] * 3
    assert answers[2]["python"]["error"]["code"] == "not_attached"


def test_bytes_of_a_secret_in_a_message_are_a_finding() -> None:
    error = {
        "code": "secret_not_json",
        "message": f"not {CANARY[3:9]}",
        "secret": "db",
        "class": "SecretNotJson",
    }
    verdict = judged({"call": "json", "name": "db"}, {"core": {"error": error}}, CANARY)
    assert verdict is not None
    assert verdict.kind == "leak"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"code": "internal", "class": "Internal"}, "internal"),
        ({"class": "SecretNotFound"}, "class"),
        ({"secret": None}, "secret"),
        ({}, None),
    ],
)
def test_an_error_that_no_reader_may_give_is_a_finding(change: dict[str, Any], kind: str | None) -> None:
    error = {"code": "secret_not_json", "message": "no", "secret": "db", "class": "SecretNotJson", **change}
    verdict = judged(
        {"call": "json", "name": "db"}, {"core": {"error": error}, "node": {"error": error}}, CANARY
    )
    assert (verdict and verdict.kind) == kind


def test_numbers_are_compared_by_contract_6_4_6() -> None:
    large = 2**53 + 1
    assert same(large, float(large), rounded=True)
    assert not same(large, float(large))
    assert same({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not same(True, 1, rounded=True)
    assert not same("1", 1, rounded=True)


def test_a_store_is_the_same_for_the_same_seed_and_number_in_every_process() -> None:
    code = "from tests.fuzz.fuzz import make; print([make(7, number) for number in range(200)])"

    def made(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert made("1") == made("2") == f"{[make(7, number) for number in range(200)]}\n"
    assert make(7, 41) != make(8, 41)


def test_a_description_means_the_same_the_second_time() -> None:
    missing = {"db": {"code": "c", "message": "m"}}
    described = {
        "generation": 3,
        "secrets": {},
        "unavailable": missing,
        "manifest": {"remove": ["/unavailable/db/message"]},
    }
    assert store.manifest(described) == store.manifest(described)


def test_shrinking_leaves_what_is_needed() -> None:
    document = {"store": {"files": {"a": "xxyzzxx", "b": "x"}, "links": {}}, "ask": [1, 2, 3]}

    def interesting(candidate: Any) -> bool:
        return "yz" in candidate.get("store", {}).get("files", {}).get("a", "") and 2 in candidate.get(
            "ask", []
        )

    assert shrunk(document, interesting) == {"store": {"files": {"a": "yz"}}, "ask": [2]}


def test_the_command_ends_with_1_when_something_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.fuzz.command_of", beside_a_liar(DIFFERS).get)
    asked = f"--language core --language python --seed 1 --store 0 --out {tmp_path}".split()
    assert main([*asked, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "disagreement"
    lint.check_schema(tmp_path)
    assert (tmp_path / "found-1-0.json").exists()
