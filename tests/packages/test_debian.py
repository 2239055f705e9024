"""The readers on other systems: a newer glibc, a newer Ruby and its libraries, a Python built by Debian.

Each system is made by debootstrap in a folder, which takes two minutes, so these run only with --chroot.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extension.standalone.toolchain import ROOT
from tests.debian import make_debian

from .installed import CONSUMERS, Installation, run

Package = Callable[[str], Path]

# Debian 13, and the later Debian 14.
SUITES = ("trixie", "forky")
PACKAGES = "python3,python3-venv,python3-jsonschema,ruby,ruby-minitest"


class System:
    """A Debian in a folder. Programs there see the folder, /proc, and no other mount. The mount ends with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, cwd: str = "/", **variables: str) -> str:
        """Returns the output of a program. If the program fails, the test fails."""
        script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        isolated = ["unshare", "--mount", "--fork", "sh", "-c", script, str(self.folder)]
        return run(*isolated, "env", "-C", cwd, *command, cwd=Path("/"), LC_ALL="C.UTF-8", **variables)

    def copy(self, source: Path, to: str) -> None:
        """Copies a file or a folder of this machine there."""
        target = self.folder / to
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("node_modules", "__pycache__", "_native")
            shutil.copytree(source, target, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, target)


@pytest.fixture(scope="module", params=SUITES)
def system(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    package: Package,
    store: Installation,
) -> Iterator[System]:
    """A system with the packages, the tests and the store, and the reader of Python in /venv."""
    folder = tmp_path_factory.mktemp(request.param) / "root"
    make_debian(request, request.param, folder, PACKAGES)
    system = System(folder)
    for pattern in ("keystart-*_x86_64.whl", "keystart-*.gem"):
        system.copy(package(pattern), f"dist/{package(pattern).name}")
    for part in (
        "bindings/ruby",
        "contract",
        "generate",
        "tests/__init__.py",
        "tests/conformance",
        "docs",
        "LICENSE",
        "Cargo.toml",  # it has the version that the cases expect
    ):
        system.copy(ROOT / part, f"keystart/{part}")
    system.copy(CONSUMERS, "consumers")
    system.copy(store.root, str(store.root).removeprefix("/"))
    version = system.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--python-version",
        version,
    ]
    run(*download, "--platform", "manylinux_2_17_x86_64", "--dest", folder / "dist", "cffi", cwd=Path("/"))
    # With the system's jsonschema, for the conformance cases.
    system.run("python3", "-m", "venv", "--system-site-packages", "/venv")
    system.run(
        "/venv/bin/pip",
        "install",
        "--quiet",
        "--no-index",
        "--find-links=/dist",
        "--no-cache-dir",
        "keystart",
    )
    yield system
    shutil.rmtree(folder)


def test_the_wheel_installs_and_reads(system: System, store: Installation) -> None:
    store.check_answer(system.run("/venv/bin/python", "-I", "/consumers/consumer.py", **store.variables))


def test_the_gem_installs_and_reads(system: System, store: Installation) -> None:
    (gem,) = (system.folder / "dist").glob("*.gem")
    system.run(
        "gem",
        "install",
        "--local",
        "--silent",
        "--no-document",
        "--install-dir",
        "/gems",
        f"/dist/{gem.name}",
    )
    variables = {"GEM_HOME": "/gems", "GEM_PATH": "/gems", **store.variables}
    store.check_answer(system.run("ruby", "-w", "/consumers/consumer.rb", **variables))


def test_rubys_own_tests_pass(system: System) -> None:
    said = system.run("ruby", "-w", "-Ilib", "-Itest", "test/all.rb", cwd="/keystart/bindings/ruby")
    assert " 0 failures, 0 errors" in said


@pytest.mark.parametrize("language", ["python", "ruby"])
def test_the_conformance_cases_pass(language: str, system: System) -> None:
    said = system.run(
        "/venv/bin/python", "-m", "tests.conformance.harness", "--language", language, cwd="/keystart"
    )
    assert " 0 different" in said
