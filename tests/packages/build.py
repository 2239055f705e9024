"""Builds the packages for users into dist/: wheels, source distributions, npm package and gem. It publishes nothing."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from extension.standalone.dist import DIST, check, clear, place, release
from extension.standalone.toolchain import (
    ROOT,
    TARGETS,
    BuildError,
    MissingError,
    Target,
    has_standard_library,
    maturin,
    prepare,
    run,
)
from extension.standalone.wheel import COMMAND, ENTRY_POINTS, add_executable

LIBRARY = "_native/lib_native.so"
# Rust's standard library needs 2.17 as well, so nothing is lost. Lambda's oldest runtime has 2.26.
GLIBC = "2.17"
_EPOCH = "315619200"  # 2 January 1980, the date that newer RubyGems take by themselves


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="keystart-dist-") as folder:
            check(DIST, packages(DIST))  # before minutes of compiling
            build(Path(folder), quick=options.quick)
            # Only packages that were built whole replace the old ones.
            clear(DIST, packages(DIST))
            for file in sorted(Path(folder).iterdir()):
                place(file, DIST)
            made = [describe(file) for file in sorted(Path(folder).iterdir())]
    except BuildError as failure:
        print(f"packages: {failure}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(made, indent=2))
    else:
        for one in made:
            print(f"{one['size']:>9,}  {one['file']}")
            if "library" in one:
                print(f"{one['library']:>9,}    of it the library, which needs glibc {one['glibc']}")
            if "executable" in one:
                print(f"{one['executable']:>9,}    of it the executable")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.packages.build",
        description="Builds every package into dist/ and prints what was made: size, tag, least glibc.",
        epilog="Exit codes: 0 built; 1 something could not be built; 2 wrong use.",
    )
    parser.add_argument("--quick", action="store_true", help="leave out what compiles for minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def build(into: Path, *, quick: bool) -> None:
    """Builds every package that this machine can build; prints which it cannot build and which it leaves out."""
    with_core = [ROOT / "bindings/python", ROOT / "extension"]
    for package in with_core:
        maturin(["sdist", "--out", into], {}, package)
    for sdist in into.glob("*.tar.gz"):
        _make_scripts_executable(sdist)
    if quick:
        _say("no wheel of the extension in a quick run: it compiles AWS's SDK")
        del with_core[1]
    for target in TARGETS.values():
        try:
            variables = _variables(target, quick=quick)
        except MissingError as missing:
            _say(f"no wheel for {target.rust}: {missing}")
            continue
        _say(f"the wheels for {target.rust}")
        # Zig links for any glibc; this machine's linker only for its own.
        arguments = ["--release", "--zig", "--compatibility", f"manylinux_{GLIBC.replace('.', '_')}"]
        for package in with_core:
            maturin(["build", *arguments, "--target", target.rust, "--out", into], variables, package)
        for wheel in into.glob(f"keystart_extension-*_{target.machine}.whl"):
            _say(f"the executable for {target.rust}")
            try:
                add_executable(wheel, target)
            except MissingError as missing:
                _say(f"the wheel has no executable, so its process starts more slowly: {missing}")
    _say("the npm package and the gem")
    run(["npm", "pack", "--silent", "--pack-destination", into], folder=ROOT / "bindings/node")
    gem(ROOT / "bindings/ruby", into)


def _make_scripts_executable(sdist: Path) -> None:
    """Restores a right that maturin drops. pip installs a command with the rights that it has in the wheel."""
    unpacked = BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=unpacked, mode="w") as new:
        for member in old:
            if "/data/scripts/" in member.name:
                member.mode = 0o755
            new.addfile(member, old.extractfile(member))
    sdist.write_bytes(gzip.compress(unpacked.getvalue(), mtime=0))


def gem(source: Path, into: Path) -> None:
    """Builds the gem. It has the same bytes at any time, and whatever rights the checkout's files have."""
    version = run(["ruby", "-r./lib/keystart/version", "-e", "print Keystart::VERSION"], folder=source)
    with tempfile.TemporaryDirectory(prefix="keystart-gem-") as folder:
        copy = Path(shutil.copytree(source, Path(folder) / "gem"))
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        name = str(into / f"keystart-{version}.gem")
        command = ["gem", "build", "--silent", "keystart.gemspec", "-o", name]
        run(command, {"SOURCE_DATE_EPOCH": _EPOCH}, copy)


def packages(folder: Path) -> list[str]:
    """Returns the names in a folder that this version's packages have. The layer is not built here."""
    name = re.compile(
        rf"keystart(_extension)?-{re.escape(release())}(-py3-none-[\w.]+\.whl|\.tar\.gz|\.tgz|\.gem)"
    )
    return [path.name for path in folder.glob("*") if name.fullmatch(path.name)]


def _variables(target: Target, *, quick: bool) -> dict[str, str]:
    """Returns the variables for a build: of the layer's compiler, if Rust's own has no standard library."""
    if has_standard_library(target):
        return {}
    if quick:
        raise MissingError(f"Rust has no standard library: rustup target add {target.rust}")
    rust = prepare(target)
    # Apart from the executable's core, which has other flags: each build would recompile the other's crates.
    return {**rust.variables, "CARGO_TARGET_DIR": str(rust.folder / "wheels")}


def _say(what: str) -> None:
    print(f"packages: {what}", file=sys.stderr)


def describe(file: Path) -> dict[str, str | int]:
    """Returns file name and size; for a wheel with a library also that library's size and least glibc."""
    facts: dict[str, str | int] = {"file": file.name, "size": file.stat().st_size}
    if file.suffix == ".whl" and "none-any" not in file.name:
        wheel = zipfile.ZipFile(file)
        code = wheel.read(next(name for name in wheel.namelist() if name.endswith(LIBRARY)))
        facts |= {"library": len(code), "glibc": least_glibc(code)}
        for name in wheel.namelist():
            if name.endswith(f"/{ENTRY_POINTS}"):
                scripts = name.replace(f".dist-info/{ENTRY_POINTS}", ".data/scripts")
                facts["executable"] = wheel.getinfo(f"{scripts}/{COMMAND}").file_size
    return facts


def least_glibc(library: bytes) -> str:
    """Returns the newest version of a glibc symbol that an ELF library needs."""
    needed = [
        version.name.removeprefix("GLIBC_")
        for section in ELFFile(BytesIO(library)).iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, versions in section.iter_versions()
        for version in versions
        if version.name.startswith("GLIBC_")
    ]
    return max(needed, key=numbers)


def numbers(version: str) -> tuple[int, ...]:
    """Returns the key to compare versions by: 2.9 is before 2.17."""
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
