"""The rules of the Extensions API and the Runtime API: which call is allowed when, and who waits for whom.

It starts no process and has no HTTP: `api` passes the calls, `environment` the starts, the deadlines and the
exits. Error types and orders are those of AWS's own emulator,
https://github.com/aws/aws-lambda-runtime-interface-emulator.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .faults import Call, Deliver, Faults, Respond
from .timeline import Kind, Timeline
from .variables import InitializationType

EVENTS = ("INVOKE", "SHUTDOWN")
RUNTIME = "runtime"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class HangupError(Exception):
    """The caller gets no answer: its connection is closed."""


class PhaseError(Exception):
    """Something ended Init or an invocation: an exit, a failed launch, or a reported error."""

    def __init__(self, error_type: str, message: str, who: str, payload: bytes | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.who = who
        self.payload = payload


class State(Enum):
    """The state of an extension."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"


@dataclass
class Extension:
    name: str
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = State.STARTED
    events: tuple[str, ...] = ()
    reported: str | None = None
    mail: deque[tuple[str, bytes]] = field(default_factory=deque)
    asked: int = 0  # how often it has called next
    working_on: str = ""
    finished: str = ""


@dataclass
class Invocation:
    """One event for the function, and the function's answer to it."""

    payload: bytes
    deadline_ms: int
    arn: str
    tenant: str | None = None  # of a function with tenant isolation
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace: str = field(
        default_factory=lambda: (
            f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=0"
        )
    )
    response: bytes | None = None
    is_error: bool = False


@dataclass(frozen=True)
class Metadata:
    """What the answer to a registration says about the function."""

    name: str
    version: str
    handler: str
    account_id: str


def error(status: int, error_type: str, message: str) -> Reply:
    return json_reply(status, {"errorMessage": message, "errorType": error_type})


def json_reply(status: int, value: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


ACCEPTED = json_reply(202, {"status": "OK"})


class Control:
    """One environment's state. Every public method may be called from any thread."""

    def __init__(
        self, metadata: Metadata, initialization_type: InitializationType, timeline: Timeline, faults: Faults
    ) -> None:
        self._metadata = metadata
        self._managed = initialization_type == "lambda-managed-instances"
        self._timeline = timeline
        self._faults = faults
        self._changed = threading.Condition()
        self._generation = 0
        self._clear()

    def _clear(self) -> None:
        self._extensions: dict[str, Extension] = {}
        self._failure: PhaseError | None = None
        self._stopping = False
        self._runtime_asked = 0
        self._runtime_restoring = False
        self._restored = False
        self._runtime_init_error: PhaseError | None = None
        self._runtime_finished = ""
        self._runtime_working_on = ""
        self._pending: deque[Invocation] = deque()
        self._current: dict[str, Invocation] = {}

    # --- what the environment does ---

    def begin(self, names: Sequence[str]) -> None:
        """Begins a new Init: nothing of an earlier one counts any more."""
        with self._changed:
            self._clear()
            self._extensions = {name: Extension(name) for name in names}

    def end(self) -> None:
        """Notes that everything was killed: whoever still waits for an answer gets none."""
        with self._changed:
            self._generation += 1
            self._clear()
            self._changed.notify_all()

    def fail(self, failure: PhaseError) -> None:
        """Notes the first failure; later ones follow from it."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def exited(self, who: str, code: int) -> None:
        """Notes that a process has ended. Outside a shutdown that is a failure, whatever its code."""
        with self._changed:
            message = f"exit status {code}" if code >= 0 else f"signal {-code}"
            extension = self._extensions.get(who)
            if extension is not None:
                reported = {State.INIT_ERROR: "Extension.InitError", State.EXIT_ERROR: "Extension.ExitError"}
                failure = PhaseError(reported.get(extension.state, "Extension.Crash"), message, who)
                extension.state = State.EXITED
            else:
                failure = self._runtime_init_error or PhaseError("Runtime.ExitError", message, who)
            if not self._stopping:
                self._failure = self._failure or failure
            self._changed.notify_all()

    def reported(self, name: str) -> str | None:
        """Returns the type of error that the extension itself has reported."""
        with self._changed:
            extension = self._extensions.get(name)
            return extension.reported if extension else None

    def wait_registered(self, until: float) -> bool:
        """Returns true once every extension has registered; false once `until` has come (time.monotonic)."""
        return self._wait(
            lambda: all(each.state is not State.STARTED for each in self._extensions.values()), until
        )

    def wait_initialized(self, until: float) -> bool:
        """Returns true once the runtime and every extension have called next."""
        return self._wait(
            lambda: (
                (self._runtime_asked > 0 or self._runtime_restoring)
                and all(each.asked > 0 for each in self._extensions.values())
            ),
            until,
        )

    def waiting_for(self) -> list[str]:
        """Returns who has not called next yet; the runtime only if nobody else holds it up."""
        with self._changed:
            late = [each.name for each in self._extensions.values() if each.state is State.STARTED]
            late = late or [each.name for each in self._extensions.values() if not each.asked]
            return late or [RUNTIME]

    def restore(self, until: float) -> bool:
        """Resumes a runtime that waits for the restore of its snapshot; true once it asks for an event."""
        with self._changed:
            self._restored = True
            self._changed.notify_all()
        return self._wait(lambda: self._runtime_asked > 0, until)

    def offer(self, invocation: Invocation) -> None:
        """Passes an event to the runtime, and to the extensions that subscribed."""
        event = {
            "eventType": "INVOKE",
            "deadlineMs": invocation.deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace},
        }
        with self._changed:
            self._current[invocation.request_id] = invocation
            self._pending.append(invocation)
            for extension in self._extensions.values():
                if "INVOKE" in extension.events:
                    extension.mail.append((invocation.request_id, json.dumps(event).encode()))
            self._changed.notify_all()

    def wait_finished(self, invocation: Invocation, until: float) -> bool:
        """Returns true once the function has answered, and it and every extension have asked for the next event."""

        def finished() -> bool:
            if invocation.response is None:
                return False
            if self._managed:
                return True  # many invocations at once: nobody's next ends one of them
            return self._runtime_finished == invocation.request_id and all(
                each.finished == invocation.request_id
                for each in self._extensions.values()
                if "INVOKE" in each.events
            )

        done = self._wait(finished, until)
        with self._changed:
            self._current.pop(invocation.request_id, None)
        return done

    def _wait(self, condition: Callable[[], bool], until: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or condition(), max(0.0, until - time.monotonic()))
            if self._failure is not None:
                raise self._failure
            return condition()

    def stop(self) -> None:
        """Notes that from now on an exit is not a failure."""
        with self._changed:
            self._stopping = True

    def subscribed_to_shutdown(self, name: str) -> bool:
        with self._changed:
            return "SHUTDOWN" in self._extensions[name].events

    def send_shutdown(self, name: str, reason: str, deadline_ms: int) -> None:
        event = {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
        with self._changed:
            extension = self._extensions[name]
            extension.mail.clear()  # an INVOKE that nobody fetched is superseded
            extension.mail.append(("", json.dumps(event).encode()))
            self._changed.notify_all()

    # --- what extensions call ---

    def register(self, name: str, features: str, body: bytes) -> Reply:
        """Answers POST /2020-01-01/extension/register."""
        with self._changed:
            if replaced := self._replace("register", name):
                return replaced
            reply = self._register(name, features, body)
            if reply.status == 200:
                events = list(self._extensions[name].events)
                self._timeline.add(Kind.EXTENSION_REGISTERED, name, events=events)
                self._changed.notify_all()
                return reply
            return self._refuse(Kind.EXTENSION_REFUSED, name, "register", reply)

    def _register(self, name: str, features: str, body: bytes) -> Reply:
        extension = self._extensions.get(name)
        if extension is None:
            return error(
                403, "Extension.InvalidExtensionName", f"no extension file has the base name {name!r}"
            )
        try:
            events = json.loads(body)["events"]
            if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
                raise TypeError("events is not a list of strings")
        except (ValueError, KeyError, TypeError) as problem:
            return error(403, "InvalidRequestFormat", f"not a registration: {problem}")
        if unknown := [event for event in events if event not in EVENTS]:
            return error(400, "Extension.InvalidEventType", f"{unknown[0]}: ErrorInvalidEventType")
        if self._managed and "INVOKE" in events:
            return error(
                403, "Extension.InvalidEventType", "INVOKE: not supported on Lambda Managed Instances"
            )
        if extension.state is not State.STARTED:
            return self._wrong_state(extension, "Registered")
        extension.state = State.REGISTERED
        extension.events = tuple(dict.fromkeys(events))
        answer = {
            "functionName": self._metadata.name,
            "functionVersion": self._metadata.version,
            "handler": self._metadata.handler,
        }
        if "accountId" in [feature.strip() for feature in features.split(",")]:
            answer["accountId"] = self._metadata.account_id
        return json_reply(200, answer, Lambda_Extension_Identifier=extension.identifier)

    def next_event(self, identifier: str) -> Reply:
        """Answers GET /2020-01-01/extension/event/next, as soon as there is an event."""
        with self._changed:
            extension = self._identify(identifier, "next")
            if isinstance(extension, Reply):
                return extension
            fault = self._faults.take("next", extension.name)
            if fault is not None:
                self._timeline.add(Kind.FAULT, extension.name, call="next", does=type(fault).__name__)
            if isinstance(fault, Respond):
                return Reply(fault.status, fault.body, {"Content-Type": "application/json"})
            if extension.state not in (State.REGISTERED, State.RUNNING):
                reply = self._wrong_state(extension, "Ready")
                return self._refuse(Kind.EXTENSION_REFUSED, extension.name, "next", reply)
            extension.state = State.READY
            extension.asked += 1
            extension.finished = extension.working_on
            self._timeline.add(Kind.EXTENSION_NEXT, extension.name)
            if isinstance(fault, Deliver):
                extension.mail.appendleft((extension.working_on, fault.body()))
            self._changed.notify_all()
            self._wait_for_answer(lambda: bool(extension.mail))
            extension.working_on, body = extension.mail.popleft()
            extension.state = State.RUNNING
            self._timeline.add(
                Kind.EXTENSION_EVENT, extension.name, event=str(json.loads(body).get("eventType"))
            )
            headers = {
                "Content-Type": "application/json",
                "Lambda-Extension-Event-Identifier": str(uuid.uuid4()),
            }
            return Reply(200, body, headers)

    def init_error(self, identifier: str, error_type: str) -> Reply:
        """Answers POST /2020-01-01/extension/init/error, which takes effect when the process exits."""
        allowed = (State.REGISTERED, State.INIT_ERROR)
        return self._report("init/error", identifier, error_type, allowed, State.INIT_ERROR)

    def exit_error(self, identifier: str, error_type: str) -> Reply:
        """Answers POST /2020-01-01/extension/exit/error, which takes effect when the process exits."""
        allowed = (State.REGISTERED, State.READY, State.RUNNING, State.EXIT_ERROR)
        return self._report("exit/error", identifier, error_type, allowed, State.EXIT_ERROR)

    def _report(
        self, call: str, identifier: str, error_type: str, allowed: Sequence[State], state: State
    ) -> Reply:
        kind = Kind.EXTENSION_INIT_ERROR if state is State.INIT_ERROR else Kind.EXTENSION_EXIT_ERROR
        with self._changed:
            extension = self._identify(identifier, call)
            if isinstance(extension, Reply):
                return extension
            if not error_type:
                reply = error(
                    403, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"
                )
            elif extension.state not in allowed:
                reply = self._wrong_state(extension, state.value)
            else:
                extension.state = state
                extension.reported = extension.reported or error_type  # the first one counts
                self._timeline.add(kind, extension.name, error_type=error_type)
                return ACCEPTED
            return self._refuse(Kind.EXTENSION_REFUSED, extension.name, call, reply)

    def _identify(self, identifier: str, call: str) -> Extension | Reply:
        if not identifier:
            problem = ("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        else:
            for extension in self._extensions.values():
                if extension.identifier == identifier and extension.state is not State.STARTED:
                    return extension
            problem = ("Extension.UnknownExtensionIdentifier", "Unknown Lambda-Extension-Identifier")
        return self._refuse(Kind.EXTENSION_REFUSED, "", call, error(403, *problem))

    def _replace(self, call: Call, name: str) -> Reply | None:
        fault = self._faults.take(call, name)
        if not isinstance(fault, Respond):
            return None
        self._timeline.add(Kind.FAULT, name, call=call, does=type(fault).__name__)
        return Reply(fault.status, fault.body, {"Content-Type": "application/json"})

    def _wrong_state(self, extension: Extension, wanted: str) -> Reply:
        message = (
            f"State transition from {extension.state.value} to {wanted} failed "
            f"for extension {extension.name}. Error: State transition is not allowed"
        )
        return error(403, "Extension.InvalidExtensionState", message)

    def _refuse(self, kind: Kind, who: str, call: str, reply: Reply) -> Reply:
        error_type = json.loads(reply.body)["errorType"]
        self._timeline.add(kind, who, call=call, status=reply.status, error_type=error_type)
        return reply

    def _wait_for_answer(self, condition: Callable[[], bool]) -> None:
        """Waits as a long poll: without a limit, until the processes that it belongs to end."""
        generation = self._generation
        self._changed.wait_for(lambda: condition() or self._generation != generation)
        if self._generation != generation:
            raise HangupError

    # --- what the runtime calls ---

    def next_invocation(self) -> Reply:
        """Answers GET /2018-06-01/runtime/invocation/next, as soon as there is an event."""
        with self._changed:
            self._runtime_asked += 1
            self._runtime_finished = self._runtime_working_on
            self._timeline.add(Kind.RUNTIME_NEXT, RUNTIME)
            self._changed.notify_all()
            self._wait_for_answer(lambda: bool(self._pending))
            invocation = self._pending.popleft()
            self._runtime_working_on = invocation.request_id
            self._timeline.add(Kind.RUNTIME_EVENT, RUNTIME, request_id=invocation.request_id)
            headers = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
                "Lambda-Runtime-Trace-Id": invocation.trace,
            }
            if invocation.tenant is not None:
                headers["Lambda-Runtime-Aws-Tenant-Id"] = invocation.tenant
            return Reply(200, invocation.payload, headers)

    def restore_next(self) -> Reply:
        """Answers GET /2018-06-01/runtime/restore/next, which ends Init for a runtime with restore hooks."""
        with self._changed:
            self._runtime_restoring = True
            self._timeline.add(Kind.RUNTIME_RESTORE_NEXT, RUNTIME)
            self._changed.notify_all()
            self._wait_for_answer(lambda: self._restored)
            return Reply(200)

    def answer(self, request_id: str, body: bytes, *, is_error: bool) -> Reply:
        """Answers POST /2018-06-01/runtime/invocation/{id}/response and …/error."""
        call = "error" if is_error else "response"
        with self._changed:
            invocation = self._current.get(request_id)
            if invocation is None or invocation.response is not None:
                return self._refuse(
                    Kind.RUNTIME_REFUSED, RUNTIME, call, error(400, "InvalidRequestID", "Invalid request ID")
                )
            invocation.response, invocation.is_error = body, is_error
            kind = Kind.RUNTIME_ERROR if is_error else Kind.RUNTIME_RESPONSE
            self._timeline.add(kind, RUNTIME, request_id=request_id)
            self._changed.notify_all()
            return ACCEPTED

    def runtime_init_error(self, error_type: str, body: bytes) -> Reply:
        """Answers POST /2018-06-01/runtime/init/error and …/restore/error, which take effect when the process exits."""
        with self._changed:
            if self._runtime_asked:
                reply = error(
                    403, "InvalidStateTransition", "the runtime has already asked for an invocation"
                )
                return self._refuse(Kind.RUNTIME_REFUSED, RUNTIME, "init/error", reply)
            self._timeline.add(Kind.RUNTIME_INIT_ERROR, RUNTIME, error_type=error_type)
            self._runtime_init_error = PhaseError(
                error_type or "Runtime.Unknown", message_of(body), RUNTIME, body
            )
            return ACCEPTED


def message_of(body: bytes) -> str:
    """Returns the errorMessage of an error's body, or the body if it has none."""
    try:
        return str(json.loads(body)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "backslashreplace")
