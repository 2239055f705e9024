"""The layer on other systems, with an older and a newer glibc than it was built with.

Each system is made by debootstrap in a folder, which takes two minutes, so these run only with --chroot.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystart_extension import __version__

from tests.debian import make_debian
from tests.fakes.timed import NAME, TimedCloud

from .sandbox import Layer, Life, Sandbox
from .test_names import Resolver

# Debian 11 and 13: their glibc, and their programs for readers. Python 3.9 and Ruby 2.7 are too old
# for our readers.
SUITES = {"bullseye": ("2.31", "python3"), "trixie": ("2.41", "python3,ruby")}
CORE = ["python3", "/opt/core_reader.py", "/opt/python/keystart/_native/lib_native.so", "/tmp/keystart", "db"]
READERS = {
    "bullseye": [],
    "trixie": [
        [
            "env",
            "PYTHONPATH=/opt/python",
            "python3",
            "-S",
            "-c",
            "import keystart; print(keystart.get('db'))",
        ],
        ["env", "RUBYLIB=/opt/ruby/lib", "ruby", "-e", "require 'keystart'; puts Keystart.get('db')"],
    ],
}
# A source that comes with systemd, as in Lambda's systems, and is looked in first.
NSSWITCH = "passwd: files systemd\nhosts: myhostname files dns\n"


class System(Sandbox):
    """A Debian with the layer under /opt. Everything except /tmp is read-only, and nobody is root."""

    def __init__(self, suite: str, folder: Path, layer: Layer) -> None:
        self.suite = suite
        self.glibc, _ = SUITES[suite]
        super().__init__(folder, layer)
        shutil.copytree(layer.opt, folder / "opt", dirs_exist_ok=True)
        shutil.copy(Path(__file__).parent / "core_reader.py", folder / "opt")
        (folder / "etc/nsswitch.conf").write_text(NSSWITCH)


@pytest.fixture(scope="module", params=SUITES)
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, native: Layer
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp(request.param)
    _, programs = SUITES[request.param]
    make_debian(request, request.param, folder / "root", f"libnss-myhostname,{programs}")
    yield System(request.param, folder / "root", native)
    shutil.rmtree(folder)


@pytest.fixture
def cloud(system: System, tmp_path: Path) -> TimedCloud:
    made = TimedCloud(tmp_path, latency=0.0)
    shutil.copy2(tmp_path / "authority.pem", system.root / "opt/authority.pem")
    return made


def test_a_life_beside_another_glibc(system: System, cloud: TimedCloud) -> None:
    resolver = Resolver()
    (system.root / "etc/resolv.conf").write_text(f"nameserver {resolver.address}\n")
    variables = {"KEYSTART_SECRETS": "db=prod/db", "AWS_ENDPOINT_URL": f"https://{NAME}:{cloud.store_port}"}
    readers = [CORE, ["/opt/extensions/keystart", "get", "db"], *READERS[system.suite]]
    life = Life(system, cloud, variables, [["getconf", "GNU_LIBC_VERSION"], *readers])
    assert (life.code, life.values, resolver.asked()) == (0, {"db": "x" * 100}, {NAME}), life.said
    glibc, core, *values = (text.strip() for text in life.read)
    assert (glibc, core) == (f"glibc {system.glibc}", f"{__version__} {'x' * 100}")
    assert values == ["x" * 100] * (len(readers) - 1)


def test_a_name_that_no_source_knows_is_said(system: System, cloud: TimedCloud) -> None:
    """The name goes through all sources in nsswitch.conf, where a static program would load the system's libraries."""
    resolver = Resolver()
    (system.root / "etc/resolv.conf").write_text(f"nameserver {resolver.address}\n")
    variables = {
        "KEYSTART_SECRETS": "db=prod/db",
        "AWS_ENDPOINT_URL": f"https://gone.test:{cloud.store_port}",
    }
    life = Life(system, cloud, variables)
    assert (life.code, resolver.asked()) == (1, {"gone.test"}), life.said
