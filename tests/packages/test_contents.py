"""Checks the files in each package, and what its library needs of the system."""

from __future__ import annotations

import fnmatch
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from extension.standalone.dist import DIST, release
from extension.standalone.toolchain import ROOT, TARGETS, MissingError, prepare
from extension.standalone.wheel import COMMAND, ENTRY_POINTS

from .build import least_glibc, numbers, packages

Package = Callable[[str], Path]

HERE = Path(__file__).parent
# The pattern of each package in dist/, by the file of contents/ that lists it.
PACKAGES = {
    "python-wheel": "keystart-*_x86_64.whl",
    "python-wheel-aarch64": "keystart-*_aarch64.whl",
    "python-sdist": "keystart-*.tar.gz",
    "node": "keystart-*.tgz",
    "ruby": "keystart-*.gem",
    "extension-wheel": "keystart_extension-*_x86_64.whl",
    "extension-wheel-aarch64": "keystart_extension-*_aarch64.whl",
    "extension-sdist": "keystart_extension-*.tar.gz",
}
# The core's files change often, and cargo lists them.
CORE = re.compile(r"core/.*\.rs")


def contents(file: Path) -> dict[str, bytes]:
    """Returns the files of a package, without the folder that contains all of them."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if file.suffix == ".gem":
        with tarfile.open(file) as gem:
            data = gem.extractfile("data.tar.gz")
            assert data is not None
            return untar(data.read())
    return {name.split("/", 1)[1]: data for name, data in untar(file.read_bytes()).items()}


def untar(data: bytes) -> dict[str, bytes]:
    files = {}
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        for member in archive:
            assert member.isfile(), f"{member.name} is a link or a folder"
            extracted = archive.extractfile(member)
            assert extracted is not None
            files[member.name] = extracted.read()
    return files


@pytest.fixture(params=PACKAGES)
def kind(request: pytest.FixtureRequest, unhurried: Callable[[str], None]) -> str:
    kind: str = request.param
    if kind.startswith("extension-wheel"):
        unhurried("it compiles AWS's SDK")
    if kind.endswith("-aarch64") and not fnmatch.filter(packages(DIST), PACKAGES[kind]):
        pytest.skip("there is no wheel for aarch64; ./dev packages says what it needs")
    return kind


@pytest.fixture
def files(kind: str, package: Package) -> dict[str, bytes]:
    return contents(package(PACKAGES[kind]))


def test_it_holds_what_is_listed_and_nothing_else(kind: str, files: dict[str, bytes]) -> None:
    listed = HERE / "contents" / f"{kind.removesuffix('-aarch64')}.txt"
    for name in filter(CORE.fullmatch, files):
        assert (ROOT / name).is_file()
    held = sorted(name.replace(f"-{release()}.", "-VERSION.") for name in files if not CORE.fullmatch(name))
    if kind.startswith("extension-wheel") and not any(name.endswith(f"/{ENTRY_POINTS}") for name in held):
        with pytest.raises(MissingError) as missing:
            prepare(TARGETS["arm64" if kind.endswith("aarch64") else "x86_64"])
        pytest.skip(f"this machine builds no executable for the wheel: {missing.value}")
    if os.environ.get("KEYSTART_GENERATE"):
        listed.write_text("".join(f"{name}\n" for name in held))
    assert held == listed.read_text().splitlines(), "is it meant? ./dev generate packages writes the list"


def test_the_licence_and_the_readme_are_inside(kind: str, files: dict[str, bytes]) -> None:
    licences = [data for name, data in files.items() if Path(name).name == "LICENSE"]
    assert set(licences) == {(ROOT / "LICENSE").read_bytes()}
    folder = {
        "python": "bindings/python",
        "node": "bindings/node",
        "ruby": "bindings/ruby",
        "extension": "extension",
    }
    readme = (ROOT / folder[kind.split("-")[0]] / "README.md").read_bytes().strip()
    # A wheel has it at the end of its METADATA.
    assert any(data.strip().endswith(readme) for data in files.values())


def test_nothing_names_a_folder_of_the_machine_that_built_it(files: dict[str, bytes]) -> None:
    for folder in (ROOT, Path.home()):
        named = [
            name
            for name, data in files.items()
            if re.search(rb"(?<![\w.])" + re.escape(bytes(folder)) + rb"/", data)
        ]
        assert named == [], f"{folder} is named"


@pytest.mark.parametrize("kind", ["python-wheel", "python-wheel-aarch64"], indirect=True)
def test_the_library_is_small_and_runs_on_an_old_system(files: dict[str, bytes]) -> None:
    assert len(files["keystart/_native/lib_native.so"]) <= 800 * 1024
    # Amazon Linux 2, the oldest system of a Lambda runtime, has glibc 2.26.
    assert numbers(least_glibc(files["keystart/_native/lib_native.so"])) <= (2, 26)


@pytest.mark.parametrize("kind", ["extension-wheel", "extension-wheel-aarch64"], indirect=True)
def test_the_executable_is_static_and_for_the_machine_of_the_wheel(
    kind: str, files: dict[str, bytes]
) -> None:
    scripts = {Path(name).name: data for name, data in files.items() if ".data/scripts/" in name}
    if ENTRY_POINTS not in scripts:
        pytest.skip("this machine builds no executable for the wheel")
    executable = ELFFile(BytesIO(scripts[COMMAND]))
    machine = "EM_AARCH64" if kind.endswith("aarch64") else "EM_X86_64"
    assert executable["e_machine"] == machine
    assert "PT_INTERP" not in [segment["p_type"] for segment in executable.iter_segments()]
    assert scripts[ENTRY_POINTS].startswith(b"#!python\n"), "pip writes its interpreter there"


@pytest.mark.parametrize("kind", ["python-wheel", "python-wheel-aarch64"], indirect=True)
def test_the_wheel_is_for_every_cpython_and_that_old_system(kind: str, package: Package) -> None:
    name = package(PACKAGES[kind]).name
    found = re.fullmatch(r"keystart-[\d.]+-py3-none-(\S+)\.whl", name)
    assert found is not None, name
    systems = [re.fullmatch(r"manylinux_2_(\d+)_(x86_64|aarch64)", tag) for tag in found[1].split(".")]
    assert [int(system[1]) <= 26 for system in systems if system] == [True], name
