"""The lists of noxfile.py: each test runs in a session of `./dev test` or of `./dev test --all`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import PurePath

import pytest

import noxfile
from tests import ROOT
from tests.test_sources import files

# What a session runs without pytest: cargo test, node --test, minitest, linters.
WITHOUT_PYTEST = {"build", "core", "node", "ruby"}


def sessions_of(file: str) -> list[str]:
    """Returns the sessions of `./dev test --all` that run a file of tests, without those that run what others leave."""
    return [
        name
        for name, folders in noxfile.TESTS.items()
        if name not in ("long", "alone", "long-alone")
        and any(PurePath(file).is_relative_to(folder) for folder in folders)
    ]


@pytest.mark.parametrize("file", files("tests/test_*.py", "tests/*/test_*.py", "tests/**/test_*.py"))
def test_each_file_of_tests_belongs_to_one_session(file: str) -> None:
    assert len(sessions_of(file)) == 1, f"add {file} to TESTS in noxfile.py"


def test_each_session_with_tests_is_in_one_of_the_two_lists() -> None:
    listed = [*noxfile.CHANGE, *noxfile.REST]
    assert len(listed) == len(set(listed))
    assert set(noxfile.TESTS) | WITHOUT_PYTEST == set(listed)


def test_the_long_tests_of_each_change_session_run_in_long() -> None:
    # Lint runs all its tests.
    of_changes = {
        folder
        for name in noxfile.CHANGE
        if name not in ("lint", "alone")
        for folder in noxfile.TESTS.get(name, ())
    }
    assert set(noxfile.TESTS["long"]) == of_changes


@pytest.mark.parametrize(
    ("name", "without_long", "parts"),
    [
        ("writer", False, ["not alone", "alone"]),
        ("writer", True, ["not long and not alone"]),
        ("alone", True, ["not long and alone"]),
        ("long", False, ["long and not alone", "long and alone"]),
        ("long", True, ["long and not alone"]),
        ("long-alone", True, ["long and alone"]),
        ("changing", True, ["not alone", "alone"]),
    ],
)
def test_the_runs_of_the_sessions_leave_out_nothing(
    name: str, without_long: bool, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    class Session:
        posargs: tuple[str, ...] = ()

        def __init__(self) -> None:
            self.name = name

        def run(self, *command: str, **_: object) -> None:
            commands.append(command)

    monkeypatch.setattr(noxfile, "without_long", without_long)
    noxfile.run_tests(Session())  # type: ignore[arg-type]
    assert [command[command.index("-m") + 1] for command in commands] == parts
    assert all(set(noxfile.TESTS[name]) < set(command) for command in commands)


def test_each_test_of_a_change_that_must_run_alone_runs_last() -> None:
    assert noxfile.CHANGE[0] == "build"
    assert noxfile.CHANGE[-1] == "alone"
    marked = {
        file
        for name in noxfile.CHANGE[:-1]
        for folder in noxfile.TESTS.get(name, ())
        for file in files(f"{folder}/**/test_*.py", f"{folder}/test_*.py", folder)
        if re.search(r"mark\.alone\b", (ROOT / file).read_text())
    }
    assert marked == set(noxfile.TESTS["alone"])


def test_each_long_test_that_must_run_alone_runs_last() -> None:
    assert noxfile.REST[-1] == "long-alone"
    assert noxfile.TESTS["long-alone"] == noxfile.TESTS["alone"]
    beside = [
        folder
        for name in noxfile.REST
        if name not in ("long", "long-alone")
        for folder in noxfile.TESTS[name]
    ]
    tests = [
        file for folder in beside for file in files(f"{folder}/**/test_*.py", f"{folder}/test_*.py", folder)
    ]
    assert [file for file in tests if re.search(r"mark\.alone\b", (ROOT / file).read_text())] == []


def test_a_session_that_uses_what_another_builds_stands_after_it() -> None:
    for name, earlier in noxfile.AFTER.items():
        assert noxfile.REST.index(earlier) < noxfile.REST.index(name)


def test_ci_runs_all() -> None:
    assert re.search(r"^exec \./dev test --all$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_a_session_says_at_its_end_how_long_it_took() -> None:
    command = [sys.executable, "-m", "nox", "--session", "generate", "--", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.search(
        r"^nox > generate took \d+ s, and \d+ s of CPU$", done.stdout + done.stderr, re.MULTILINE
    )


def test_an_option_that_test_does_not_know_is_refused() -> None:
    command = [sys.executable, "-m", "nox", "--session", "test", "--", "-k", "name"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "./dev test knows --all, and not -k name" in done.stdout + done.stderr


@pytest.mark.parametrize(("name", "program"), noxfile.PROGRAMS.items())
def test_the_help_of_a_session_is_that_of_its_program_and_builds_nothing(name: str, program: str) -> None:
    printed: list[str] = []

    class Session:
        posargs = ("--help",)

        def __init__(self) -> None:
            self.name = name

        def run(self, *command: str, **_: object) -> None:
            printed.append(" ".join(command))

        def log(self, line: str) -> None:
            printed.append(line)

    getattr(noxfile, name.replace("-", "_")).func(Session())
    assert printed == [f"python -m {program} --help"]


# The other two import plots and drivers, which only other sessions install.
@pytest.mark.parametrize("name", sorted(noxfile.PROGRAMS.keys() - {"bench", "rotation"}))
def test_the_help_of_a_program_names_its_session(name: str) -> None:
    program = noxfile.PROGRAMS[name]
    done = subprocess.run([sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: ./dev {name} ")


# What the sessions of REST install: drivers, and what draws plots and builds the site.
OF_REST = (
    *("asyncpg", "django", "furo", "matplotlib", "mysql", "myst_parser", "pg8000", "psycopg", "psycopg2"),
    *("pymysql", "redis", "sphinx", "sqlalchemy"),
)


def test_the_tests_of_a_change_import_nothing_that_only_other_sessions_install() -> None:
    program = f"""
import pytest, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_REST}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
sys.exit(pytest.main(["--quiet", "--collect-only", *sys.argv[1:]]))
"""
    tests = [folder for name in noxfile.CHANGE for folder in noxfile.TESTS.get(name, ())]
    collected = subprocess.run(
        [sys.executable, "-c", program, *tests], capture_output=True, text=True, cwd=ROOT
    )
    assert collected.returncode == 0, collected.stdout[-2000:]
