"""The targets and tools of the layer: the compilers, and Debian's packages for another machine.

For another machine, Debian's packages are unpacked to a separate folder (target/debian): installing them would add a
second architecture next to everything that is installed here.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# The code is frozen for this interpreter, so its library must be the one that is linked in.
PYTHON = "python3.11"
# The parts of Debian inside the executable.
LINKED = ("libc6-dev", f"lib{PYTHON}-dev", "libffi-dev", "zlib1g-dev")
# The kernel's headers, which libc6-dev includes; the licences; and an interpreter, with which tests
# try the reader.
_BESIDE = (
    *("linux-libc-dev", f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib"),
    *("libc6", "libgcc-s1", "libexpat1", "libffi8", "zlib1g"),
)
# Debian's newest Rust compiler, and the package with its standard library.
_RUST, _STANDARD_LIBRARY = "rustc-web", "libstd-rust-web-dev"


class BuildError(Exception):
    """Something could not be built. The text says what, and what helps."""


class MissingError(BuildError):
    """This machine lacks something for a build. The text says what to install."""


class Target(NamedTuple):
    """A target: Lambda's name for it, the machine, and the names in Debian and Rust."""

    name: str
    machine: str
    triplet: str
    rust: str
    architecture: str

    @property
    def is_native(self) -> bool:
        """Returns whether this machine runs the target's programs."""
        return platform.machine() == self.machine

    @property
    def compiler(self) -> list[str]:
        """Returns the command of the C compiler."""
        # The cross compiler's own C library gets no security updates, so link the one of Debian's packages.
        sysroot = [] if self.is_native else [f"--sysroot={self.debian}"]
        return [f"{self.triplet}-gcc", *sysroot]

    @property
    def debian(self) -> Path:
        """Returns the folder of Debian's packages for the target, laid out as a system's root."""
        return Path("/") if self.is_native else ROOT / "target/debian" / self.name / "root"


TARGETS = {
    target.name: target
    for target in (
        Target("x86_64", "x86_64", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu", "amd64"),
        Target("arm64", "aarch64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu", "arm64"),
    )
}


class Rust(NamedTuple):
    """A Rust compiler that has a target's standard library."""

    variables: dict[str, str]  # for cargo, and for maturin, which links with zig
    linking: dict[str, str]  # for cargo alone, in addition
    folder: Path  # where cargo builds with it


def prepare(target: Target) -> Rust:
    """Finds all tools, downloads Debian's packages for another machine, and returns the Rust compiler."""
    suffix = "" if target.is_native else f"-{target.triplet.replace('_', '-')}"
    needed = {f"/usr/bin/{target.compiler[0]}": f"gcc{suffix}", f"/usr/bin/{PYTHON}": PYTHON}
    if target.is_native:
        needed |= {
            str(libpython(target)): f"lib{PYTHON}-dev",
            f"/usr/lib/{target.triplet}/libffi.a": "libffi-dev",
            f"/usr/lib/{target.triplet}/libz.a": "zlib1g-dev",
        }
    missing = [package for file, package in needed.items() if not Path(file).exists()]
    if missing:
        raise MissingError(f"this needs Debian 12's {' '.join(missing)}: apt-get install {' '.join(missing)}")
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    # The flags of the noxfile: other ones would recompile every crate, and a panic names its source file.
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    flags = os.environ.get("RUSTFLAGS", f"--remap-path-prefix={cargo}=/cargo").split()
    if target.is_native:
        if not has_standard_library(target):
            raise MissingError(f"Rust has no standard library for {target.rust}")
        return Rust({"RUSTFLAGS": " ".join(flags)}, {}, folder)

    packages = [*LINKED, *_BESIDE]
    compiler, *options = target.compiler
    name = target.rust.replace("-", "_")
    variables = {f"CC_{name}": compiler, f"CFLAGS_{name}": " ".join(options)}
    if not has_standard_library(target):
        version = version_of(_RUST)
        if version is None:
            raise MissingError(
                f"Rust has no standard library for {target.rust}: rustup target add {target.rust}, "
                f"or apt-get install {_RUST}"
            )
        packages.append(f"{_STANDARD_LIBRARY}={version}")
        # With an explicit target, cargo builds what runs on this machine without these flags.
        flags.append(f"--sysroot={target.debian}/usr")
        # A separate folder: cargo recompiles everything when the compiler changes.
        folder /= f"{_RUST}-{target.name}"
        variables |= {"RUSTC": "/usr/bin/rustc", "CARGO_TARGET_DIR": str(folder)}
    _unpack(target, packages)
    linking = {
        f"CARGO_TARGET_{name.upper()}_LINKER": compiler,
        "RUSTFLAGS": " ".join([*flags, *(f"-Clink-arg={option}" for option in options)]),
    }
    return Rust(variables | {"RUSTFLAGS": " ".join(flags)}, linking, folder)


def libpython(target: Target) -> Path:
    """Returns the interpreter as a library for a position-independent executable."""
    folder = f"config-{PYTHON.removeprefix('python')}-{target.triplet}"
    return target.debian / "usr/lib" / PYTHON / folder / f"lib{PYTHON}-pic.a"


def version_of(package: str, target: Target | None = None) -> str | None:
    """Returns the version of a Debian package that is installed, or that was unpacked for another machine."""
    if target is not None and not target.is_native:
        unpacked = (target.debian.parent / "packages.txt").read_text().splitlines()
        return dict(line.split(" ") for line in unpacked).get(package)
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package],
        capture_output=True,
        text=True,
    )
    status, _, version = done.stdout.partition(" ")
    return version if status == "installed" else None


def pinned_version(package: str) -> tuple[str, str]:
    """Returns the version of a package of Python that requirements.lock pins, and the line for pip, with the hashes."""
    found = re.search(
        rf"^{package}==(\S+)(?: \\\n +--hash=\S+)+", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    if found is None:
        raise BuildError(f"requirements.lock does not pin {package}: ./dev nox -s lock")
    return found[1], found[0] + "\n"


def has_standard_library(target: Target) -> bool:
    """Returns whether the Rust compiler on the PATH can build for a target."""
    folder = run(["rustc", "--print", "target-libdir", "--target", target.rust]).strip()
    return any(Path(folder).glob("libstd-*"))


def _unpack(target: Target, packages: list[str]) -> None:
    """Unpacks packages that apt downloads from this machine's sources, with their signatures checked.

    It does so once for the same packages. Remove the folder to get newer ones.
    """
    folder = target.debian.parent
    asked = folder / "asked-for.txt"
    if asked.exists() and asked.read_text().split() == packages:
        return
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "root"):
        (folder / part).mkdir(parents=True)
    # Separate package lists: the machine's stay as they are, and nobody needs root.
    settings = {
        "APT::Architecture": target.architecture,
        "APT::Architectures": target.architecture,
        "APT::Sandbox::User": "root",  # the user of a download by root: other users cannot enter this folder
        "Dir::State::lists": f"{folder}/lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": f"{folder}/cache",
    }
    apt = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in settings.items())]
    try:
        run([*apt, "update"])
        run([*apt, "download", *packages], folder=folder / "cache")
    except BuildError as failure:
        last = str(failure).splitlines()[-1]
        raise MissingError(
            f"Debian's packages for {target.architecture} cannot be downloaded: {last}"
        ) from failure
    unpacked = []
    for file in sorted((folder / "cache").glob("*.deb")):
        run(["dpkg-deb", "--extract", file, folder / "root"])
        unpacked.append(run(["dpkg-deb", "--show", "--showformat=${Package} ${Version}\n", file]))
    (folder / "packages.txt").write_text("".join(unpacked))
    for part in ("lists", "cache"):
        shutil.rmtree(folder / part)
    asked.write_text("\n".join(packages))


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lets one build at a time into a folder. A second one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def maturin(
    command: Sequence[str | Path],
    environment: dict[str, str],
    folder: Path,
    *,
    shows_progress: bool = False,
) -> None:
    """Runs maturin in a package's folder, and no second one in the same folder of cargo's builds meanwhile.

    maturin moves a library out of that folder before it packs it: of two at once, one finds no library, or the other's.
    """
    builds = {**os.environ, **environment}.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    with exclusive(Path(builds)):
        run(["maturin", *command], environment, folder, shows_progress=shows_progress)


def run(
    command: Sequence[str | Path],
    environment: dict[str, str] | None = None,
    folder: Path = ROOT,
    *,
    shows_progress: bool = False,
) -> str:
    """Returns what a command printed on stdout.

    With `shows_progress` its stderr is ours. Raises `BuildError` with all output that nobody has seen yet.
    """
    program = shutil.which(command[0])
    if program is None:
        raise BuildError(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=None if shows_progress else subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise BuildError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr or ''}")
    return done.stdout
