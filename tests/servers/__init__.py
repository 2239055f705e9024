"""Database servers of the distribution, each in a temporary folder, on loopback, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
START_SECONDS = 60.0  # a loaded machine takes this long; a server that cannot start ends at once
STOP_SECONDS = 30.0
_UNPRIVILEGED = "nobody"
_NO_GROUPS: list[int] | None = [] if os.geteuid() == 0 else None  # only root may leave its groups


class RefusedLogin(NamedTuple):
    """A login that a server refused because of its password: the database that the client named, and the time."""

    database: str
    at: float


class ServerMissingError(Exception):
    """The server is not installed. The message names the package."""


class ServerError(Exception):
    """The server did not start, or ended."""


def account() -> pwd.struct_passwd:
    """Returns whom servers run as: the caller, or an unprivileged user if the caller is root."""
    return pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


@contextmanager
def private_folder(name: str) -> Iterator[Path]:
    """Makes a folder for a server's files, which only its user can enter, and removes it in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, account().pw_uid, account().pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder)


def find_program(package: str, *candidates: Path | str) -> Path:
    """Returns the first program that exists. Raises `ServerMissingError` that names the package."""
    for candidate in candidates:
        if found := shutil.which(candidate):
            return Path(found)
    raise ServerMissingError(f"no {Path(candidates[-1]).name} is installed: apt-get install {package}")


def free_port() -> int:
    """Returns a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def run(command: Sequence[Path | str], folder: Path) -> None:
    """Runs a program that prepares a server's folder. Raises `ServerError` with what it wrote if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=_variables(folder),
        capture_output=True,
        text=True,
        user=_user(),
        group=_group(),
        extra_groups=_NO_GROUPS,
    )
    if done.returncode != 0:
        raise ServerError(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def running(
    command: Sequence[Path | str],
    folder: Path,
    log: Path,
    is_ready: Callable[[], bool],
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Runs a server during the `with` block. It writes to `log`, and the signal `stop` ends it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=_variables(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=_user(),
            group=_group(),
            extra_groups=_NO_GROUPS,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise ServerError(f"{Path(command[0]).name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _variables(folder: Path) -> Mapping[str, str]:
    """Returns the few variables of a server: none of the caller's configures it."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _user() -> int | None:
    return account().pw_uid if os.geteuid() == 0 else None


def _group() -> int | None:
    return account().pw_gid if os.geteuid() == 0 else None
