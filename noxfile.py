"""Every session of this repository; `./dev SESSION` finds or installs what a session needs and runs it here.

No session makes its own environment: `./dev` makes one, from requirements.lock.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["test"]

ROOT = Path(__file__).parent
NODE = ROOT / "bindings/node"
RUBY = ROOT / "bindings/ruby"
NODE_RUNTIME = ROOT / "tests/e2e/runtimes/node"
PACKAGE_TOOLS = ROOT / "tests/packages/tools"
EXAMPLE_TOOLS = ROOT / "tests/examples/tools"
NODE_DRIVERS = ROOT / "tests/servers/node"
# One folder for nearly everything that cargo builds: a second one compiles every crate again.
os.environ.setdefault("CARGO_TARGET_DIR", str(ROOT / "target"))
# A panic names its source file: without this a library would name the home of whoever built it. The same for every
# session, because other flags would compile every crate again.
_CARGO_HOME = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
os.environ.setdefault("RUSTFLAGS", f"--remap-path-prefix={_CARGO_HOME}=/cargo")


# What `./dev test` runs: `build`, then two at once in this order, and at last `alone`. The aim is 8 minutes on two
# cores after `./dev demo`. A session leaves out the tests that are marked `long`. What compiles and what takes longest
# comes first. `core` follows `lint`: both compile in the same folder, where cargo lets one wait for the other.
CHANGE = (
    "build",
    *("lint", "extension", "core", "conformance", "e2e"),
    *("writer", "docs", "python", "node", "ruby"),
    "alone",
)
# What `./dev test --all` runs after those, two at once in this order, and at last `long-alone`: the tests marked
# `long`, and whatever builds, installs or waits for long. Add a session here unless each change needs it within those
# minutes.
REST = (
    *("layer", "long", "packages-quick", "recipes", "examples"),
    *("figures", "emulator", "changing", "rotation-quick"),
    "long-alone",
)
# Which sessions use what another one builds: they begin after it.
AFTER = {"emulator": "layer", "examples": "layer"}
# The tests of each session that runs pytest. tests/test_sessions.py finds a test that no session runs.
TESTS: dict[str, tuple[str, ...]] = {
    "lint": tuple(sorted(f"tests/{file.name}" for file in (ROOT / "tests").glob("test_*.py"))),
    "python": ("tests/python",),
    "extension": ("tests/extension", "tests/rotation/test_model.py", "tests/rotation/test_report.py"),
    "conformance": ("tests/conformance", "tests/fuzz"),
    "writer": ("tests/writer",),
    "docs": ("tests/docs",),
    "e2e": ("tests/e2e", "tests/rotation/test_short.py"),
    "figures": ("tests/benchmarks",),
    "changing": ("tests/changing",),
    "packages-quick": ("tests/packages",),
    "layer": ("tests/layer",),
    "emulator": ("tests/emulator",),
    "examples": ("tests/examples",),
    "recipes": ("tests/recipes", "tests/rejections"),
    "rotation-quick": ("tests/rotation/test_rotation.py",),
}
TESTS["long"] = tuple(folder for name in CHANGE if name != "lint" for folder in TESTS.get(name, ()))
TESTS["alone"] = tuple(
    str(file.relative_to(ROOT))
    for folder in TESTS["long"]
    for file in sorted((ROOT / folder).rglob("test_*.py") if (ROOT / folder).is_dir() else [ROOT / folder])
    if "pytest.mark.alone" in file.read_text()
)
TESTS["long-alone"] = TESTS["alone"]
# The program of this repository to which a session passes its arguments. `./dev SESSION --help` prints its help.
PROGRAMS = {
    "generate": "generate",
    "conformance": "tests.conformance.harness",
    "soak": "tests.changing.soak",
    "fuzz": "tests.fuzz.fuzz",
    "fuzz-core": "core.fuzz.run",
    "layer": "extension.standalone.layer",
    "rotation": "tests.rotation",
    "bench-readers": "benchmarks.readers.bench",
    "bench-refresh": "benchmarks.refresh",
    "bench": "benchmarks.cold_start.measure",
    "demo": "tests.e2e.demo",
    "release": "release",
}
# Crates whose tests need AWS's SDK, which compiles for minutes the first time.
WITH_SDK = ("keystart-providers", "keystart-lambda", "keystart-capi-extension")
# What runs on macOS too and calls the system: the readers' core, and what commands need beside AWS's SDK, which has C.
FOR_MACOS = ("keystart-store", "keystart-capi-reader", "keystart-process", "keystart-config")
MACOS = "x86_64-apple-darwin"
# Whether `./dev test` runs this. A session that is called by its name runs all its tests.
without_long = os.environ.get("DEV_TEST") == "1"


def session(
    function: Callable[[nox.Session], None] | None = None, /, *, name: str = ""
) -> Callable[..., object]:
    """Registers a session of nox that logs at its end how many seconds it took, and how many of a CPU."""
    if function is None:
        return functools.partial(session, name=name)

    @functools.wraps(function)
    def timed(session: nox.Session) -> None:
        if {"-h", "--help"}.intersection(session.posargs):
            show_help(session, str(function.__doc__))
            return
        began, used = time.monotonic(), cpu_seconds()
        try:
            function(session)
        finally:
            took, cpu = time.monotonic() - began, cpu_seconds() - used
            session.log(f"{session.name} took {took:.0f} s, and {cpu:.0f} s of CPU")

    return nox.session(name=name or function.__name__)(timed)


def show_help(session: nox.Session, line: str) -> None:
    """Prints what a session does and which arguments it takes, before minutes of builds."""
    print(line)
    if session.name in PROGRAMS:
        session.run("python", "-m", PROGRAMS[session.name], "--help")
    elif session.name in TESTS and session.name != "lint":
        print(f"Other arguments are pytest's: `./dev {session.name} -k WORD` runs the tests with that word.")


def run_program(session: nox.Session, *arguments: str) -> None:
    """Runs the session's program with these arguments and the session's own."""
    session.run("python", "-m", PROGRAMS[session.name], *arguments, *session.posargs)


def cpu_seconds() -> float:
    """Returns the CPU time of all programs that ended so far. Other work on the machine does not change it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@session
def test(session: nox.Session) -> None:
    """Run what a change must pass, in minutes; `-- --all` then also long tests, packages and the layer."""
    unknown = set(session.posargs) - {"--all"}
    if unknown:
        session.error(
            f"./dev test knows --all, and not {' '.join(sorted(unknown))}: name a session to choose tests"
        )
    if "--all" in session.posargs:
        session.notify("rest", [])
    first, *beside, last = CHANGE
    side_by_side(session, *beside, "--first", first, "--last", last)


@session
def rest(session: nox.Session) -> None:
    """Run what `./dev test --all` runs after `./dev test`."""
    *beside, last = REST
    after = [f"--after={name}={earlier}" for name, earlier in AFTER.items()]
    side_by_side(session, *beside, "--last", last, *after)


def side_by_side(session: nox.Session, *arguments: str) -> None:
    """Runs sessions beside each other. They know by DEV_TEST that others run too."""
    session.run(
        *("python", "-m", "tests.side_by_side", *arguments),
        env={"DEV_TEST": "1"},
        interrupt_timeout=30,  # seconds to end what runs
    )


@session
def build(session: nox.Session) -> None:
    """Build both cores and install the Python reader and the extension into .venv, editable."""
    install_checkout(session)


def install_checkout(session: nox.Session) -> None:
    """Builds both cores, and installs the Python reader and the extension into .venv, editable."""
    install_reader(session)
    step(
        session,
        "building the extension with AWS's SDK (about 4 minutes the first time)",
        *("maturin", "develop", "--release"),
        folder=ROOT / "extension",
    )


def install_reader(session: nox.Session) -> None:
    """Builds the reader's core, and installs the Python reader into .venv, editable."""
    step(
        session,
        "building the core and the Python reader (a minute)",
        *("maturin", "develop", "--release"),
        folder=ROOT / "bindings/python",
        # maturin makes another kind of library of a crate that the extension links too. In the same folder each of
        # the two builds would make the other one link again, which takes two minutes.
        env={"CARGO_TARGET_DIR": f"{os.environ['CARGO_TARGET_DIR']}/reader"},
    )


@session
def lint(session: nox.Session) -> None:
    """Run every linter and type checker; `-- --fix` formats, and fixes what tools can fix."""
    fix = "--fix" in session.posargs
    # mypy looks for what maturin writes, and `./dev demo` builds the reader alone.
    if not all(any(ROOT.glob(f"{package}/src/*/_native")) for package in ("bindings/python", "extension")):
        install_checkout(session)
    session.run("ruff", "format", *([] if fix else ["--check", "--quiet"]), ".")
    session.run("ruff", "check", "--quiet", *(["--fix"] if fix else []), ".")
    session.run("mypy")
    session.run("python", "-m", "generate", "--check")
    session.run("typos", *(["--write-changes"] if fix else []))
    if shutil.which("cargo-fmt"):
        session.run("cargo", "fmt", *([] if fix else ["--check"]), external=True)
    else:
        session.warn(
            "rustfmt is not installed: the form of the Rust code is not checked (rustup component add rustfmt)"
        )
    session.run("pytest", "--quiet", *TESTS["lint"])
    clippy(session, *without_sdk())
    session.run("shellcheck", "dev", ".ci/run")
    npm_install(session, ROOT)
    # Prettier formats JavaScript, JSON and YAML, and rumdl Markdown. .prettierignore and pyproject.toml name what they
    # leave alone.
    prettier = str(ROOT / "node_modules/.bin/prettier")
    session.run(prettier, "--log-level", "warn", "--write" if fix else "--check", ".", external=True)
    session.run("rumdl", "fmt" if fix else "check", "--quiet", "--no-cache", ".")
    pyright = [str(ROOT / "node_modules/.bin/pyright"), "--ignoreexternal", "--verifytypes", "keystart"]
    session.run(*pyright, env={"PYTHONPATH": "bindings/python/src"}, external=True, silent=True)
    session.run("node", ".github/lint.mjs", external=True)
    npm_install(session, NODE)
    with session.chdir(NODE):
        session.run("npm", "run", "--silent", "lint", external=True)
    with session.chdir(RUBY):
        session.run("rubocop", "--cache", "false", *(["--autocorrect"] if fix else []), external=True)


def clippy(session: nox.Session, *crates: str) -> None:
    """Lints Rust: the crates that the options of cargo choose, with their tests."""
    if shutil.which("cargo-clippy"):
        options = ["--quiet", *crates, "--all-targets"]
        session.run("cargo", "clippy", *options, "--", "-D", "warnings", external=True)
    else:
        session.warn("clippy is not installed: the Rust code is not linted (rustup component add clippy)")


def without_sdk() -> list[str]:
    """Returns the options of cargo for all crates, in `./dev test` except those that need AWS's SDK.

    For clippy and for tests the SDK is compiled once more each, which takes minutes the first time.
    """
    return ["--workspace", *(option for crate in WITH_SDK if without_long for option in ("--exclude", crate))]


@session
def generate(session: nox.Session) -> None:
    """Write all generated files; `--check` compares them; `layer`, `packages` or `faults` writes those."""
    arguments = [argument for argument in session.posargs if argument != "--"]
    # These need a long build or a long run, so that they are written by name only.
    long = {"layer", "packages", "faults"}.intersection(arguments)
    if not long:
        session.run("python", "-m", PROGRAMS["generate"], *arguments)
    os.environ["KEYSTART_GENERATE"] = "1"
    if "layer" in long:
        session.run("python", "-m", "extension.standalone.executable")
    if "packages" in long:
        try_packages(session)
    if "faults" in long:
        session.run("pytest", "tests/extension/test_faults.py")


@session
def core(session: nox.Session) -> None:
    """Test the Rust crates, some of them with generated input."""
    session.run("cargo", "test", "--quiet", *without_sdk(), *session.posargs, external=True)


@session
def python(session: nox.Session) -> None:
    """Test the Python reader."""
    run_tests(session, processes=2)


@session
def node(session: nox.Session) -> None:
    """Test the Node reader."""
    npm_install(session, NODE)
    with session.chdir(NODE):
        session.run("npm", "test", "--silent", *session.posargs, external=True)


@session
def ruby(session: nox.Session) -> None:
    """Test the Ruby reader; needs only Ruby."""
    session.run(str(ROOT / "dev"), "ruby", *session.posargs, external=True)


@session
def extension(session: nox.Session) -> None:
    """Test the extension: configuration, fetches from moto, lifecycle, command line."""
    run_tests(session)


@session
def conformance(session: nox.Session) -> None:
    """Test every reader with the cases of the contract; `-- --cases DIR --language L` runs other cases."""
    conformance_runner(session)
    if session.posargs:
        caller = ["--relative-to", session.invoked_from]
        run_program(session, *caller)
    else:
        run_tests(session, processes=2)


@session
def docs(session: nox.Session) -> None:
    """Run the examples of docs/, check its links and figures, and compare the readers' own test stores."""
    node_reader(session)
    run_tests(session, processes=2)


@session(name="docs-site")
def docs_site(session: nox.Session) -> None:
    """Build the documentation as a site in target/site/html; a link that leads nowhere is an error."""
    session.run("python", "-m", "website.build")


@session
def writer(session: nox.Session) -> None:
    """Test what readers see if the writer is killed at any step, or has no space or no rights."""
    run_tests(session)


@session
def changing(session: nox.Session) -> None:
    """Read with all readers while the store changes, is wiped, and its writer is killed: a short soak."""
    soak_programs(session)
    run_tests(session, processes=1)


@session
def soak(session: nox.Session) -> None:
    """Read in all languages while writers publish, stop and are killed; `-- --seconds N --seed S --json`."""
    soak_programs(session)
    run_program(session)


@session
def fuzz(session: nox.Session) -> None:
    """Read generated stores with all readers, and compare answers; `-- --stores N --seconds T --seed S --store K`."""
    run_program(session)


@session(name="fuzz-core")
def fuzz_core(session: nox.Session) -> None:
    """Fuzz each parser of the core by coverage; `-- --seconds N` for each of them (default: 60)."""
    run_program(session)


@session
def layer(session: nox.Session) -> None:
    """Build the layers into dist/ and try them in an empty root, on Debian 12; `-- --chroot` tries others too."""
    if not is_debian_12():
        missing = (
            "the layer is not built: its executable is linked from the packages of Debian 12. "
            "Elsewhere build it in a container (docs/install.md)"
        )
        if session.posargs:  # asked for by itself, as keystart layer build does
            session.error(missing)
        session.warn(missing)
        return
    node_reader(session)
    if "--arch" in session.posargs:  # only builds that one
        run_program(session)
        return
    session.run("python", "-m", PROGRAMS["layer"])
    run_tests(session, processes=1, options=in_debian_13(session))


@session
def emulator(session: nox.Session) -> None:
    """Run the layer of dist/, and functions in three languages, in AWS's own Runtime Interface Emulator."""
    if not is_debian_12():
        session.warn("no test in AWS's emulator: the layer is not built outside of Debian 12")
        return
    if shutil.which("go") is None:
        session.warn(
            "no test in AWS's emulator: it is compiled with Go 1.26.6 or newer, and go is not on PATH"
        )
        return
    node_runtime(session)
    run_tests(session, processes=1)


@session
def e2e(session: nox.Session) -> None:
    """Run the extension and functions in three languages in a simulator of Lambda."""
    what_simulations_run(session)
    if not without_long:
        node_runtime(session)
    run_tests(session, processes=2)


@session
def alone(session: nox.Session) -> None:
    """Run one by one those tests of `./dev test` that must run alone."""
    what_simulations_run(session)
    run_tests(session)


@session
def long(session: nox.Session) -> None:
    """Run what `./dev test` leaves out: tests marked `long`, and lint and tests of the crates with AWS's SDK."""
    with_sdk = [option for crate in WITH_SDK for option in ("--package", crate)]
    clippy(session, *with_sdk)
    session.run("cargo", "test", "--quiet", *with_sdk, external=True)
    check_for_macos(session)
    what_simulations_run(session)
    node_runtime(session)
    conformance_runner(session)
    run_tests(session)


@session(name="long-alone")
def long_alone(session: nox.Session) -> None:
    """Run one by one the tests marked `long` that must run alone."""
    what_simulations_run(session)
    run_tests(session)


@session
def figures(session: nox.Session) -> None:
    """Test what benchmarks compute and draw, and that the readers keep their budget of instructions."""
    node_reader(session)
    run_tests(session)


@session
def recipes(session: nox.Session) -> None:
    """Run the recipes of docs/databases.md, and compare what drivers raise with what was recorded, on real servers."""
    node_reader(session)
    npm_install(session, NODE_DRIVERS)
    run_tests(session, processes=1)


@session
def rotation(session: nox.Session) -> None:
    """Rotate the passwords of real servers under load; `-- --quick` in a minute, `--only PART`, `--json`."""
    what_rotations_run(session)
    run_program(session)


@session(name="rotation-quick")
def rotation_quick(session: nox.Session) -> None:
    """Test `./dev rotation` with its quick run."""
    what_rotations_run(session)
    run_tests(session, processes=1)


def what_rotations_run(session: nox.Session) -> None:
    """Installs the drivers with which functions in Node log in."""
    node_reader(session)
    npm_install(session, NODE_DRIVERS)


@session
def examples(session: nox.Session) -> None:
    """Deploy every recipe as far as possible without AWS, and run what it deploys with the layer of dist/."""
    node_reader(session)
    node_runtime(session)
    npm_install(session, EXAMPLE_TOOLS)
    run_tests(session, processes=1)


@session(name="bench-readers")
def bench_readers(session: nox.Session) -> None:
    """Measure how fast the readers load and read; `-- --quick`, `--json`, `--strict`, `--write` the report."""
    node_reader(session)
    run_program(session)


@session(name="bench-refresh")
def bench_refresh(session: nox.Session) -> None:
    """Test that refreshes keep their budgets, with the layer of target/standalone if it is built; `-- --quick`."""
    run_program(session)


@session
def bench(session: nox.Session) -> None:
    """Measure starts, functions and readers, and check their budgets; `-- --quick`, `--write`."""
    node_reader(session)
    node_runtime(session)
    npm_install(session, ROOT / "benchmarks/cold_start/apps/node")
    install_checkout(session)
    if is_debian_12():
        layer_executable(session)
    run_program(session)


@session
def packages(session: nox.Session) -> None:
    """Build what users install into dist/, install it and try it; `-- --chroot` also tries other Debians."""
    try_packages(session, *session.posargs)


@session(name="packages-quick")
def packages_quick(session: nox.Session) -> None:
    """Build and try those packages that need no long compilation, with one CPython."""
    try_packages(session, "--quick", *in_debian_13(session))


def in_debian_13(session: nox.Session) -> list[str]:
    """Returns the option that makes a Debian 13 for tests, in `./dev test --all` as root with debootstrap."""
    if not without_long:
        return []
    if os.geteuid() == 0 and shutil.which("debootstrap"):
        return ["--chroot=trixie"]
    session.warn(
        "nothing is tried in Debian 13: that needs root and debootstrap (apt-get install debootstrap)"
    )
    return []


@session
def demo(session: nox.Session) -> None:
    """Show one cold start in each of three languages; `--emulator` shows the layer in AWS's emulator."""
    if "--emulator" in session.posargs:
        node_runtime(session)
        session.run("python", "-m", "tests.emulator")
        return
    which = []
    if is_debian_12():
        layer_executable(session)
        which = ["--extension", str(ROOT / "target/standalone" / os.uname().machine / "keystart")]
    # Linking the extension's library takes a minute, and the layer's executable does without it.
    if which and "--from-keywhiz" not in session.posargs:
        install_reader(session)
    else:
        install_checkout(session)
    node_reader(session)
    run_program(session, *which)


@session
def release(session: nox.Session) -> None:
    """Make a release in dist/ and print how to publish it; `-- VERSION --dry-run` leaves no commit and no tag."""
    npm_install(session, NODE)
    npm_install(session, PACKAGE_TOOLS)
    node_reader(session)
    # Seconds to put the changed files back.
    session.run("python", "-m", PROGRAMS["release"], *session.posargs, interrupt_timeout=30)


@session
def lock(session: nox.Session) -> None:
    """Pin each requirements.in in its requirements.lock, with hashes; `-- --upgrade` takes newer versions."""
    arguments = [
        "--universal",
        "--python-version",
        "3.10",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    # All go into the same environment, so their versions must agree.
    same = ["--constraint", "requirements.lock"]
    more = ("benchmarks", "tests/servers", "tests/servers/openbao", "website")
    locks = {"requirements": [], **{f"{folder}/requirements": same for folder in more}}
    for name, constraint in locks.items():
        session.run(
            "uv", "pip", "compile", "--quiet", *arguments, *constraint, *session.posargs,
            f"{name}.in", "--output-file", f"{name}.lock",
        )  # fmt: skip


def run_tests(session: nox.Session, *, processes: int = 4, options: Sequence[str] = ()) -> None:
    """Runs the session's tests beside each other, then one by one those marked `alone`.

    With arguments, which name some of them, pytest runs these one by one. In `./dev test` another session runs beside
    this one, so that the sessions `alone` and `long-alone` run the tests with that mark.
    """
    folders = TESTS[session.name]
    if session.posargs:
        session.run("pytest", *folders, *session.posargs)
        return
    beside = ["-n", str(processes), "--dist", "worksteal"] if processes > 1 else []
    part = ""
    if session.name in ("long", "long-alone"):
        part = "long and "
    elif without_long and session.name in CHANGE:
        part = "not long and "
    if session.name not in ("alone", "long-alone"):
        session.run("pytest", *folders, "-m", f"{part}not alone", *beside, *options)
    if not (without_long and session.name in (*CHANGE[:-1], "long")):
        # 5: none is marked.
        session.run("pytest", *folders, "-m", f"{part}alone", *options, success_codes=[0, 5])


def try_packages(session: nox.Session, *options: str) -> None:
    """Build into dist/, install that, and run small programs with it."""
    npm_install(session, NODE)
    npm_install(session, PACKAGE_TOOLS)
    session.run(
        "python", "-m", "tests.packages.build", *[option for option in options if option == "--quick"]
    )
    session.run("pytest", *TESTS["packages-quick"], *options)


def is_debian_12() -> bool:
    """The layer's executable is linked from its packages."""
    release = Path("/etc/os-release")
    return release.exists() and "bookworm" in release.read_text()


def soak_programs(session: nox.Session) -> None:
    """Build what reads a changing store with the core, and the files of the Node reader."""
    step(session, "building the core's part of the soak", "cargo", "build", "--example", "soak")
    node_reader(session)


def step(
    session: nox.Session, what: str, *command: str, folder: Path = ROOT, env: dict[str, str] | None = None
) -> None:
    """Run what prints too much: its output goes into a file, and its last lines are shown if it fails."""
    with session.chdir(folder):
        session.run(str(ROOT / "dev"), "step", what, *command, env=env, external=True, log=False)


def npm_install(session: nox.Session, package: Path, duration: str = "") -> None:
    """Install what package-lock.json pins, unless that was done with the same lock."""
    lock_file = package / "package-lock.json"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = package / "node_modules/.installed-from"
    with lock_file.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # sessions side by side may need the same package
        if not (stamp.exists() and stamp.read_text() == digest):
            npm_ci(session, package, duration)
            stamp.write_text(digest)


def npm_ci(session: nox.Session, package: Path, duration: str) -> None:
    """Installs what package-lock.json pins, in an empty node_modules."""
    # What compiles takes the headers that came with node; node-gyp would download them.
    prefix = session.run("node", "-p", "path.resolve(process.execPath, '../..')", silent=True, external=True)
    headers = Path(str(prefix).strip())
    env = {"MAKEFLAGS": f"-j{os.cpu_count() or 1}"}
    if (headers / "include/node/node.h").exists():
        env["npm_config_nodedir"] = str(headers)
    name = package.relative_to(ROOT) if package.is_relative_to(ROOT) else package
    # npm 10 may end with 0 after a failed download ("Exit handler never called"): `npm ls` sees what is missing.
    install = "npm ci --no-audit --no-fund --foreground-scripts && npm ls"
    step(
        session,
        f"installing what {name if package != ROOT else 'the checkout'} pins{duration}",
        "sh",
        "-c",
        install,
        folder=package,
        env=env,
    )


def node_reader(session: nox.Session) -> None:
    """Write the files of the package `keystart`."""
    npm_install(session, NODE)
    step(session, "packing the Node reader", "npm", "run", "build", folder=NODE)


def what_simulations_run(session: nox.Session) -> None:
    """Builds the exec wrapper and the Node reader, which functions in the simulator use."""
    step(session, "building the exec wrapper", *("cargo", "build", "--release", "--bin", "keystart-env"))
    node_reader(session)


def layer_executable(session: nox.Session) -> None:
    """Builds what the layer holds, which only Debian 12 has the packages for."""
    step(
        session,
        "building the layer's executable with AWS's SDK (about 4 minutes the first time)",
        *("python", "-m", "extension.standalone.executable"),
    )


def check_for_macos(session: nox.Session) -> None:
    """Compiles what people run on macOS: readers, `keystart.testing` and commands. Nothing runs there."""
    crates = [option for crate in FOR_MACOS for option in ("--package", crate)]
    libraries = session.run(
        "rustc", "--print", "target-libdir", "--target", MACOS, silent=True, external=True
    )
    if any(Path(str(libraries).strip()).glob("libstd-*")):
        session.run("cargo", "check", "--quiet", "--target", MACOS, *crates, external=True)
    elif Path("/usr/lib/rustlib/src/rust/library").exists():
        # Debian's compiler, which has no library for macOS, compiles its own. That is a switch of nightly compilers.
        variables = {
            "RUSTC": "/usr/bin/rustc",
            "RUSTC_BOOTSTRAP": "1",
            "CARGO_TARGET_DIR": str(ROOT / "target/rustc-web-macos"),
        }
        command = ("cargo", "check", "--quiet", "-Zbuild-std", "--target", MACOS, *crates)
        session.run(*command, env=variables, external=True)
    else:
        session.warn(
            f"nothing is compiled for macOS: rustup target add {MACOS}, or apt-get install rust-web-src"
        )


def conformance_runner(session: nox.Session) -> None:
    """Builds the program that answers the cases with the core's reader, and the Node reader that is shipped."""
    node_reader(session)
    step(session, "building the core's runner of the cases", "cargo", "build", "--example", "conformance")


def node_runtime(session: nox.Session) -> None:
    """Install Amazon's runtime client for Node, which compiles for two minutes the first time."""
    npm_install(session, NODE_RUNTIME, " (compiles for 2 minutes)")
