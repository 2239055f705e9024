"""Reads with Ruby in a root that holds Ruby, the layer, and no file of any Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.timed import TimedCloud

from .sandbox import Layer, Life, Sandbox

_SAID = "puts RbConfig.ruby, %w[rubylibdir rubyarchdir vendordir].map { |name| RbConfig::CONFIG.fetch(name) }"
_READ = 'require "keystart"; print Keystart.get("db")'


def test_a_ruby_function_reads_where_no_python_is(layer: Layer, sandbox: Sandbox, cloud: TimedCloud) -> None:
    if layer.emulator is not None:
        pytest.skip("the Ruby of this machine is for this machine")
    for path in _ruby():
        place = sandbox.root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place, ignore_dangling_symlinks=True)
        else:
            shutil.copy2(path, place)
    shutil.copytree(layer.opt / "ruby", sandbox.root / "opt/ruby")
    assert not list(sandbox.root.rglob("*python*"))
    ruby = [str(_ruby()[0]), "-I/opt/ruby/lib", "-e", _READ]
    life = Life(sandbox, cloud, {"KEYSTART_SECRETS": "db=prod/db"}, [ruby])
    assert (life.code, life.read) == (0, ["x" * 100]), life.said


def _ruby() -> list[Path]:
    """Returns the interpreter, the folders of its library, and what it is linked with."""
    interpreter, *folders = _lines("ruby", "-rrbconfig", "-e", _SAID)
    linked = [word for line in _lines("ldd", interpreter) for word in line.split() if word.startswith("/")]
    return [Path(path) for path in (interpreter, *folders, *linked)]


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
