"""The script `./dev`: which tools it needs, and what it shows if a step fails.

Nothing is installed: the programs that it would call are stand-ins that record how they were called.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

# Programs of the system that ./dev itself uses.
TOOLS = [
    *("awk", "bash", "cat", "cut", "date", "dirname", "env", "grep", "head"),
    *("mkdir", "sed", "sha256sum", "sh", "sort", "tail", "tr", "uname"),
]
DEBIAN_12 = 'VERSION_ID="12"' in Path("/etc/os-release").read_text()
LINES = 'i=0; while [ "$i" -lt 1000 ]; do echo "line $i."; i=$((i + 1)); done; '
OLD_PYTHON = "case $* in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac"


class Door:
    """A copy of ./dev in an empty folder, with a PATH that has only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.asked = folder / "asked"
        self.programs.mkdir()
        self.asked.touch()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is not installed"
            (self.programs / tool).symlink_to(found)
        for file in ("dev", "noxfile.py", "core/capi/extension/Cargo.toml"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        for file in (
            "requirements.lock",
            "requirements-node.lock",
            "benchmarks/requirements.lock",
            "tests/servers/requirements.lock",
            "tests/servers/openbao/requirements.lock",
            "website/requirements.lock",
        ):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        # As root, whatever user runs the tests.
        self.program("id", "echo 0")
        self.program("apt-cache", "")
        self.program("cargo.new", "echo cargo 9.0.0")
        self.program("apt-get", f"case $* in *cargo*) /bin/ln -s cargo.new {self.programs}/cargo ;; esac")

    def program(self, name: str, script: str, *, folder: Path | None = None) -> None:
        """Makes a program that records its arguments and runs the script."""
        file = (folder or self.programs) / name
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>"{self.asked}"\n{script}\n')
        file.chmod(0o755)

    def with_venv(self) -> None:
        """Makes the environment that an earlier run left, with everything built."""
        programs = self.folder / ".venv/bin"
        programs.mkdir(parents=True)
        digest = hashlib.sha256((self.folder / "requirements.lock").read_bytes()).hexdigest()
        (self.folder / ".venv/stamp.python").write_text(f"{digest}\n")
        self.program("python", "", folder=programs)
        self.program("keystart", "", folder=programs)

    def open(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.programs), "HOME": str(self.folder), **variables}
        command = [str(self.folder / "dev"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def installed(self) -> set[str]:
        """Returns the Debian packages that ./dev asked for."""
        calls = [line.split() for line in self.asked.read_text().splitlines() if "apt-get install" in line]
        return {word for call in calls for word in call[2:] if not word.startswith("-")}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_step_that_fails_shows_its_last_lines_and_keeps_all_of_them(door: Door) -> None:
    done = door.open("step", "building a thing (a minute)", "sh", "-c", f"{LINES} echo why >&2; exit 7")
    assert done.returncode == 7
    assert (done.stdout, done.stderr.splitlines()[0]) == ("", "dev: building a thing (a minute)")
    assert "exit code 7" in done.stderr
    assert "    line 999.\n    why\n" in done.stderr
    assert "line 900." not in done.stderr, "the rest is in the file"
    log = Path(done.stderr.splitlines()[-1].removeprefix("dev: all of it is in "))
    assert log.read_text().splitlines() == [*(f"line {number}." for number in range(1000)), "why"]


def test_two_sessions_at_once_keep_the_output_of_the_same_step_apart(door: Door) -> None:
    for session in ("docs", "e2e"):
        done = door.open("step", "packing it", "sh", "-c", f"echo of {session}; exit 1", DEV_SESSION=session)
        assert done.stderr.endswith(f"/target/log/{session}-packing-it.log\n")
    assert (door.folder / "target/log/docs-packing-it.log").read_text() == "of docs\n"


def test_a_line_of_a_failed_step_is_cut(door: Door) -> None:
    done = door.open("step", "building", sys.executable, "-c", "print('x' * 100_000); exit(1)")
    assert done.returncode == 1
    assert len(done.stderr) < 1000


def test_a_step_that_succeeds_shows_only_what_it_does(door: Door) -> None:
    done = door.open("step", "building a thing", "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "dev: building a thing\n")


@pytest.mark.parametrize("name", ["python", "apt", "say"])
def test_a_step_runs_the_program_and_not_a_function_of_the_door(door: Door, name: str) -> None:
    door.program(name, "exit 7")
    assert door.open("step", "building it", name, "some.py").returncode == 7
    assert f"{name} some.py" in door.asked.read_text()


def test_a_step_runs_where_the_door_was_called(door: Door, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    command = [str(door.folder / "dev"), "step", "looking", "sh", "-c", "pwd >here"]
    subprocess.run(command, cwd=tmp_path / "package", check=True)
    assert (tmp_path / "package/here").read_text() == f"{tmp_path}/package\n"


def test_a_step_that_takes_long_says_how_far_it_is(door: Door, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "enough")
    command = [str(door.folder / "dev"), "step", "building", "sh", "-c", "echo Compiling aws; read _ <enough"]
    environment = {"PATH": str(door.programs), "DEV_TICK": "0.1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        # Opened for reading too: to open it only for writing would wait for a reader that may have failed.
        enough = os.open(tmp_path / "enough", os.O_RDWR)
        os.write(enough, b"\n")
    os.close(enough)
    assert process.returncode == 0
    assert [line.endswith(" s so far: Compiling aws\n") for line in said] == [False, True, True]


def test_a_step_of_a_session_that_fails_shows_its_last_lines(tmp_path: Path) -> None:
    """Runs the real npm, whose install script fails: with --silent it would print nothing."""
    package = '"name": "broken", "version": "1.0.0"'
    script = '"scripts": {"install": "echo distutils is missing >&2; exit 1"}'
    (tmp_path / "package.json").write_text(f"{{{package}, {script}}}")
    (tmp_path / "package-lock.json").write_text(
        f'{{{package}, "lockfileVersion": 3, "packages": {{"": {{{package}, "hasInstallScript": true}}}}}}'
    )
    session = f"def broken(session):\n    ours.npm_install(session, pathlib.Path({str(tmp_path)!r}))\n"
    sessions = tmp_path / "sessions.py"
    sessions.write_text(
        f"import pathlib\nimport nox, noxfile as ours\n@nox.session(venv_backend='none')\n{session}"
    )
    command = [sys.executable, "-m", "nox", "--noxfile", str(sessions), "--session", "broken"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1
    assert "distutils is missing" in done.stdout
    assert "dev: all of it is in " in done.stdout
    assert not (tmp_path / "node_modules/.installed-from").exists()


def test_pip_that_fails_shows_its_last_lines(door: Door) -> None:
    door.program(
        "python3.12",
        f'[ "$2" != venv ] || {{ mkdir -p .venv/bin; cp "{door.programs}/pip" .venv/bin/python; }}',
    )
    door.program("cp", 'exec /bin/cp "$@"')
    door.program("pip", 'echo "ERROR: No matching distribution found"; exit 2')
    done = door.open("lock")
    assert done.returncode == 2
    assert "    ERROR: No matching distribution found\n" in done.stderr
    assert not (door.folder / ".venv/stamp.python").exists()


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_an_environment_that_the_door_did_not_make_stays(door: Door, tmp_path: Path, kind: str) -> None:
    door.program("python3.12", "exit 0")
    theirs, venv = tmp_path / "theirs", door.folder / ".venv"
    (theirs / "bin").mkdir(parents=True)
    (theirs / "bin/python").touch()
    (theirs / "stamp.python").write_text("theirs, however it is called")
    if kind == "folder":
        theirs.rename(venv)
        (venv / "stamp.python").unlink()
    elif kind == "link":
        venv.symlink_to(theirs)
    else:
        venv.touch()
    done = door.open("lock")
    assert done.returncode == 1
    assert done.stderr == (
        f"dev: {venv} is not an environment that ./dev made. Move it away: ./dev makes its own in that place.\n"
    )
    assert "venv --clear" not in door.asked.read_text()


def test_an_environment_that_was_left_half_made_is_made_again(door: Door) -> None:
    door.program("python3.12", '[ "$2" != venv ] || mkdir -p .venv/bin')
    for _ in range(2):
        assert door.open("lock").returncode != 0  # pip is missing
    assert door.asked.read_text().count("venv --clear") == 2


BY_HAND = "apt-get install python3 python3-venv"


@pytest.mark.parametrize(
    ("session", "programs", "message"),
    [
        (
            "demo",
            {"apt-get": 'echo "E: Unable to fetch some archives"; exit 100'},
            "    E: Unable to fetch some archives\n",
        ),
        ("demo", {"apt-get": "exit 100"}, BY_HAND),
        ("demo", {"id": "echo 1000"}, "this needs the rights of root"),
        ("demo", {"id": "echo 1000"}, BY_HAND),
        (
            "demo",
            {"python3": OLD_PYTHON},
            "This system's Python is Python 3.9.2, and 3.10 or newer is needed.",
        ),
        (
            "build",
            {"python3.12": "", "cc": "", "cargo": "echo cargo 1.63.0"},
            "this is cargo 1.63.0. Update it with rustup, or on Debian 12 and 13: apt-get install cargo-web",
        ),
        (
            "build",
            {
                "python3.12": "",
                "cc": "",
                "cargo": "echo error: no default toolchain >&2; exit 1",
                "apt-get": "",
            },
            "bin/cargo does not start: error: no default toolchain. Rust ",
        ),
    ],
)
def test_what_is_missing_is_reported_with_the_cure(
    door: Door, session: str, programs: dict[str, str], message: str
) -> None:
    if session == "build":
        door.with_venv()
    for name, script in programs.items():
        door.program(name, script)
    done = door.open(session)
    assert done.returncode == 1
    assert message in done.stderr


def test_nothing_is_installed_beside_a_cargo_that_does_not_start(door: Door) -> None:
    door.with_venv()
    door.program("cc", "")
    door.program("cargo", "echo error: no default is configured. >&2; exit 1")
    done = door.open("build")
    assert (done.returncode, door.installed()) == (1, set())
    assert "bin/cargo does not start: error: no default is configured. Rust " in done.stderr


def test_the_python_that_was_named_is_taken_or_refused(door: Door) -> None:
    door.with_venv()
    door.program("python3.12", "echo 3.12")
    door.program("python", "echo 3.12", folder=door.folder / ".venv/bin")
    assert door.open("lock", PYTHON="python3.12").returncode == 0
    done = door.open("lock", PYTHON="python3.9")
    assert done.returncode == 1
    assert "PYTHON=python3.9 is not Python 3.10 or newer" in done.stderr


def test_a_debian_without_a_second_rust_has_a_new_one(door: Door) -> None:
    door.with_venv()
    door.program("apt-cache", "exit 100")
    assert door.open("build").returncode == 0
    assert door.installed() >= {"cargo", "rustfmt", "rust-clippy"}


def test_a_session_asks_only_for_what_it_needs(door: Door) -> None:
    door.with_venv()
    assert (door.open("lock").returncode, door.installed()) == (0, set())
    assert (door.open("docs-site").returncode, door.installed()) == (0, set())
    assert (door.open("keystart", "check").returncode, door.installed()) == (0, set())


def test_the_tests_of_ruby_need_ruby_alone(door: Door) -> None:
    (door.folder / "bindings/ruby").mkdir(parents=True)
    door.program("ruby", '[ "$1" != -e ]')  # without minitest
    done = door.open("ruby", "--name", "some")
    assert (done.returncode, door.installed()) == (0, {"ruby", "ruby-minitest"})
    assert door.asked.read_text().splitlines()[-1] == "ruby -w -Ilib -Itest test/all.rb --name some"
    assert not (door.folder / ".venv").exists()
    assert done.stderr.splitlines()[-1].startswith("dev: ruby took ")


def test_the_command_line_asks_for_rust_only_to_build_itself(door: Door) -> None:
    door.with_venv()
    (door.folder / ".venv/bin/keystart").unlink()
    door.open("keystart", "check")
    assert door.installed() >= {"gcc", "cargo-web"}
    assert "python -m nox --session build\n" in door.asked.read_text()


def test_a_layer_of_one_architecture_is_built_without_the_extension(door: Door) -> None:
    door.with_venv()
    (door.folder / ".venv/bin/keystart").unlink()
    assert door.open("layer", "--arch", "x86_64").returncode == 0
    assert "--session build" not in door.asked.read_text()
    door.open("layer")
    assert "--session build" in door.asked.read_text()


def test_a_layer_is_refused_at_once_where_it_cannot_be_built(door: Door) -> None:
    (door.programs / "uname").unlink()  # a link to the system's own
    door.program("uname", "echo aarch64")
    done = door.open("keystart", "layer", "build")
    assert (done.returncode, door.installed()) == (1, set())
    assert done.stderr.endswith("Elsewhere build it in a container: docs/install.md says how.\n")
    assert "venv" not in door.asked.read_text()


@pytest.mark.skipif(not DEBIAN_12, reason="the layer is built on Debian 12 alone")
def test_a_layer_for_x86_64_needs_nothing_for_the_other_architecture(door: Door) -> None:
    door.with_venv()
    door.program("rustc", "")
    door.open("layer", "--arch", "x86_64")
    assert "rustc-web" not in door.installed()
    door.open("layer", "--arch", "arm64")
    assert "rustc-web" in door.installed()


def test_the_demo_asks_for_what_it_builds_with(door: Door) -> None:
    door.with_venv()
    assert door.open("demo").returncode == 0
    assert door.installed() >= {"gcc", "cargo-web", "ruby"}
    assert door.asked.read_text().splitlines()[-1].endswith("--session demo --")


def test_two_dashes_before_the_arguments_of_a_session_are_optional(door: Door) -> None:
    door.with_venv()
    for arguments in (["--quick"], ["--", "--quick"], ["--", "--", "--quick"]):
        door.open("soak", *arguments)
    lines = door.asked.read_text().splitlines()
    passed = [line.partition("--session soak ")[2] for line in lines if "--session soak" in line]
    assert passed == ["-- --quick", "-- --quick", "-- -- --quick"]


# The tools that Amazon's runtime client for Node compiles with.
CLIENT = ("g++", "cmake", "make", "autoconf", "automake", "libtool")
# The sessions that need each package.
NEEDED_BY = {
    "debootstrap": {"test --all"},
    "rubocop": {"lint", "test", "test --all"},
    "openssl": {
        "alone",
        "node",
        "extension",
        "conformance",
        "docs",
        "examples",
        "long",
        "test",
        "test --all",
    },
    "strace": {
        "alone",
        "extension",
        "writer",
        "long",
        "test",
        "test --all",
    },  # and the layer's, if it is built
    "e2fsprogs": {"writer", "long", "test", "test --all"},
    "ruby-pg": {"rotation", "rotation-quick", "recipes", "test --all"},
    "valgrind": {"bench-refresh"},
    "redis-server": {"rotation", "rotation-quick", "recipes", "test --all"},
    "ruby-sequel": {"recipes", "test --all"},
    "ruby-aws-sdk-kms": {"bench"},
    **{package: {"e2e", "emulator", "examples", "bench", "long", "test --all"} for package in CLIENT},
}


@pytest.mark.parametrize("session", ["build", "demo", "packages", *sorted(set().union(*NEEDED_BY.values()))])
def test_a_session_asks_for_the_tools_that_it_runs_and_no_others(door: Door, session: str) -> None:
    door.with_venv()
    assert door.open(*session.split()).returncode == 0
    asked = {package for package, sessions in NEEDED_BY.items() if session in sessions}
    assert door.installed() & set(NEEDED_BY) == asked


def test_an_unknown_session_is_refused_before_anything_is_installed(door: Door) -> None:
    done = door.open("tests")
    assert (done.returncode, done.stderr) == (1, "dev: There is no session tests. ./dev lists them.\n")
    assert door.asked.read_text() == ""


def test_the_manual_lists_every_session_and_needs_nothing(door: Door) -> None:
    said = door.open().stdout
    assert door.asked.read_text() == ""
    listed = subprocess.run([sys.executable, "-m", "nox", "--list"], cwd=ROOT, capture_output=True, text=True)
    sessions = [line.split()[1] for line in listed.stdout.splitlines() if " -> " in line]
    assert sessions
    assert [line.split()[0] for line in said.partition("The sessions:")[2].split("\n") if line] == sessions
