"""rejections.json has what PostgreSQL's translations on this machine say when a login is refused."""

from __future__ import annotations

import gettext
import json
from pathlib import Path

import pytest

from tests import ROOT

WORDS = json.loads((ROOT / "contract/rejections.json").read_text())["servers"]["postgresql"]["words"]
CATALOGS = sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/postgres-*.mo"))


@pytest.mark.skipif(not CATALOGS, reason="no translations are installed: apt-get install postgresql")
def test_each_translation_of_this_machine_is_known() -> None:
    seen = 0
    for file in CATALOGS:
        with file.open("rb") as opened:
            catalog = gettext.GNUTranslations(opened)
        for word in WORDS:
            text = catalog.gettext(word["text"])
            if text != word["text"]:
                assert text in word["translations"][file.parts[-3]], file
                seen += 1
    assert seen > len(WORDS)
