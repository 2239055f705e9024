"""The gem, installed into an empty folder of gems."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from extension.standalone.toolchain import ROOT

from .build import gem
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


def test_it_has_the_same_bytes_at_any_time_and_with_any_rights_of_the_files(tmp_path: Path) -> None:
    private = Path(shutil.copytree(ROOT / "bindings/ruby", tmp_path / "private"))
    for path in private.rglob("*.rb"):
        path.chmod(0o600)
    built: list[bytes] = []
    for source in (ROOT / "bindings/ruby", private):
        into = tmp_path / f"built-{len(built)}"
        into.mkdir()
        gem(source, into)
        (file,) = into.iterdir()
        built.append(file.read_bytes())
        time.sleep(1.1)  # a gem's times are in seconds
    assert built[0] == built[1]
