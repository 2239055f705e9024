"""The gem, installed into an empty folder of gems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .installed import CONSUMERS, Installation, example, run


@pytest.fixture(scope="module")
def gems(package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder of gems with only the reader."""
    folder = tmp_path_factory.mktemp("gems")
    install = ["gem", "install", "--local", "--silent", "--no-document", "--install-dir", str(folder)]
    run(*install, package("keystart-*.gem"), cwd=folder)
    assert [path.name.split("-")[0] for path in (folder / "gems").iterdir()] == ["keystart"]
    return folder


def test_it_can_be_required(gems: Path, store: Installation, tmp_path: Path) -> None:
    store.check("ruby", "-w", CONSUMERS / "consumer.rb", cwd=tmp_path, GEM_HOME=str(gems), GEM_PATH=str(gems))


def test_the_example_of_the_readme_runs_as_it_stands(gems: Path, store: Installation, tmp_path: Path) -> None:
    (readme,) = gems.glob("gems/keystart-*/README.md")
    function = tmp_path / "function.rb"
    function.write_text(example(readme.read_text(), "ruby") + "p handler(event: {}, context: nil)\n")
    said = store.read("ruby", "-w", function, cwd=tmp_path, GEM_HOME=str(gems), GEM_PATH=str(gems))
    assert said.splitlines()[0].startswith('<Secret "stripe/key" (redacted)> fetched at ')
    assert said.splitlines()[1] == f'{{:user=>"orders", :key_length=>{len(store.answer["text"])}}}'
