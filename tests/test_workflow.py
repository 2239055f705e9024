"""The workflow of a public forge: its matrix has the versions that the packages are tested with."""

from __future__ import annotations

from typing import Any

import yaml

from extension.standalone.interpreters import VERSIONS
from tests import ROOT
from tests.packages.test_node import VERSIONS as NODES

JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]


def matrix(job: str) -> tuple[str, ...]:
    return tuple(JOBS[job]["strategy"]["matrix"]["version"])


def test_the_matrix_has_each_version_that_packages_are_tried_with() -> None:
    assert matrix("python") == VERSIONS
    assert matrix("node") == NODES
    page = (ROOT / "docs/internals/versions.md").read_text()
    assert all(f"Ruby {version} (Debian" in page for version in matrix("ruby"))


def test_one_job_runs_what_ci_runs() -> None:
    assert [step["run"] for step in JOBS["all"]["steps"] if "run" in step][-1] == ".ci/run"


def test_macos_tests_the_readers_of_each_language_and_commands() -> None:
    commands = " ".join(step["run"] for step in JOBS["macos"]["steps"] if "run" in step)
    for tests in ("tests/python", "npm test", "test/all.rb", "tests/extension/test_pull.py"):
        assert tests in commands


def test_the_workflow_says_that_it_was_not_run() -> None:
    assert (ROOT / ".github/workflows/ci.yml").read_text().startswith("# Not run: ")
