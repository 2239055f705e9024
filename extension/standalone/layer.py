"""Builds the layer into dist/: the executable, the readers of all languages, what they are made of, in one zip.

The zip is the same bytes from the same sources. Beside it lie its SHA-256 and an SBOM (CycloneDX). Exit codes: 0 built,
1 something is missing or could not be built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .bytecode import write_bytecode
from .dist import DIST, clear, place, release
from .executable import WRAPPER, build, wrapper
from .interpreters import VERSIONS
from .sbom import components, document, write_licences
from .toolchain import ROOT, TARGETS, BuildError, MissingError, Target, maturin, pinned_version, prepare, run

_SUFFIXES = (".zip.sha256", ".cdx.json", ".zip")  # the zip last: if it exists, the others do
# Amazon Linux 2 has 2.26. cffi's wheels and Rust's library need 2.17.
GLIBC = "2.17"
LARGEST_ZIP, LARGEST = 10_000_000, 25_000_000  # bytes
_WHEN = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="./dev layer", description=__doc__)
    parser.add_argument(
        "--arch", choices=TARGETS, help="default: this machine's, and each other that it can build"
    )
    name = parser.parse_args().arch
    try:
        for target in TARGETS.values():
            if name in (None, target.name):
                _layer(target, must=name is not None or target.is_native)
    except BuildError as failure:
        print(f"layer: {failure}", file=sys.stderr)
        return 1
    return 0


def _layer(target: Target, *, must: bool) -> None:
    name = f"keystart-layer-{release()}-{target.name}.zip"
    clear(DIST, [str(Path(name).with_suffix(suffix)) for suffix in _SUFFIXES])
    try:
        prepare(target)
    except MissingError as missing:
        if must:
            raise
        _report(f"there is no zip for {target.name}: {missing}")
        return
    with tempfile.TemporaryDirectory(prefix="keystart-layer-") as folder:
        content = Path(folder) / "opt"
        _fill(content, target, Path(folder))
        packed = Path(folder) / name
        _pack(content, target, packed)
        unzipped = sum(info.file_size for info in zipfile.ZipFile(packed).infolist())
        if packed.stat().st_size > LARGEST_ZIP or unzipped > LARGEST:
            raise BuildError(f"{name} is too large: {packed.stat().st_size:,} bytes, {unzipped:,} unzipped")
        for suffix in _SUFFIXES:
            path = place(packed.with_suffix(suffix), DIST)
    print(f"{path.stat().st_size:>10,}  {path.relative_to(ROOT)}\n{unzipped:>10,}  unzipped")


def _fill(content: Path, target: Target, temporary: Path) -> None:
    _report(f"the executable for {target.name}")
    (content / "extensions").mkdir(parents=True)
    shutil.copy(build(target), content / "extensions/keystart")
    _report("the exec wrapper")
    shutil.copy(wrapper(target), content / WRAPPER)
    _report("the readers")
    _python(content / "python", target, temporary)
    _node(content / "nodejs/node_modules/keystart", temporary)
    shutil.copytree(ROOT / "bindings/ruby/layer", content / "ruby/lib")
    shutil.copytree(ROOT / "bindings/ruby/lib", content / "ruby/keystart/lib")
    write_licences(content / "share/keystart", target)


def _python(folder: Path, target: Target, temporary: Path) -> None:
    wheels = temporary / "wheels"
    options = [
        "--release",
        "--zig",
        "--compatibility",
        f"manylinux_{GLIBC.replace('.', '_')}",
        "--target",
        target.rust,
    ]
    rust = prepare(target)
    variables = dict(rust.variables)
    if not target.is_native:
        # A folder apart from the executable's core, which has other flags: each build would
        # recompile the other's crates.
        variables["CARGO_TARGET_DIR"] = str(rust.folder / "wheels")
    maturin(["build", *options, "--out", wheels], variables, ROOT / "bindings/python", shows_progress=True)
    requirement = temporary / "cffi.txt"
    requirement.write_text(pinned_version("cffi")[1])
    platforms = [f"--platform=manylinux{name}_{target.machine}" for name in ("2014", "_2_17")]
    # One library of the core serves all versions; cffi's backend is built for each.
    for version in VERSIONS:
        python = [f"--python-version={version}", "--implementation=cp", "--only-binary=:all:", *platforms]
        options = [
            "--quiet",
            "--no-deps",
            "--require-hashes",
            f"--requirement={requirement}",
            f"--dest={wheels}",
        ]
        run([sys.executable, "-m", "pip", "download", *options, *python])
    for wheel in sorted(wheels.iterdir()):
        with zipfile.ZipFile(wheel) as archive:
            # The part of cffi that a start loads. The other half is for builds.
            wanted = "keystart/" if wheel.name.startswith("keystart") else "_cffi_backend."
            for name in archive.namelist():
                if name.startswith(wanted):
                    archive.extract(name, folder)
    if missing := write_bytecode(folder / "keystart"):
        versions = ", ".join(missing)
        _report(
            f"no bytecode for CPython {versions}, which this machine lacks: "
            "there each cold start compiles the reader, and takes longer"
        )


def _node(folder: Path, temporary: Path) -> None:
    name = run(
        ["npm", "pack", "--silent", "--pack-destination", temporary], folder=ROOT / "bindings/node"
    ).split()[-1]
    run(["tar", "--extract", f"--file={temporary / name}", f"--directory={temporary}"])
    shutil.copytree(temporary / "package", folder)


def _pack(content: Path, target: Target, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(file for file in content.rglob("*") if file.is_file()):
            info = zipfile.ZipInfo(str(file.relative_to(content)), _WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED
            # Lambda executes these, and the function's user reads all.
            mode = 0o755 if info.filename.startswith(("extensions/", WRAPPER)) else 0o644
            info.external_attr = (0o100000 | mode) << 16
            info.create_system = 3  # Unix: other systems' entries have no mode
            archive.writestr(info, file.read_bytes())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".zip.sha256").write_text(f"{digest}  {path.name}\n")
    sbom = document(path.name, release(), digest, components(target))
    path.with_suffix(".cdx.json").write_text(json.dumps(sbom, indent=2) + "\n")


def _report(what: str) -> None:
    print(f"layer: {what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
