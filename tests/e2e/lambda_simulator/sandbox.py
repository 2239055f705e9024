"""One sandbox from outside: its private /tmp and its processes. It does not know Lambda."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .output import Output

LAUNCHER = Path(__file__).with_name("launcher.py")
PACKET = 1 << 18
ANSWER_WITHIN = 10.0  # seconds; answers take milliseconds, so by then the launcher is gone or stuck


class LaunchError(Exception):
    """The system refused to execute the file: no run bit, no shebang, or a missing interpreter."""

    def __init__(self, command: Sequence[str], code: str, words: str) -> None:
        super().__init__(f"{command[0]}: {code} ({words})")
        self.code = code


@dataclass
class Process:
    """One process of the sandbox, in its own process group."""

    name: str
    sandbox: Sandbox
    pid: int = 0
    started_ns: int = 0
    exit_code: int | None = None
    """The exit status, or minus the number of the signal that ended it; None while it runs."""
    exited: threading.Event = field(default_factory=threading.Event)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group, as Lambda does. Does nothing after the process was reaped."""
        self.sandbox.order({"do": "signal", "pid": self.pid, "signal": int(number)})


class Sandbox:
    """A folder that is the sandbox's /tmp, and a launcher that starts processes that see it there.

    If the machine allows it, the processes live in a mount namespace with `tmp` at /tmp, `folders` (source, target) in
    place and `files` gathered in the folder `files_in`. Otherwise `isolated` is false, `why_not_isolated` says why, and
    nothing is mounted.
    """

    def __init__(
        self,
        *,
        folders: Sequence[tuple[Path, str]],
        files: Sequence[Path],
        files_in: str,
        visible: Sequence[Path],
        isolate: bool,
        output: Output,
        on_exit: Callable[[Process, int], None],
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lambda-"))
        self.tmp = self.folder / "tmp"
        self.tmp.mkdir(mode=0o700)
        self._output = output
        self._on_exit = on_exit
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._one_order = threading.Lock()
        self._starting: Process | None = None
        self._processes: dict[int, Process] = {}
        self._start_launcher()
        self.isolated = False
        self.why_not_isolated: str | None = "isolate=False was asked for"
        try:
            if isolate:
                order: dict[str, Any] = {"folders": [(str(source), target) for source, target in folders]}
                order |= {"files": [str(path) for path in files], "files_in": files_in}
                self._isolate(order, visible)
        except BaseException:
            self.close()
            raise

    def _start_launcher(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET)
        with theirs:
            command = [sys.executable, "-I", "-S", str(LAUNCHER), str(theirs.fileno())]
            self._launcher = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
            )
        self._channel = ours
        self._listener = threading.Thread(target=self._listen, name="sandbox", daemon=True)
        self._listener.start()

    def _isolate(self, order: dict[str, Any], visible: Sequence[Path]) -> None:
        hidden = {str(path) for path in visible if path.is_relative_to("/tmp")}
        tmp = {"tmp": str(self.tmp), "visible": sorted(hidden)}
        answer = self._ask({"do": "isolate", **order, **tmp})
        if "broken" in answer:
            raise OSError(answer["broken"])
        self.isolated = answer["isolated"]
        self.why_not_isolated = answer.get("why")

    @property
    def launcher_pid(self) -> int:
        return self._launcher.pid

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str], folder: str) -> Process:
        """Starts a process with exactly these variables. Raises `LaunchError` if that is refused."""
        process = Process(name, self)
        order = {"do": "start", "command": list(command), "variables": dict(variables), "folder": folder}
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            with self._one_order:
                self._starting = process
                socket.send_fds(self._channel, [json.dumps(order).encode()], [out_write, err_write])
                answer = self._answer()
        finally:
            os.close(out_write)
            os.close(err_write)
        if "refused" in answer:
            os.close(out_read)
            os.close(err_read)
            raise LaunchError(command, answer["refused"], answer["words"])
        self._output.attach(out_read, name, "stdout")
        self._output.attach(err_read, name, "stderr")
        return process

    def reap(self, process: Process) -> None:
        """Kills what is left of the process's group and releases its number."""
        with self._one_order:
            if self._processes.get(process.pid) is not process:
                return
            self._send({"do": "reap", "pid": process.pid})
            self._answer()
            del self._processes[process.pid]

    def freeze(self) -> None:
        """Stops all processes, with everything in their groups."""
        self._ask({"do": "freeze"})

    def thaw(self) -> None:
        """Lets all processes continue."""
        for process in list(self._processes.values()):
            process.signal(signal.SIGCONT)

    def order(self, message: dict[str, Any]) -> None:
        with self._one_order:
            self._send(message)

    def close(self) -> None:
        """Kills every process and removes the sandbox's /tmp."""
        self._channel.shutdown(socket.SHUT_RDWR)
        self._launcher.wait(ANSWER_WITHIN)
        self._listener.join(ANSWER_WITHIN)
        self._channel.close()
        shutil.rmtree(self.folder)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        with self._one_order:
            self._send(message)
            return self._answer()

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode())

    def _answer(self) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=ANSWER_WITHIN)
        except queue.Empty:
            raise RuntimeError("the sandbox's launcher does not answer") from None
        if "gone" in answer:
            self._answers.put(answer)  # for the next caller
            raise RuntimeError("the sandbox's launcher has ended; what it said is on standard error")
        return answer

    def _listen(self) -> None:
        while packet := self._channel.recv(PACKET):
            message = json.loads(packet)
            if "exited" in message:
                process = self._processes[message["exited"]]
                process.exit_code = message["code"]
                self._on_exit(process, message["at"])
                process.exited.set()
                continue
            if "started" in message and self._starting is not None:
                # Noted here, not in start(): the exit may be the very next packet.
                self._starting.pid, self._starting.started_ns = message["started"], message["at"]
                self._processes[message["started"]] = self._starting
            self._answers.put(message)
        self._answers.put({"gone": True})
