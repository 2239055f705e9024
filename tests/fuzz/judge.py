"""Finds what is wrong with the readers' answers to one question: with one alone, or with all of them compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generate.contract import load
from tests.conformance.case import class_of, same

from .questions import Question
from .readers import Answers

ABOUT_A_SECRET = frozenset(error.code for error in load().errors if error.is_about_a_secret)
# This much of a canary in a message is not an accident.
TELLING = 6


@dataclass(frozen=True)
class Verdict:
    """A fault. `kind` and `sides` stay the same while a finding is made smaller."""

    kind: str
    sides: str
    what: str


def judged(question: Question, answers: Answers, canary: str) -> Verdict | None:
    """Returns None if every answer is allowed and all are the same, else the fault."""
    for language, answer in answers.items():
        wrong = _wrong_alone(question, answer, canary)
        if wrong is not None:
            return Verdict(wrong[0], language, f"{language}: {wrong[1]}")
    sides = _sides(question["call"], answers)
    if len(sides) == 1:
        return None
    named = " | ".join(" ".join(side) for side in sides)
    outcomes = " | ".join(_outcome(answers[side[0]]) for side in sides)
    return Verdict("disagreement", f"{named}: {outcomes}", f"{named} disagree: {outcomes}")


def _wrong_alone(question: Question, answer: dict[str, Any], canary: str) -> tuple[str, str] | None:
    if "failed" in answer:
        return "no answer", answer["failed"]
    if "crash" in answer:
        return "crash", "an exception of the language came out"
    if "error" not in answer:
        return None if "value" in answer else ("no answer", "neither a value nor an error")
    error = answer["error"]
    code, message, secret = error["code"], error["message"], error["secret"]
    if any(canary[at : at + TELLING] in message for at in range(len(canary) - TELLING + 1)):
        return "leak", f"the message of {code} holds bytes of a secret"
    if code == "internal":
        return "internal", message
    if error["class"] != class_of(code):
        return "class", f"{code} has the class {error['class']}"
    if secret not in _secrets_of(question, code):
        return "secret", f"{code} names the secret {secret!r}"
    return None


def _secrets_of(question: Question, code: str) -> list[Any]:
    """Returns the names that an error of this code may have."""
    if code not in ABOUT_A_SECRET:
        return [None]
    # A function that attempt calls may read other secrets than its own.
    return [question.get("name"), *question.get("fn", {}).get("reads", [])]


def _sides(call: str, answers: Answers) -> list[list[str]]:
    """Returns the languages, grouped by answer."""
    sides: list[list[str]] = []
    for language, answer in answers.items():
        for side in sides:
            other = side[0]
            if answer.get("requests") != answers[other].get("requests"):
                continue
            if "value" in answer and "value" in answers[other]:
                # `info` returns numbers of the manifest too.
                rounded = call in ("json", "info") and "node" in (language, other)
                is_same = same(answer["value"], answers[other]["value"], rounded=rounded)
            else:
                is_same = answer.get("error") == answers[other].get("error") and ("value" in answer) == (
                    "value" in answers[other]
                )
            if is_same:
                side.append(language)
                break
        else:
            sides.append([language])
    return sides


def _outcome(answer: dict[str, Any]) -> str:
    outcome = answer["error"]["code"] if "error" in answer else "a value"
    asked = len(answer.get("requests", []))
    return f"{outcome} after {asked} requests" if asked else outcome
