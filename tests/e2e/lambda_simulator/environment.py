"""One execution environment: Init, invocations and shutdown in Lambda's order and with its deadlines."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from . import runtimes, variables
from .api import Api
from .clock import Clock
from .control import RUNTIME, Control, Invocation, Metadata, PhaseError, message_of
from .errors import InitError, InvocationError, SimulatorError
from .faults import Fault, Faults
from .output import Output
from .runtimes import Runtime
from .sandbox import LaunchError, Process, Sandbox
from .timeline import Kind, LogLine, Timeline
from .variables import Credentials, InitializationType

OPT_EXTENSIONS = "/opt/extensions"
VAR_TASK = "/var/task"
MAX_EXTENSIONS = 10
RESTORE_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0
RUNTIME_SHARE = 0.3  # of SHUTDOWN_SECONDS: how long the runtime has to end after SIGTERM
LEFTOVER_SECONDS = 10.0  # how long SIGKILL may take; only a broken machine takes so long
INIT_SECONDS: Mapping[InitializationType, float] = {
    "on-demand": 10.0,
    "provisioned-concurrency": 130.0,
    "snap-start": 130.0,
    "lambda-managed-instances": 900.0,
}
TIMED_OUT = "Sandbox.Timedout"
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Function:
    """The function: its runtime, the folder of its code, its handler and its own variables."""

    runtime: Runtime = field(default_factory=runtimes.echo)
    task_root: Path | None = None
    handler: str = "app.handler"
    env: Mapping[str, str] = field(default_factory=dict)
    name: str = "function"
    version: str = "$LATEST"


@dataclass(frozen=True)
class Answer:
    """What the caller of an invocation gets, and what was written meanwhile."""

    request_id: str
    payload: bytes = field(repr=False)  # it may hold a secret
    error_type: str | None
    error_message: str | None = field(repr=False)
    milliseconds: float
    log: Sequence[LogLine] = field(repr=False)

    @property
    def value(self) -> object:
        """The payload as JSON. Raises `InvocationError` if the answer is an error."""
        if self.error_type is not None:
            raise InvocationError(self.error_type, self.error_message or "", self.log)
        return json.loads(self.payload)


class Environment:
    """One execution environment ("sandbox"). Use it in a `with` block: the end kills what still runs.

    extensions          a folder, of which every file is executed as from /opt/extensions, or a list of files
    function            what is invoked; without one, a loop that answers with its event
    memory_mb, timeout  as configured for the function; the timeout in seconds. The memory is reported, not enforced
    init_timeout        seconds for Init; Lambda's limit for the initialization type when not given
    concurrency         on Managed Instances: how many processes AWS's runtime for Python starts, one invocation in each
    freezes             whether everything is stopped between invocations, as Lambda does except on Managed Instances
    clock               a wall clock that a test moves, also during a freeze
    faults              the faults of the Extensions API
    isolate             False: no mount namespace, even if the machine allows one
    visible             host folders in /tmp that the processes need: all others there are hidden from them

    In a mount namespace the processes see their own /tmp, the extensions in /opt/extensions and the task root at
    /var/task. If the machine allows none, `isolated` is false, everything runs from its place, TMPDIR is `tmp`, and
    KEYSTART_DIR points into it, so that environments do not share a store.
    """

    def __init__(
        self,
        *,
        extensions: Path | str | Sequence[Path | str] = (),
        function: Function | None = None,
        memory_mb: int = 128,
        timeout: float = 3.0,
        init_timeout: float | None = None,
        initialization_type: InitializationType = "on-demand",
        concurrency: int = 1,
        freezes: bool = False,
        clock: Clock | None = None,
        credentials: Credentials | None = None,
        region: str = "eu-west-1",
        faults: Sequence[Fault] = (),
        isolate: bool = True,
        visible: Sequence[Path] = (),
    ) -> None:
        self.function = function or Function()
        self.memory_mb = memory_mb
        self.timeout = timeout
        self.init_timeout = INIT_SECONDS[initialization_type] if init_timeout is None else init_timeout
        self.initialization_type = initialization_type
        self._is_managed = initialization_type == "lambda-managed-instances"
        if freezes and self._is_managed:
            raise ValueError("Managed Instances do not freeze")
        if concurrency != 1 and not self._is_managed:
            raise ValueError("only Managed Instances run several invocations at once")
        self.concurrency = concurrency
        self._freezes = freezes
        self._is_frozen = False
        self.clock = clock
        self._now = time.time if clock is None else clock.now
        self.credentials = credentials or Credentials()
        self.region = region
        variables.check_size(self.function.env)
        self.faults = Faults(tuple(faults))
        self._processes: dict[str, Process] = {}
        self._state: Literal["new", "initialized", "restored", "failed", "stopped", "closed"] = "new"
        self._one_call = threading.Lock()
        self._extension_folder, self._extension_files = _listing(extensions)
        self._output = Output()
        try:
            self._sandbox = self._make_sandbox(visible, isolate)
        except BaseException:
            self._output.close()
            raise
        self.timeline = Timeline()
        self.timeline.add(Kind.SANDBOX_START, isolated=self._sandbox.isolated, why_not=self.why_not_isolated)
        metadata = Metadata(self.function.name, self.function.version, self.function.handler, ACCOUNT)
        self._control = Control(metadata, initialization_type, self.timeline, self.faults)
        self._api = Api(self._control, self._now)
        self._token = str(uuid.uuid4())

    def _make_sandbox(self, visible: Sequence[Path], isolate: bool) -> Sandbox:
        folders = []
        if self._extension_folder is not None:
            folders.append((self._extension_folder, OPT_EXTENSIONS))
        if self.function.task_root is not None:
            folders.append((self.function.task_root.resolve(), VAR_TASK))
        seen = [*visible, *self.function.runtime.visible, Path(sys.prefix)]
        if self.clock is not None:
            seen.append(self.clock.folder)
        return Sandbox(
            folders=folders,
            files=[] if self._extension_folder else self._extension_files,
            files_in=OPT_EXTENSIONS,
            visible=[path.absolute() for path in seen],
            isolate=isolate,
            output=self._output,
            on_exit=self._on_exit,
        )

    def __enter__(self) -> Environment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kills what still runs and removes the sandbox's /tmp. The timeline and the log stay."""
        if self._state == "closed":
            return
        self.kill()
        self._state = "closed"
        self._api.close()
        self._sandbox.close()
        self._output.close()
        self.timeline.add(Kind.SANDBOX_END)

    # --- looking ---

    @property
    def tmp(self) -> Path:
        """The host's path of the sandbox's /tmp. It exists until the environment is closed."""
        return self._sandbox.tmp

    @property
    def isolated(self) -> bool:
        """Whether the processes have a separate mount namespace, and so a separate /tmp."""
        return self._sandbox.isolated

    @property
    def why_not_isolated(self) -> str | None:
        return self._sandbox.why_not_isolated

    @property
    def launcher_pid(self) -> int:
        """The parent of all processes. Put it into a cgroup to limit all of them."""
        return self._sandbox.launcher_pid

    @property
    def log(self) -> list[LogLine]:
        """What all processes have written so far, in the order in which it was read."""
        return self._output.lines()

    def log_text(self, who: str | None = None) -> str:
        """Returns the log as text, of all or of one extension or "runtime"."""
        return "\n".join(line.text for line in self.log if who in (None, line.who))

    def process(self, who: str) -> Process:
        """Returns the running or last process of an extension, by its name, or of the "runtime"."""
        return self._processes[who]

    @property
    def extension_names(self) -> list[str]:
        return [path.name for path in self._extension_files]

    def variables(self, who: str) -> dict[str, str]:
        """Returns exactly the environment that an extension or the "runtime" starts with. It holds credentials."""
        if self.initialization_type == "snap-start":
            self._api.offer_credentials(self.credentials, self._token)
            credentials = {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{self._api.address}/2021-04-23/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token,
            }
        else:
            credentials = self.credentials.variables()
        own = dict(self.function.env)
        if not self.isolated:
            own.setdefault("TMPDIR", str(self.tmp))
            own.setdefault("KEYSTART_DIR", str(self.tmp / "keystart"))
        function = variables.for_function(
            own=own,
            credentials=credentials,
            runtime_api=self._api.address,
            handler=self.function.handler,
            task_root=self._task_root,
            execution_env=self.function.runtime.execution_env,
            name=self.function.name,
            version=self.function.version,
            memory_mb=self.memory_mb,
            region=self.region,
            initialization_type=self.initialization_type,
            concurrency=self.concurrency if self._is_managed else None,
        )
        return function if who == RUNTIME else variables.for_extension(function)

    @property
    def _task_root(self) -> str:
        if self.function.task_root is None:
            return "/"
        return VAR_TASK if self.isolated else str(self.function.task_root.resolve())

    # --- living ---

    def init(self) -> None:
        """Runs Init, from the start of the extensions to the last call of next; else raises `InitError`.

        After a failure, a shutdown or a kill you may call it again: /tmp is as the last call left it.
        """
        with self._one_call:
            self._first_init()

    def _first_init(self) -> None:
        if self._state == "initialized":
            raise SimulatorError("this environment is initialized; call reset() or shutdown() first")
        if self._state == "closed":
            raise SimulatorError("this environment is closed")
        self._init("init", time.monotonic() + self.init_timeout)

    def init_in_background(self) -> Future[None]:
        """Starts `init()` in a thread, for tests that act while it runs. The future has its outcome."""
        future: Future[None] = Future()

        def run() -> None:
            try:
                self.init()
                future.set_result(None)
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="init", daemon=True).start()
        return future

    def _init(self, phase: str, until: float) -> None:
        self.timeline.add(Kind.INIT_START, phase=phase)
        self._control.begin(self.extension_names)
        try:
            done = self._start_all(until)
        except PhaseError as failure:
            raise self._init_failed(failure, phase) from None
        if not done:
            raise self._init_timed_out(phase)
        self._state = "initialized"
        self.timeline.add(Kind.INIT_END, phase=phase)
        if phase == "init":
            self._freeze()

    def _freeze(self) -> None:
        if self._freezes:
            self._sandbox.freeze()
            self._is_frozen = True
            self.timeline.add(Kind.FROZEN)

    def _thaw(self) -> None:
        if self._is_frozen:
            self.timeline.add(Kind.THAWED)
            self._is_frozen = False
            self._sandbox.thaw()

    def _start_all(self, until: float) -> bool:
        if len(self._extension_files) > MAX_EXTENSIONS:
            raise PhaseError(
                "Extension.TooManyExtensions", f"Lambda allows {MAX_EXTENSIONS}", self.extension_names[-1]
            )
        for path in self._extension_files:
            command = f"{OPT_EXTENSIONS}/{path.name}" if self.isolated else str(path)
            self._start(path.name, [command], "/", Kind.EXTENSION_STARTED, Kind.EXTENSION_LAUNCH_ERROR)
        if not self._control.wait_registered(until):
            return False
        # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
        command_line = [*self.function.runtime.command, self.function.handler]
        if wrapper := self.function.env.get("AWS_LAMBDA_EXEC_WRAPPER"):
            command_line.insert(0, wrapper)
        self._start(RUNTIME, command_line, self._task_root, Kind.RUNTIME_STARTED, Kind.RUNTIME_LAUNCH_ERROR)
        return self._control.wait_initialized(until)

    def _start(self, name: str, command: Sequence[str], folder: str, started: Kind, refused: Kind) -> None:
        try:
            moved = {} if self.clock is None else self.clock.variables()
            process = self._sandbox.start(name, command, {**self.variables(name), **moved}, folder)
        except LaunchError as refusal:
            self.timeline.add(refused, name, errno=refusal.code)
            error_type = "Runtime.InvalidEntrypoint" if name == RUNTIME else "Extension.LaunchError"
            raise PhaseError(error_type, str(refusal), name) from None
        self._processes[name] = process
        self.timeline.add(started, name, process.started_ns, pid=process.pid)

    def _on_exit(self, process: Process, at_ns: int) -> None:
        kind = Kind.RUNTIME_EXITED if process.name == RUNTIME else Kind.EXTENSION_EXITED
        self.timeline.add(kind, process.name, at_ns, code=process.exit_code)
        assert process.exit_code is not None
        self._control.exited(process.name, process.exit_code)

    def _init_failed(self, failure: PhaseError, phase: str) -> InitError:
        reported = self._control.reported(failure.who)
        error_type = failure.error_type
        self.timeline.add(
            Kind.INIT_FAILED, failure.who, error_type=error_type, reported=reported, phase=phase
        )
        self._stop("failure")
        self._state = "failed"
        return InitError(failure.error_type, str(failure), failure.who, reported, failure.payload, self.log)

    def _init_timed_out(self, phase: str) -> InitError:
        missing = self._control.waiting_for()
        self.timeline.add(Kind.INIT_FAILED, error_type=TIMED_OUT, phase=phase, waiting_for=missing)
        self._kill_all()
        self._control.end()
        self._state = "failed"
        reason = f"not done after {self.init_timeout:g} s, waiting for {', '.join(missing)}"
        return InitError(TIMED_OUT, reason, missing[0], None, None, self.log)

    def restore(self) -> None:
        """Restores the snapshot: a runtime in restore/next continues. `invoke` does it if nobody did."""
        with self._one_call:
            self._restore(time.monotonic() + RESTORE_SECONDS)

    def _restore(self, until: float) -> bool:
        self.timeline.add(Kind.RESTORE_START)
        self._thaw()
        done = self._control.restore(until)
        self.timeline.add(Kind.RESTORE_END)
        if done:
            self._state = "restored"
        return done

    def invoke(self, payload: object = None, *, tenant: str | None = None) -> Answer:
        """Invokes the function with a JSON value or with bytes, and waits for the end of the invocation.

        The end is when the function has answered, and it and every extension that subscribed have called next.
        Errors of the function, a timeout and a crash are answers, as they are for Lambda's callers: see
        `Answer.error_type` and `Answer.value`. A new environment has its Init first. If that fails, it is
        repeated in the invocation, inside its timeout. After a timeout or a crash everything is stopped, and
        the next invocation begins with an Init over the same /tmp.
        """
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        with self._one_call:
            if self._state == "new":
                self._try_first_init()
        with nullcontext() if self._is_managed and self._state == "initialized" else self._one_call:
            return self._invoke(body, tenant)

    def _try_first_init(self) -> None:
        with suppress(InitError):  # the timeline has it, and the invocation repeats and reports it
            self._first_init()

    def _invoke(self, body: bytes, tenant: str | None) -> Answer:
        if self._state == "closed":
            raise SimulatorError("this environment is closed")
        if self.initialization_type == "snap-start" and self._state == "initialized":
            self._restore(time.monotonic() + RESTORE_SECONDS)  # not in the function's time
        arn = f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.function.name}"
        until = time.monotonic() + self.timeout
        invocation = Invocation(body, round((self._now() + self.timeout) * 1000), arn, tenant)
        first_line = len(self.log)
        started = self.timeline.add(Kind.INVOKE_START, request_id=invocation.request_id)
        problem = self._run(invocation, until)
        error_type, message = _error_of(invocation) if problem is None else problem
        ended = self.timeline.add(Kind.INVOKE_END, request_id=invocation.request_id, error_type=error_type)
        if problem is not None and self._state in ("initialized", "restored"):
            self._stop("timeout" if error_type == TIMED_OUT else "failure")
            self._state = "failed"
        if self._state in ("initialized", "restored"):
            self._freeze()
        answer = invocation.response
        if problem is not None or answer is None:
            answer = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
        duration = (ended.at_ns - started.at_ns) / 1e6
        return Answer(invocation.request_id, answer, error_type, message, duration, self.log[first_line:])

    def _run(self, invocation: Invocation, until: float) -> tuple[str, str] | None:
        """Runs the invocation to its end; returns error type and message if something went wrong around it."""
        prefix = f"RequestId: {invocation.request_id} Error: "
        timed_out = (TIMED_OUT, f"{prefix}Task timed out after {self.timeout:.2f} seconds")
        try:
            if self._state not in ("initialized", "restored"):
                self._init("invoke", until)
            if (
                self.initialization_type == "snap-start"
                and self._state != "restored"
                and not self._restore(until)
            ):
                return timed_out
            self._thaw()
            self._control.offer(invocation)
            if not self._control.wait_finished(invocation, until):
                return timed_out
        except InitError as failed:
            if failed.error_type == TIMED_OUT:
                return timed_out
            return failed.error_type, message_of(failed.payload) if failed.payload else prefix + failed.reason
        except PhaseError as failure:
            return failure.error_type, prefix + str(failure)
        return None

    # --- dying ---

    def shutdown(self, reason: str = "spindown") -> None:
        """Ends everything as Lambda does, within two seconds. `reason` is that of the SHUTDOWN event."""
        with self._one_call:
            self._stop(reason)
            self._state = "stopped"

    def reset(self, reason: str = "failure") -> None:
        """Shuts everything down for this reason and runs Init again, over the same /tmp."""
        self.shutdown(reason)
        self.init()

    def kill(self) -> None:
        """Kills everything at once, without an event to anybody, as when the machine fails.

        An Init or an invocation that another thread waits for fails with Sandbox.PhaseError.
        """
        for process in list(self._processes.values()):
            if process.exit_code is None:
                self._signal(process, signal.SIGKILL)
        self._control.fail(PhaseError("Sandbox.PhaseError", "killed", "sandbox"))
        with self._one_call:
            self._kill_all()
            self._control.end()
            self._state = "stopped"

    def _stop(self, reason: str) -> None:
        self.timeline.add(Kind.SHUTDOWN_START, reason=reason)
        self._thaw()
        self._control.stop()
        begin = time.monotonic()
        deadline_ms = round((self._now() + SHUTDOWN_SECONDS) * 1000)
        extensions = [self._processes[name] for name in self.extension_names if name in self._processes]
        if extensions:  # without extensions Lambda allows no time for a graceful end
            self._stop_runtime(begin + SHUTDOWN_SECONDS * RUNTIME_SHARE)
            for process in extensions:
                if process.exit_code is not None:
                    continue
                if self._control.subscribed_to_shutdown(process.name):
                    self._control.send_shutdown(process.name, reason, deadline_ms)
                else:
                    self._signal(process, signal.SIGKILL)
            for process in extensions:
                process.exited.wait(max(0.0, begin + SHUTDOWN_SECONDS - time.monotonic()))
        self._kill_all()
        self._control.end()
        self.timeline.add(Kind.SHUTDOWN_END)

    def _stop_runtime(self, until: float) -> None:
        process = self._processes.get(RUNTIME)
        if process is None or process.exit_code is not None:
            return
        self._signal(process, signal.SIGTERM)
        if not process.exited.wait(until - time.monotonic()):
            self._signal(process, signal.SIGKILL)

    def _signal(self, process: Process, number: signal.Signals) -> None:
        self.timeline.add(Kind.SIGNAL_SENT, process.name, signal=number.name)
        process.signal(number)

    def _kill_all(self) -> None:
        self._control.stop()
        for process in self._processes.values():
            if process.exit_code is None:
                self._signal(process, signal.SIGKILL)
        for process in self._processes.values():
            if not process.exited.wait(LEFTOVER_SECONDS):
                raise SimulatorError(f"{process.name} (process {process.pid}) does not end on SIGKILL")
            self._sandbox.reap(process)
        self._processes = {}
        self._is_frozen = False


def _listing(extensions: Path | str | Sequence[Path | str]) -> tuple[Path | None, list[Path]]:
    """Returns the folder, if it is one, and the files to execute. Lambda executes dotfiles and links too."""
    if isinstance(extensions, (str, Path)):
        folder = Path(extensions).resolve(strict=True)
        return folder, sorted(path for path in folder.iterdir() if path.is_symlink() or not path.is_dir())
    files = [Path(path).absolute() for path in extensions]
    if twice := {path.name for path in files if sum(each.name == path.name for each in files) > 1}:
        raise ValueError(f"two extensions with the base name {min(twice)!r}")
    if missing := [path for path in files if not path.exists()]:
        raise FileNotFoundError(f"no such extension: {missing[0]}")
    return None, files


def _error_of(invocation: Invocation) -> tuple[str | None, str | None]:
    """Returns the function's own error, if it answered with one."""
    if not invocation.is_error or invocation.response is None:
        return None, None
    try:
        error_type = str(json.loads(invocation.response)["errorType"])
    except (ValueError, KeyError, TypeError):
        error_type = "Runtime.Unknown"
    return error_type, message_of(invocation.response)
