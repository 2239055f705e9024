"""Runs the configuration and the three functions of README.md unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT

from . import stage

README = (ROOT / "README.md").read_text()
FENCES = {"python": "python", "node": "js", "ruby": "ruby"}


def block(fence: str) -> str:
    (code,) = re.findall(rf"^```{fence}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("language", stage.LANGUAGES)
def test_the_functions_of_the_readme_run_as_they_stand(tmp_path: Path, language: str) -> None:
    stage.without_aws_settings()
    with (
        stage.store() as store,
        stage.environment(tmp_path, language, store.endpoint, configuration=block("yaml")) as environment,
    ):
        (tmp_path / f"task-{language}" / stage.FILES[language]).write_text(block(FENCES[language]))
        environment.init()
        assert environment.invoke({}).value == {
            "key": len(store.expected["api/stripe"]),
            "password": len(store.expected["db/password"]),
            "names": ["db/host", "db/password", "db/user"],
        }
