"""Makes SBOMs (CycloneDX 1.5): what a built file is made of, without a time, so that the bytes are reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .toolchain import run


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
