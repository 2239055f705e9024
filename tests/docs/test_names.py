"""Checks that pages and recipes name the layers as `keystart layer publish` names them."""

from __future__ import annotations

import re

from tests import ROOT
from tests.test_sources import files

NAMES = {"keystart-x86_64", "keystart-arm64", "keystart-*"}
LAYER = re.compile(r":layer:(keystart[\w*-]*)")


def test_every_layer_of_keystart_has_the_name_under_which_it_is_published() -> None:
    named = {
        (page, name)
        for page in files("*.md", "examples/*")
        for name in LAYER.findall((ROOT / page).read_text())
    }
    assert len(named) > 5
    assert {(page, name) for page, name in named if name not in NAMES} == set()
