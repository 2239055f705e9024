"""Every package of this repository has the same version, wherever it is written."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

# What stands around the version, in each place where it is written.
PLACES = {
    "Cargo.toml": r'^\[workspace\.package\]\nversion = "(.*)"$',
    "Cargo.lock": r'^name = "keystart-store"\nversion = "(.*)"$',
    "bindings/python/pyproject.toml": r'^version = "(.*)"$',
    "bindings/python/src/keystart/version.py": r'^__version__ = "(.*)"$',
    "bindings/node/package.json": r'^  "version": "(.*)",$',
    "bindings/node/package-lock.json": r'^  "name": "keystart",\n  "version": "(.*)",$',
    "bindings/ruby/lib/keystart/version.rb": r'^ *VERSION = "(.*)"$',
    "extension/pyproject.toml": r'^version = "(.*)"$',
    "extension/src/keystart_extension/__init__.py": r'^__version__ = "(.*)"$',
}


def written(place: str) -> str:
    found = re.findall(PLACES[place], (ROOT / place).read_text(), re.MULTILINE)
    assert len(found) == 1, f"{place} has {len(found)} versions"
    return str(found[0])


@pytest.mark.parametrize("place", PLACES)
def test_the_version_is_that_of_the_core(place: str) -> None:
    assert written(place) == written("Cargo.toml")


def test_the_extension_wants_the_reader_of_its_own_version() -> None:
    wanted = re.findall(r'"keystart==(.*?)"', (ROOT / "extension/pyproject.toml").read_text())
    assert wanted == [written("Cargo.toml")]
