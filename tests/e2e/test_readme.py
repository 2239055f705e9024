"""Runs the configuration and the three functions of README.md unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import ROOT
from tests.docs.pages import fenced

from . import stage
from .lambda_simulator.runtimes import Runtime
from .languages import EACH_RUNTIME

README = ROOT / "README.md"
FENCES = {"python": "python", "node": "js", "ruby": "ruby"}


@EACH_RUNTIME
def test_the_functions_of_the_readme_run_as_they_stand(
    tmp_path: Path, language: str, runtime: Callable[[], Runtime]
) -> None:
    (configuration,) = fenced(README, "yaml")
    (code,) = fenced(README, FENCES[language])
    stage.without_aws_settings()
    with (
        stage.store() as store,
        stage.environment(
            tmp_path, language, store.endpoint, runtime=runtime(), configuration=configuration
        ) as environment,
    ):
        (tmp_path / f"task-{language}" / stage.FILES[language]).write_text(code)
        environment.init()
        assert environment.invoke({}).value == {
            "key": len(store.expected["api/stripe"]),
            "password": len(store.expected["db/password"]),
        }
        published = environment.tmp / "keystart/current/secrets"
        assert (published / "stripe/key").read_bytes() == store.expected["api/stripe"]
        assert (published / "limits").read_bytes() == store.expected["limits"]
