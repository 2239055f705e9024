"""Makes SBOMs (CycloneDX 1.5): what a built file is made of, without a time, so that the bytes are reproducible."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .toolchain import LINKED, ROOT, BuildError, Target, pinned_version, run, version_of


@dataclass(frozen=True)
class Component:
    """Something that is inside a built file."""

    name: str
    version: str
    licence: str
    purl: str


def crates(package: str, *, target: str | None = None) -> list[Component]:
    """Returns the crates that a crate of the workspace is compiled from, and itself."""
    options = ["--target", target] if target else []
    listed = run(
        ["cargo", "tree", "--package", package, *options, "--edges", "normal", "--prefix", "none",
         "--no-dedupe", "--format", "{p}|{l}"]
    )  # fmt: skip
    found = []
    for line in sorted(set(listed.splitlines())):
        crate, licence = line.split("|")
        name, version = crate.split()[:2]
        version = version.removeprefix("v")
        found.append(Component(name, version, licence, f"pkg:cargo/{name}@{version}"))
    return found


def components(target: Target) -> list[Component]:
    """Returns everything inside the executable."""
    found = crates("keystart-capi-extension", target=target.rust)
    version, _ = pinned_version("cffi")
    found.append(Component("cffi", version, "MIT", f"pkg:pypi/cffi@{version}"))
    for name in LINKED:
        linked = version_of(name, target)
        if linked is None:
            raise BuildError(f"Debian's {name} is not installed, and is inside the executable")
        found.append(
            Component(
                name, linked, f"the copyright file of Debian's {name}", f"pkg:deb/debian/{name}@{linked}"
            )
        )
    return found


def write_licences(folder: Path, target: Target) -> None:
    """Writes the licences of everything inside the executable into a new folder."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    for package in LINKED:
        source = target.debian / f"usr/share/doc/{package}/copyright"
        if not source.exists():
            raise BuildError(f"{source} is missing, and with it the licence of what is linked in")
        shutil.copy(source, folder / f"{package}.txt")
    listed = "\n".join(f"{one.name} {one.version}  {one.licence}" for one in components(target))
    title = "What the executable and keystart-env are made of, and under which licence:"
    (folder / "components.txt").write_text(f"{title}\n\n{listed}\n")


def document(name: str, version: str, digest: str, components: Sequence[Component]) -> dict[str, object]:
    """Returns the SBOM of a file with this name and SHA-256."""
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": name, "version": version, "hashes": hashes}
        },
        "components": [
            {
                "type": "library",
                "name": one.name,
                "version": one.version,
                "purl": one.purl,
                "licenses": [{"license": {"name": one.licence}}],
            }
            for one in components
        ],
    }
