"""Builds the executable of the layer: the extension with the interpreter inside, one static file.

The core is linked from Rust, the interpreter from Debian's libpython, cffi's backend from cffi's own source, and the
Python code is frozen (freeze.py). Exit codes: 0 built, 1 something is missing or could not be built.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / "target/standalone"
# The interpreter must be the one whose library is linked in: the code is frozen for it.
PYTHON = "python3.11"
_CORE = "keystart-extension-core"


class Failed(Exception):
    """Something is missing or could not be built; the text says what, and what helps."""


class Target(NamedTuple):
    """What is built for: Lambda's name of it, the machine, and what Debian and Rust call it."""

    name: str
    machine: str
    triplet: str
    rust: str
    architecture: str

    @property
    def is_native(self) -> bool:
        return platform.machine() == self.machine


TARGETS = {
    target.name: target
    for target in (
        Target("x86_64", "x86_64", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu", "amd64"),
        Target("arm64", "aarch64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu", "arm64"),
    )
}


def build(target: Target) -> Path:
    """Gives the path of the executable."""
    folder = OUTPUT / target.name
    folder.mkdir(parents=True, exist_ok=True)
    _check(target)
    core = _core(target)
    _freeze(folder)
    run([sys.executable, HERE / "native.py", folder / "native.c"])
    backend = _cffi(folder) / "src/c/_cffi_backend.c"
    return _link(target, folder, [backend], core)


def _check(target: Target) -> None:
    """Names all packages that are missing, in Debian's words."""
    suffix = "" if target.is_native else f":{target.architecture}"
    needed = {
        f"/usr/bin/{target.triplet}-gcc": "gcc" if target.is_native else f"gcc-{target.triplet}",
        f"/usr/bin/{PYTHON}": PYTHON,
        str(_libpython(target)): f"lib{PYTHON}-dev{suffix}",
        f"/usr/lib/{target.triplet}/libffi.a": f"libffi-dev{suffix}",
        f"/usr/lib/{target.triplet}/libz.a": f"zlib1g-dev{suffix}",
    }
    missing = [package for file, package in needed.items() if not Path(file).exists()]
    if missing:
        cross = "" if target.is_native else f"dpkg --add-architecture {target.architecture}; "
        raise Failed(
            f"this needs Debian 12's {' '.join(missing)}: {cross}apt-get install {' '.join(missing)}"
        )
    if not _has_standard_library(target):
        raise Failed(f"Rust has no standard library for {target.rust}: rustup target add {target.rust}")


def _has_standard_library(target: Target) -> bool:
    folder = run(["rustc", "--print", "target-libdir", "--target", target.rust]).strip()
    return any(Path(folder).glob("libstd-*"))


def _libpython(target: Target) -> Path:
    version = PYTHON.removeprefix("python")
    return Path(f"/usr/lib/{PYTHON}/config-{version}-{target.triplet}/lib{PYTHON}-pic.a")


def _core(target: Target) -> Path:
    """The core as a static library; for this machine beside what was compiled for the wheel."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = ["cargo", "rustc", "--quiet", "--release", "--package", _CORE, "--crate-type", "staticlib"]
    if not target.is_native:
        command += ["--target", target.rust]
        folder /= target.rust
    run(command, {"CC_aarch64_unknown_linux_gnu": "aarch64-linux-gnu-gcc"})
    return folder / f"release/lib{_CORE.replace('-', '_')}.a"


def _freeze(folder: Path) -> None:
    """Compares what is frozen with the list that is checked in."""
    import yaml

    path = [ROOT / "bindings/python/src", ROOT / "extension/src", Path(yaml.__file__).parents[1]]
    options = [f"--path={entry}" for entry in path]
    # The order of a frozen set's items is that of their hashes.
    frozen = run(
        [f"/usr/bin/{PYTHON}", HERE / "freeze.py", *options, f"--output={folder}"], {"PYTHONHASHSEED": "0"}
    )
    listed = HERE / "frozen.txt"
    if os.environ.get("KEYSTART_WRITE_FROZEN"):
        listed.write_text(frozen)
    if listed.read_text() != frozen:
        raise Failed(
            f"{listed.name} is not what is frozen; KEYSTART_WRITE_FROZEN=1 writes it anew:\n{frozen}"
        )


def _cffi(folder: Path) -> Path:
    """The source of cffi's backend, in the version and with the hash of the lock file."""
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.search(r"^cffi==(\S+)(?: \\\n +--hash=\S+)+", lock, re.MULTILINE)
    if pinned is None:
        raise Failed("requirements.lock does not pin cffi: ./dev nox -s lock")
    source = folder / f"cffi-{pinned[1]}"
    if not source.exists():
        requirement = folder / "cffi.txt"
        requirement.write_text(pinned[0] + "\n")
        options = [
            "--quiet",
            "--no-deps",
            "--no-binary=:all:",
            "--require-hashes",
            f"--requirement={requirement}",
        ]
        run([sys.executable, "-m", "pip", "download", *options, f"--dest={folder}"])
        run(["tar", "--extract", f"--file={folder}/{source.name}.tar.gz", f"--directory={folder}"])
    return source


def _link(target: Target, folder: Path, sources: list[Path], core: Path) -> Path:
    compiler = f"{target.triplet}-gcc"
    options: list[str | Path]
    include = [f"/usr/include/{PYTHON}", ROOT / "core/include", ROOT / "extension/core/include"]
    ours = [HERE / "main.c", HERE / "builtin.c"]
    options = [
        "-c",
        "-O2",
        "-fPIE",
        "-ffunction-sections",
        "-fdata-sections",
        *(f"-I{path}" for path in include),
    ]
    # No path of this machine in the file, so that it is the same wherever it is built.
    options += [f"-ffile-prefix-map={ROOT}=.", f"-ffile-prefix-map={folder}=."]
    for source in (*ours, folder / "frozen.c", folder / "native.c", *sources):
        strict = ["-Wall", "-Wextra", "-Werror"] if source in ours else []
        libffi = ["-DFFI_BUILDING=1"] if source in sources else []
        run([compiler, *options, *strict, *libffi, source, "-o", folder / f"{source.stem}.o"], folder=folder)
    objects = [
        folder / f"{source.stem}.o" for source in (*ours, folder / "frozen.c", folder / "native.c", *sources)
    ]
    executable = folder / "keystart"
    libraries: list[str | Path] = [_libpython(target), core, "-lffi", "-lz", "-lm"]
    options = ["-static-pie", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,now"]
    run([compiler, *options, "-o", executable, *objects, *libraries])
    return executable


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    """Gives what a command printed; raises `Failed` with all that it said."""
    program = shutil.which(command[0])
    if program is None:
        raise Failed(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise Failed(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Builds for the architecture that is named, or for this machine's."""
    names = sys.argv[1:] or [target.name for target in TARGETS.values() if target.is_native]
    try:
        for name in names:
            if name not in TARGETS:
                raise Failed(f"there is no architecture {name}; Lambda has {' and '.join(TARGETS)}")
            executable = build(TARGETS[name])
            print(f"{executable.stat().st_size:>9,}  {executable.relative_to(ROOT)}")
    except Failed as failure:
        print(f"standalone: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
