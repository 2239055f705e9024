"""Builds the executable of the layer and of the wheels: the extension with the interpreter inside, one static file.

The core is linked from Rust, the interpreter from Debian's libpython, cffi's backend from cffi's own source, and the
Python code is frozen (freeze.py). Exit codes: 0 built, 1 something is missing or could not be built.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .toolchain import (
    PYTHON,
    ROOT,
    TARGETS,
    BuildError,
    Rust,
    Target,
    exclusive,
    libpython,
    pinned_version,
    prepare,
    run,
)

HERE = Path(__file__).parent
OUTPUT = ROOT / "target/standalone"
_PACKAGE, _LIBRARY = "keystart-capi-extension", "libkeystart_extension_core.a"
WRAPPER = "keystart-env"


def build(target: Target) -> Path:
    """Returns the path of the executable."""
    folder = OUTPUT / target.name
    with exclusive(folder):
        core = _core(target, prepare(target))
        freeze(folder)
        run([sys.executable, HERE / "native.py", folder / "native.c"])
        backend = _cffi(folder) / "src/c/_cffi_backend.c"
        return _link(target, folder, [backend], core)


def _core(target: Target, rust: Rust) -> Path:
    """Builds the core as a static library. For this machine it uses the wheel's build folder."""
    command = ["cargo", "rustc", "--release", "--package", _PACKAGE, "--crate-type", "staticlib"]
    folder = rust.folder
    if not target.is_native:
        command += ["--target", target.rust]
        folder /= target.rust
    run(command, {**rust.variables, **rust.linking}, shows_progress=True)
    return folder / "release" / _LIBRARY


def wrapper(target: Target) -> Path:
    """Builds the exec wrapper of the reader's core as a static file, and returns its path."""
    rust = prepare(target)
    command = ["cargo", "rustc", "--release", "--package", "keystart-store", "--bin", WRAPPER]
    # Name the triple for this machine too: the default folder holds builds that are not static, and
    # cargo would alternate.
    command += [
        "--target",
        target.rust,
        "--",
        "-Ctarget-feature=+crt-static",
        "-Clink-arg=-Wl,--build-id=none",
    ]
    run(command, {**rust.variables, **rust.linking}, shows_progress=True)
    return rust.folder / target.rust / "release" / WRAPPER


def freeze(folder: Path) -> None:
    """Freezes the modules into a folder, and compares their names with the checked-in list."""
    path = [ROOT / "bindings/python/src", ROOT / "extension/src"]
    options = [f"--path={entry}" for entry in path]
    # A frozen set orders its items by their hashes, so fix the seed.
    frozen = run(
        [f"/usr/bin/{PYTHON}", "-m", "extension.standalone.freeze", *options, f"--output={folder}"],
        {"PYTHONHASHSEED": "0"},
    )
    listed = HERE / "frozen.txt"
    if os.environ.get("KEYSTART_GENERATE"):
        listed.write_text(frozen)
    if listed.read_text() != frozen:
        raise BuildError(
            f"{listed.name} is not what is frozen; ./dev generate layer writes it again:\n{frozen}"
        )


def _cffi(folder: Path) -> Path:
    """Downloads cffi's source, in the version and with the hash of the lock file, and returns its folder."""
    version, line = pinned_version("cffi")
    source = folder / f"cffi-{version}"
    if not source.exists():
        requirement = folder / "cffi.txt"
        requirement.write_text(line)
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
    options: list[str | Path]
    python = target.debian / "usr/include" / PYTHON
    include = [python, ROOT / "core/capi/reader/include", ROOT / "core/capi/extension/include"]
    ours = [HERE / "main.c", HERE / "builtin.c"]
    options = [
        "-c",
        "-O2",
        "-fPIE",
        "-ffunction-sections",
        "-fdata-sections",
        *(f"-I{path}" for path in include),
    ]
    # Keep this machine's paths out of the file, so that it is the same wherever it is built.
    options += [f"-ffile-prefix-map={ROOT}=.", f"-ffile-prefix-map={folder}=."]
    for source in (*ours, folder / "frozen.c", folder / "native.c", *sources):
        strict = ["-Wall", "-Wextra", "-Werror"] if source in ours else []
        libffi = ["-DFFI_BUILDING=1"] if source in sources else []
        run(
            [*target.compiler, *options, *strict, *libffi, source, "-o", folder / f"{source.stem}.o"],
            folder=folder,
        )
    objects = [
        folder / f"{source.stem}.o" for source in (*ours, folder / "frozen.c", folder / "native.c", *sources)
    ]
    executable = folder / "keystart"
    libraries: list[str | Path] = [libpython(target), core, "-lffi", "-lz", "-lm"]
    options = ["-static-pie", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,now"]
    options.append("-Wl,--wrap=PyUnicode_InternFromString")  # by builtin.c
    # Saves a megabyte of relocations, which a start would read. Debian 12's linker cannot do it for arm64.
    if target.machine == "x86_64":
        options.append("-Wl,-z,pack-relative-relocs")
    linked = executable.with_suffix(".new")
    run([*target.compiler, *options, "-o", linked, *objects, *libraries])
    return linked.replace(executable)  # at once: a test may start the one before


def main() -> int:
    """Builds for the architectures in the arguments, or for this machine's."""
    names = sys.argv[1:] or [target.name for target in TARGETS.values() if target.is_native]
    try:
        for name in names:
            if name not in TARGETS:
                raise BuildError(f"there is no architecture {name}; Lambda has {' and '.join(TARGETS)}")
            executable = build(TARGETS[name])
            print(f"{executable.stat().st_size:>9,}  {executable.relative_to(ROOT)}")
    except BuildError as failure:
        print(f"standalone: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
