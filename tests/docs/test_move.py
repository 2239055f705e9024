"""Runs the blocks of docs/move.md: the code before prints the same as the code after."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import keystart.testing
import pytest

from tests import ROOT
from tests.extension.configurations import load_file
from tests.fakes.aws import REGION, Cloud, serve_moto

from .pages import fenced
from .test_readers import RUN, SUFFIX, run

PAGE = ROOT / "docs/move.md"
PASSWORD = secrets.token_urlsafe(17)
DATABASE = {"user": "orders", "password": PASSWORD}


def program(language: str, code: str, folder: Path) -> list[str]:
    file = folder / f"example{SUFFIX[language]}"
    file.write_text(code)
    return [*RUN[language], file.name]


@pytest.fixture
def moved(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Publishes what the configuration of the page would fetch."""
    with keystart.testing.store({"db": DATABASE}, unavailable={"flags": "Nobody has them."}) as store:
        yield {**environment, "KEYSTART_DIR": store.root}


@pytest.mark.parametrize("language", RUN)
def test_an_optional_secret_and_a_member_are_read(
    language: str, project: Path, moved: dict[str, str]
) -> None:
    optional, *_, member = fenced(PAGE, language)
    assert run(program(language, optional, project), project, moved) == "none\n"
    assert run(program(language, member, project), project, moved) == f"{len(PASSWORD)}\n"


def test_the_code_before_prints_the_same(project: Path) -> None:
    _, before, _ = fenced(PAGE, "python")
    with serve_moto() as endpoint:
        cloud = Cloud(endpoint)
        cloud.secret(json.dumps(DATABASE), "prod/orders/db")
        cloud.close()
        aws = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
        }
        assert run(program("python", before, project), project, {**os.environ, **aws}) == f"{len(PASSWORD)}\n"


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (text,) = fenced(PAGE, "yaml")
    file = tmp_path / "keystart.yaml"
    file.write_text(text)
    (entry,) = load_file(file, {}).facts["entries"]
    assert (entry["name"], entry["env"]) == ("stripe/key", "STRIPE_API_KEY")
