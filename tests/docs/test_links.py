"""Checks that every link between the Markdown pages of the repository leads to a file and a heading that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.test_sources import files

PAGES = files("*.md")
_LINK = re.compile(r"(?<!`)\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(<?([^)\s>]+)>?\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*\]\([^`\n]*`", re.MULTILINE | re.DOTALL)
_OUTSIDE = re.compile(r"[a-z]+:")


def anchors(page: Path) -> set[str]:
    """Returns the fragments by which GitHub and the docs site find the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = sum(
            slug == other or re.fullmatch(rf"{re.escape(slug)}-\d+", other) is not None for other in found
        )
        found.add(f"{slug}-{number}" if number else slug)
    return found


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub("", (ROOT / page).read_text())):
        if _OUTSIDE.match(link):
            continue
        path, _, fragment = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []
