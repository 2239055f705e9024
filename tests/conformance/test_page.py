"""The page docs/conformance.md is of these cases, and keeps what was written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import harness, page
from .case import LANGUAGES, Case, load


def results(cases: list[Case], failed: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What the harness gives when all is as expected, but for these cases in the last language."""
    return [
        {
            "language": language,
            "failed": failed if failed and language == LANGUAGES[-1] else {},
            "skipped": {case.id: "reason" for case in cases if language in case.exceptions},
        }
        for language in LANGUAGES
    ]


def test_the_page_is_of_these_cases_and_shows_no_divergence() -> None:
    cases, text = load(), page.PAGE.read_text()
    anew = page.render(cases, results(cases), page.kept(text))
    assert text == anew, "docs/conformance.md is stale: write it anew with ./dev conformance --write-docs"


def test_a_divergence_is_shown_in_all_that_are_told_of_it() -> None:
    cases = load()
    (one,) = (case for case in cases if case.id == "control-socket")
    text = page.render(cases, results(cases, {one.id: {}}), "")
    assert "4 languages, **1 divergences**" in text
    inside = sum(case.file == one.file for case in cases)
    assert f"| {inside} | {inside} | {inside} | {inside} | {inside - 1}, **1 different** |" in text
    assert f"| {one.clause} | 2 | 1 |" in text


def test_what_is_kept_is_kept(tmp_path: Path) -> None:
    cases, file = load(), tmp_path / "page.md"
    page.write(cases, results(cases), file)
    file.write_text(file.read_text().replace("Nothing was counted yet.", "100,000 stores."))
    page.write(cases, results(cases), file)
    assert f"{page.BEGIN}\n100,000 stores.\n{page.END}" in file.read_text()


@pytest.mark.parametrize("arguments", [["--language", "node"], ["--cases", "/tmp"]])
def test_no_page_is_written_of_a_part(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        harness.main(["--write-docs", *arguments])
    assert ended.value.code == 2
    assert "--write-docs takes all" in capsys.readouterr().err
