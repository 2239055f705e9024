"""Runs a function and a layer in AWS's Runtime Interface Emulator, in a private mount namespace.

The namespace has the layer at /opt, the function at /var/task and a separate /tmp, as Lambda has. AWS's emulator is the
Go program that AWS's base images hold.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests import ROOT
from tests.e2e.lambda_simulator.output import Output
from tests.e2e.lambda_simulator.runtimes import Runtime
from tests.e2e.lambda_simulator.sandbox import Process, Sandbox

MODULE = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie"
# AWS publishes no version that Go's proxy serves, so this is a commit, of 2026-10-30. Go checks its digest.
VERSION = "v0.0.0-20261030222936-bef5c4ba774d"
PROGRAM = ROOT / "target/emulator" / VERSION / "aws-lambda-rie"
_PATIENCE = 60.0  # seconds; only a test that fails waits for so long


class EmulatorError(Exception):
    """The emulator cannot be built, or does not start."""


class InvokeError(Exception):
    """The emulator's answer is an error: its status, whose reason is only in the log."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


def build() -> Path:
    """Compiles AWS's emulator unless an earlier call did, and returns its path."""
    if PROGRAM.exists():
        return PROGRAM
    if shutil.which("go") is None:
        raise EmulatorError(
            "AWS's emulator is a Go program, and go is not on PATH. It needs Go 1.26.6 or newer"
        )
    environment = {**os.environ, "GOBIN": str(PROGRAM.parent)}
    command = ["go", "install", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise EmulatorError(f"{' '.join(command)} failed:\n{done.stderr}")
    return PROGRAM


class Emulator:
    """One execution environment in AWS's emulator. Use it in a `with` block: the end kills what still runs.

    AWS's emulator begins Init with the first invocation.
    """

    def __init__(
        self,
        *,
        opt: Path,
        task: Path,
        runtime: Runtime,
        handler: str,
        variables: Mapping[str, str],
        visible: Sequence[Path] = (),
    ) -> None:
        self._output = Output()
        seen = [PROGRAM.parent, ROOT, *runtime.visible, *visible]
        self._sandbox = Sandbox(
            folders=[(opt, "/opt"), (task, "/var/task")],
            files=[],
            files_in="/opt/extensions",
            visible=[path.absolute() for path in seen],
            isolate=True,
            output=self._output,
            on_exit=_ignore_exit,
        )
        try:
            if not self._sandbox.isolated:
                raise EmulatorError(f"no private mounts: {self._sandbox.why_not_isolated}")
            self._address = f"127.0.0.1:{_free_port()}"
            addresses = {
                "--runtime-interface-emulator-address": self._address,
                "--runtime-api-address": f"127.0.0.1:{_free_port()}",
            }
            options = [word for option in addresses.items() for word in option]
            self.process: Process = self._sandbox.start(
                "emulator",
                [str(PROGRAM), *options, *runtime.command, handler],
                {
                    "PATH": os.environ["PATH"],
                    "LAMBDA_TASK_ROOT": "/var/task",
                    "AWS_EXECUTION_ENV": runtime.execution_env,
                    **variables,
                },
                "/var/task",
            )
        except BaseException:
            self._sandbox.close()
            self._output.close()
            raise

    @property
    def tmp(self) -> Path:
        """The folder that the function sees as /tmp."""
        return self._sandbox.tmp

    def log(self) -> str:
        """Returns what the emulator, the extension and the function have written."""
        return "\n".join(line.text for line in self._output.lines())

    def invoke(self, event: object) -> object:
        """Sends an event as `curl` would, and returns the function's answer. Raises `InvokeError` if Init failed."""
        url = f"http://{self._address}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode())
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 loopback
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                raise InvokeError(error.code) from error
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                    raise
                if self.process.exited.is_set():
                    raise EmulatorError(f"the emulator ended:\n{self.log()}") from error
                time.sleep(0.05)  # the emulator does not listen yet

    def shut_down(self) -> int | None:
        """Sends the emulator SIGTERM, on which it sends extensions SHUTDOWN. Returns its exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        if not self.process.exited.wait(_PATIENCE):
            raise EmulatorError(f"the emulator does not end:\n{self.log()}")
        return self.process.exit_code

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.close()
        self._output.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _ignore_exit(_process: Process, _at: int) -> None:
    """Does nothing: `Process` records its exit itself."""
