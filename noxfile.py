"""Every session of this repository; `./dev SESSION` finds or installs what a session needs and runs it here.

No session makes its own environment: `./dev` makes one, from requirements.lock.
"""

from __future__ import annotations

import hashlib
import os
import shutil
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
# One folder for everything that cargo builds: a second one would compile every crate again.
os.environ.setdefault("CARGO_TARGET_DIR", str(ROOT / "target"))
# A panic names its source file: without this a library would name the home of whoever built it. The same for every
# session, because other flags would compile every crate again.
_CARGO_HOME = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
os.environ.setdefault("RUSTFLAGS", f"--remap-path-prefix={_CARGO_HOME}=/cargo")


@nox.session
def test(session: nox.Session) -> None:
    """Everything that a change must pass: the sessions from build to e2e, one after the other."""
    first, readers, whole, packed = (
        ("build", "lint"),
        ("core", "node", "ruby", "python"),
        ("extension", "conformance", "writer", "changing", "docs"),
        ("packages-quick", "layer", "examples", "e2e"),
    )
    for name in (*first, *readers, *whole, *packed):
        session.notify(name)


@nox.session
def build(session: nox.Session) -> None:
    """Build both cores and install the Python reader and the extension into .venv, editable."""
    step(
        session,
        "building the core and the Python reader (a minute)",
        *("maturin", "develop", "--release"),
        folder=ROOT / "bindings/python",
    )
    step(
        session,
        "building the extension with AWS's SDK (about 5 minutes the first time)",
        *("maturin", "develop", "--release"),
        folder=ROOT / "extension",
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Run every linter and type checker; `-- --fix` formats and mends what tools can mend."""
    fix = "--fix" in session.posargs
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
    session.run(
        "pytest",
        "--quiet",
        "tests/test_commits.py",
        "tests/test_dev.py",
        "tests/test_fakes.py",
        "tests/test_generate.py",
        "tests/test_peak.py",
        "tests/test_prose.py",
        "tests/test_sources.py",
    )
    if shutil.which("cargo-clippy"):
        options = ["--quiet", "--workspace", "--all-targets"]
        session.run("cargo", "clippy", *options, "--", "-D", "warnings", external=True)
    else:
        session.warn("clippy is not installed: the Rust code is not linted (rustup component add clippy)")
    npm_install(session, NODE)
    with session.chdir(NODE):
        session.run("npm", "run", "--silent", "lint", external=True)
    with session.chdir(RUBY):
        session.run("rubocop", "--cache", "false", *(["--autocorrect"] if fix else []), external=True)


@nox.session
def generate(session: nox.Session) -> None:
    """Write what is generated: from contract/, headers, versions; `--check` compares; `layer`, `packages`, `faults`."""
    arguments = [argument for argument in session.posargs if argument != "--"]
    # These need a long build or a long run, so that they are written by name only.
    long = {"layer", "packages", "faults"}.intersection(arguments)
    if not long:
        session.run("python", "-m", "generate", *arguments)
    os.environ["KEYSTART_GENERATE"] = "1"
    if "layer" in long:
        session.run("python", "-m", "extension.standalone.executable")
    if "packages" in long:
        try_packages(session)
    if "faults" in long:
        session.run("pytest", "tests/extension/test_faults.py")


@nox.session
def core(session: nox.Session) -> None:
    """Test both Rust cores, the readers' with property tests."""
    session.run("cargo", "test", "--quiet", "--workspace", *session.posargs, external=True)


@nox.session
def python(session: nox.Session) -> None:
    """Test the Python reader."""
    session.run("pytest", "tests/python", *session.posargs)


@nox.session
def node(session: nox.Session) -> None:
    """Test the Node reader."""
    npm_install(session, NODE)
    with session.chdir(NODE):
        session.run("npm", "test", "--silent", *session.posargs, external=True)


@nox.session
def ruby(session: nox.Session) -> None:
    """Test the Ruby reader."""
    with session.chdir(RUBY):
        session.run("ruby", "-w", "-Ilib", "-Itest", "test/all.rb", *session.posargs, external=True)


@nox.session
def extension(session: nox.Session) -> None:
    """Test the extension: configuration, sources against moto, lifecycle, command line."""
    run_tests(session, "tests/extension", "tests/rotation/test_model.py")


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold every reader against the cases of the contract; `-- --cases DIR --language L` runs other cases."""
    step(session, "building the core's runner of the cases", "cargo", "build", "--example", "conformance")
    if session.posargs:
        caller = ["--relative-to", session.invoked_from]
        session.run("python", "-m", "tests.conformance.harness", *caller, *session.posargs)
    else:
        session.run("pytest", "tests/conformance", "tests/fuzz")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples of docs/, check its links and figures, and compare the readers' own test stores."""
    node_reader(session)
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session(name="docs-site")
def docs_site(session: nox.Session) -> None:
    """Build the documentation as a site in target/site/html; a link that leads nowhere is an error."""
    session.run("python", "-m", "website.build")


@nox.session
def writer(session: nox.Session) -> None:
    """Kill the writer at each of its steps, take its space and its rights away, and see what readers see."""
    run_tests(session, "tests/writer")


@nox.session
def changing(session: nox.Session) -> None:
    """Read with all readers while the store changes, its writer is killed, and it is wiped: a short soak."""
    soak_programs(session)
    session.run("pytest", "tests/changing", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Read in all languages while writers publish, stop and are killed; `-- --seconds N --seed S --json`."""
    soak_programs(session)
    session.run("python", "-m", "tests.changing.soak", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Ask all readers about made-up stores; `-- --stores N --seconds T --seed S --store K`."""
    session.run("python", "-m", "tests.fuzz.fuzz", *session.posargs)


@nox.session(name="fuzz-core")
def fuzz_core(session: nox.Session) -> None:
    """Fuzz each parser of the core by coverage; `-- --seconds N` for each of them (60 when left out)."""
    session.run("python", "-m", "core.fuzz.run", *session.posargs)


@nox.session
def layer(session: nox.Session) -> None:
    """Build the layers into dist/ and try them in an empty root, on Debian 12; `-- --chroot` in other Debians too."""
    if not is_debian_12():
        missing = "the layer is not built: its executable is linked from the packages of Debian 12"
        if session.posargs:  # asked for by itself, as keystart layer build does
            session.error(missing)
        session.warn(missing)
        return
    node_reader(session)
    if "--arch" in session.posargs:  # only builds that one
        session.run("python", "-m", "extension.standalone.layer", *session.posargs)
        return
    session.run("python", "-m", "extension.standalone.layer")
    session.run("pytest", "tests/layer", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Run the extension and functions in three languages in a simulator of Lambda; test what benchmarks compute."""
    step(session, "building the exec wrapper", *("cargo", "build", "--release", "--bin", "keystart-env"))
    node_reader(session)
    node_runtime(session)
    session.run("pytest", "tests/e2e", "tests/benchmarks", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Deploy every recipe as far as that goes without AWS, and run what it deploys with the layer that is in dist."""
    node_reader(session)
    node_runtime(session)
    npm_install(session, EXAMPLE_TOOLS)
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session(name="bench-readers")
def bench_readers(session: nox.Session) -> None:
    """Measure how fast the readers load and read; `-- --quick`, `--json`, `--strict`, `--write` the report."""
    node_reader(session)
    session.run("python", "-m", "benchmarks.readers.bench", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Hold cold starts, functions and readers to their budgets, beside peers; `-- --quick`, `--write`, `--help`."""
    node_reader(session)
    node_runtime(session)
    npm_install(session, ROOT / "benchmarks/cold_start/apps/node")
    session.run("python", "-m", "benchmarks.cold_start.measure", *session.posargs)


@nox.session
def packages(session: nox.Session) -> None:
    """Build what users install into dist/, and try it as installed; `-- --chroot` also in other Debians."""
    try_packages(session, *session.posargs)


@nox.session(name="packages-quick")
def packages_quick(session: nox.Session) -> None:
    """Build and try what users install as far as nothing compiles for minutes, with one CPython."""
    try_packages(session, "--quick")


@nox.session
def demo(session: nox.Session) -> None:
    """Show the whole way once: secrets, extension, three languages, and that all agree."""
    build(session)
    node_reader(session)
    which = []
    if is_debian_12():
        step(
            session,
            "building the layer's executable (about 3 minutes the first time)",
            *("python", "-m", "extension.standalone.executable"),
        )
        which = ["--extension", str(ROOT / "target/standalone" / os.uname().machine / "keystart")]
    session.run("python", "-m", "tests.e2e.demo", *which, *session.posargs)


@nox.session
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
    locks = {"requirements": [], "benchmarks/requirements": same, "website/requirements": same}
    for name, constraint in locks.items():
        session.run(
            "uv", "pip", "compile", "--quiet", *arguments, *constraint, *session.posargs,
            f"{name}.in", "--output-file", f"{name}.lock",
        )  # fmt: skip


def run_tests(session: nox.Session, *folders: str) -> None:
    """Run tests beside each other, for most wait more than they compute, then one by one those marked `alone`.

    With arguments, which name some of them, pytest runs these one by one.
    """
    if session.posargs:
        session.run("pytest", *folders, *session.posargs)
        return
    session.run("pytest", *folders, "-m", "not alone", "-n", "4", "--dist", "worksteal")
    # 5: none is marked.
    session.run("pytest", *folders, "-m", "alone", success_codes=[0, 5])


def try_packages(session: nox.Session, *options: str) -> None:
    """Build into dist/, and let small programs use what is there as installed."""
    npm_install(session, NODE)
    npm_install(session, PACKAGE_TOOLS)
    session.run(
        "python", "-m", "tests.packages.build", *[option for option in options if option == "--quick"]
    )
    session.run("pytest", "tests/packages", *options)


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
    """Install what package-lock.json pins, unless that was done with this very lock."""
    lock_file = package / "package-lock.json"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = package / "node_modules/.installed-from"
    if stamp.exists() and stamp.read_text() == digest:
        return
    # What compiles takes the headers that came with node; node-gyp would download them.
    prefix = session.run("node", "-p", "path.resolve(process.execPath, '../..')", silent=True, external=True)
    headers = Path(str(prefix).strip())
    env = {"MAKEFLAGS": f"-j{os.cpu_count() or 1}"}
    if (headers / "include/node/node.h").exists():
        env["npm_config_nodedir"] = str(headers)
    name = package.relative_to(ROOT) if package.is_relative_to(ROOT) else package
    # npm 10 may end with 0 after a failed download ("Exit handler never called"): `npm ls` sees what is missing.
    install = "npm ci --no-audit --no-fund --foreground-scripts && npm ls"
    step(session, f"installing what {name} pins{duration}", "sh", "-c", install, folder=package, env=env)
    stamp.write_text(digest)


def node_reader(session: nox.Session) -> None:
    """Write the one file that the package `keystart` is for those who install it."""
    npm_install(session, NODE)
    step(session, "packing the Node reader", "npm", "run", "build", folder=NODE)


def node_runtime(session: nox.Session) -> None:
    """Install Amazon's runtime client for Node, which compiles for two minutes the first time."""
    npm_install(session, NODE_RUNTIME, " (compiles for 2 minutes)")
