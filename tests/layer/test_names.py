"""Resolves the name of the endpoint as in Lambda: by /etc/hosts, and by the resolver in /etc/resolv.conf."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.timed import NAME, TimedCloud

from .sandbox import Life, Sandbox
from .test_executable import HOSTILE

DEADLINE = 2.0
# For start and end of the process, also under qemu. glibc's own limit is 10 s, or what RES_OPTIONS says.
MARGIN = 4.0
DNSMASQ = "/usr/sbin/dnsmasq"


def free_address() -> str:
    """Returns an address of the loopback network on which port 53 is free, whatever else runs."""
    return "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))


class Resolver:
    """A dnsmasq that knows one name, and that no other exists below `test`."""

    def __init__(self) -> None:
        self.address = free_address()
        command = [
            DNSMASQ,
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--pid-file",
        ]
        command += [
            "--user=nobody",
            "--bind-interfaces",
            f"--listen-address={self.address}",
            "--log-facility=-",
        ]
        command += ["--log-queries", f"--address=/{NAME}/127.0.0.1", "--local=/test/"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self._said: list[str] = []
        for line in self._process.stderr:
            self._said.append(line)
            if "started" in line:
                break
        assert self._process.poll() is None, "".join(self._said)

    def asked(self) -> set[str]:
        """Ends the resolver, and returns the names in its queries."""
        self._process.terminate()
        _, rest = self._process.communicate(timeout=10)
        return set(re.findall(r"query\[A+\] (\S+) from", rest))


@pytest.fixture
def resolver(sandbox: Sandbox) -> Iterator[Resolver]:
    if not Path(DNSMASQ).exists():
        pytest.skip("there is no resolver: apt-get install dnsmasq-base")
    made = Resolver()
    (sandbox.root / "etc/resolv.conf").write_text(f"nameserver {made.address}\n")
    yield made
    made.asked()


def variables(cloud: TimedCloud, name: str) -> dict[str, str]:
    return {"KEYSTART_SECRETS": "db=prod/db", "AWS_ENDPOINT_URL": f"https://{name}:{cloud.store_port}"}


def ends(sandbox: Sandbox, cloud: TimedCloud, name: str, **more: str) -> tuple[int, str, float]:
    """Starts with an endpoint that cannot be resolved; returns the exit code, the error, and the seconds."""
    document = {"version": 1, "deadline": f"{DEADLINE:g}s", "secrets": {"db": "prod/db"}}
    (sandbox.root / "var/task/keystart.json").write_text(json.dumps(document))
    address = {**cloud.variables(), "AWS_CA_BUNDLE": "/opt/authority.pem"}
    endpoint = {"AWS_ENDPOINT_URL": f"https://{name}:{cloud.store_port}"}
    begun = time.monotonic()
    code, _, error = sandbox.run(**{**more, **address, **endpoint})
    return code, error, time.monotonic() - begun


def said(error: str) -> str:
    """Returns why the one secret could not be fetched, without the advice."""
    line = error.splitlines()[-1]
    why, advice, _ = line.partition(" Check AWS_ENDPOINT_URL.")
    assert advice, error
    return why.partition("): ")[2]


@pytest.mark.parametrize("hostile", [{}, HOSTILE], ids=["as in Lambda", "hostile"])
def test_the_resolver_of_resolv_conf_is_asked(
    sandbox: Sandbox, cloud: TimedCloud, resolver: Resolver, hostile: dict[str, str]
) -> None:
    life = Life(sandbox, cloud, {**hostile, **variables(cloud, NAME)})
    assert (life.code, life.values) == (0, {"db": "x" * 100}), life.said
    assert resolver.asked() == {NAME}


def test_hosts_is_read_before_a_resolver_is_asked(
    sandbox: Sandbox, cloud: TimedCloud, resolver: Resolver
) -> None:
    (sandbox.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {NAME}\n")
    life = Life(sandbox, cloud, variables(cloud, NAME))
    assert (life.code, life.values) == (0, {"db": "x" * 100}), life.said
    assert resolver.asked() == set()


def test_no_library_is_loaded_for_names(sandbox: Sandbox, cloud: TimedCloud, resolver: Resolver) -> None:
    folder = sandbox.root / "opt/libs"
    folder.mkdir()
    os.mkfifo(folder / "libnss_other.so.2", 0o644)  # opening it would wait forever
    (sandbox.root / "etc/nsswitch.conf").write_text("hosts: other files dns\npasswd: other files\n")
    life = Life(sandbox, cloud, {**variables(cloud, NAME), "LD_LIBRARY_PATH": "/opt/libs"})
    assert (life.code, life.values) == (0, {"db": "x" * 100}), life.said


def test_a_name_that_does_not_exist_is_said(sandbox: Sandbox, cloud: TimedCloud, resolver: Resolver) -> None:
    code, error, _ = ends(sandbox, cloud, "gone.test")
    assert (code, resolver.asked()) == (1, {"gone.test"}), error
    assert said(error) == (
        f"ConnectionFailed: gone.test:{cloud.store_port} cannot be found: Name or service not known."
    )
    assert list(cloud.events) == ["register", "error"]


@pytest.mark.parametrize("hostile", [{}, HOSTILE], ids=["as in Lambda", "hostile"])
def test_a_resolver_that_does_not_answer_ends_at_the_deadline(
    sandbox: Sandbox, cloud: TimedCloud, hostile: dict[str, str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((free_address(), 53))
        (sandbox.root / "etc/resolv.conf").write_text(f"nameserver {silent.getsockname()[0]}\n")
        code, error, took = ends(sandbox, cloud, NAME, **hostile)
        assert silent.recv(512)  # it got a query
    host = f"{NAME}:{cloud.store_port}"
    reason = f"DeadlineExceeded: No answer from {host} within the deadline of {DEADLINE:g} s."
    assert (code, said(error)) == (1, reason)
    assert DEADLINE <= took < DEADLINE + MARGIN
    assert list(cloud.events) == ["register", "error"]


def test_without_any_resolver_there_is_no_name(sandbox: Sandbox, cloud: TimedCloud) -> None:
    code, error, _ = ends(sandbox, cloud, NAME)
    host = f"{NAME}:{cloud.store_port}"
    reason = f"ConnectionFailed: {host} cannot be found: Temporary failure in name resolution."
    assert (code, said(error)) == (1, reason)
