"""Checks the subjects of commits: at most 72 characters, a capital first, no full stop, no word of words.toml."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests import ROOT
from tests.prose import WORDS

# Older subjects are as they are.
SINCE = "b429401e2e386746151e33ff3e55269a276e9352"
WORDS_SINCE = "e2bdabd579bc1ade80019d86a6d6827e3288b26b"
SUBJECT = re.compile(r"[A-Z].{0,70}[^.\s]")


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_a_subject_is_short_and_begins_with_a_capital() -> None:
    listed = git("log", "--no-merges", "--format=%h %s", f"{SINCE}..HEAD")
    if listed.returncode != 0:
        pytest.skip(f"the history is not complete: {listed.stderr.strip()}")
    wrong = [line for line in listed.stdout.splitlines() if not SUBJECT.fullmatch(line.partition(" ")[2])]
    assert not wrong, "\n".join(wrong)


def test_a_subject_holds_no_word_of_the_list() -> None:
    listed = git("log", "--no-merges", "--format=%h %s", f"{WORDS_SINCE}..HEAD")
    if listed.returncode != 0:
        pytest.skip(f"the history is not complete: {listed.stderr.strip()}")
    subjects = listed.stdout.splitlines()
    wrong = [
        f"{line}: write {word.instead}"
        for line in subjects
        for word in WORDS
        if word.pattern.search(line.partition(" ")[2])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("subject", ["x" * 73, "Fix it.", "fix it", "fixup! Fix it", "Fix it "])
def test_a_subject_of_another_form_is_refused(subject: str) -> None:
    assert not SUBJECT.fullmatch(subject)
    assert SUBJECT.fullmatch("F" + "x" * 71)
