"""Checks the simulator against Lambda's rules, with extensions of a few lines and without Keystart."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

from .lambda_simulator import (
    Clock,
    Credentials,
    Deliver,
    Environment,
    Fault,
    Function,
    InitError,
    InitializationType,
    InvocationError,
    Kind,
    NotSeenError,
    Respond,
    Runtime,
    SimulatorError,
    Timeline,
    render,
    runtimes,
)
from .scripted import write_extension

pytestmark = pytest.mark.long

FUNCTIONS = ROOT / "tests/e2e/functions"
# The language of the function that each runtime runs.
RUNTIMES = {"python": "python", "node": "node", "node-loop": "node", "ruby": "ruby"}
BOTH = 'serve(register("INVOKE", "SHUTDOWN"))'
SHUTDOWN_ONLY = 'serve(register("SHUTDOWN"))'

Write = Callable[..., Path]


@pytest.fixture
def extension(tmp_path: Path) -> Write:
    """Writes an extension: `extension(script, name="ext")`."""

    def write(script: str, name: str = "ext") -> Path:
        return write_extension(tmp_path / "extensions" / name, script)

    return write


@pytest.fixture
def runtime(tmp_path: Path) -> Callable[[str], Function]:
    """Makes a function out of a runtime that is a script; the Extensions API's `call` serves for this one too."""

    def write(script: str) -> Function:
        path = write_extension(tmp_path / "runtime" / "runtime.py", script)
        return Function(Runtime((str(path),), "AWS_Lambda_simulated", (path.parent,)))

    return write


@pytest.fixture
def isolated() -> None:
    """Skips a test about private folders if the machine allows none."""
    with Environment() as environment:
        if not environment.isolated:
            pytest.skip(f"no private folders: {environment.why_not_isolated}")


def reports(environment: Environment, who: str = "ext") -> list[dict[str, Any]]:
    """Returns the facts that a script reported so far, in order."""
    lines = [line.text for line in environment.log if line.who == who and line.stream == "stdout"]
    return [json.loads(line) for line in lines if line.startswith("{")]


def order(environment: Environment, *kinds: Kind) -> list[tuple[Kind, str]]:
    return [(event.kind, event.who) for event in environment.timeline if event.kind in kinds]


def gone(pid: int) -> bool:
    """Returns whether the process has ended. A zombie that nobody reaps has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# --- Init ---


def test_the_runtime_starts_when_the_last_extension_has_registered(extension: Write) -> None:
    late = extension(f"wait_for('go')\n{BOTH}", "late")
    with Environment(extensions=[extension(BOTH, "early"), late]) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.EXTENSION_NEXT, "early")
        assert not environment.timeline.all(Kind.RUNTIME_STARTED)
        (environment.tmp / "go").touch()
        future.result()
        registered = environment.timeline.first(Kind.EXTENSION_REGISTERED, "late")
        assert registered.at_ns < environment.timeline.first(Kind.RUNTIME_STARTED).at_ns


def test_the_runtime_does_not_wait_for_an_extensions_next(extension: Write) -> None:
    script = 'identifier = register("SHUTDOWN")\nwait_for("go")\nserve(identifier)'
    with Environment(extensions=[extension(script)]) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.RUNTIME_NEXT)
        assert not environment.timeline.all(Kind.EXTENSION_NEXT)
        assert not future.done(), "Init ends only when every extension has called next"
        (environment.tmp / "go").touch()
        future.result()
        assert order(environment, Kind.EXTENSION_NEXT, Kind.INIT_END) == [
            (Kind.EXTENSION_NEXT, "ext"),
            (Kind.INIT_END, ""),
        ]


def test_init_waits_for_the_runtimes_first_next(extension: Write, runtime: Callable[[str], Function]) -> None:
    function = runtime('wait_for("go")\ncall("GET", "/2018-06-01/runtime/invocation/next")')
    with Environment(extensions=[extension(BOTH)], function=function) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.EXTENSION_NEXT)
        assert not future.done()
        (environment.tmp / "go").touch()
        future.result()


@pytest.mark.parametrize(
    ("attempt", "status", "error_type"),
    [
        ('try_register("SHUTDOWN", name="other")', 403, "Extension.InvalidExtensionName"),
        ('try_register("SHUTDOWN", name="")', 403, "Extension.InvalidExtensionName"),
        ('try_register("SHUTDOWN", "SNAPSHOT")', 400, "Extension.InvalidEventType"),
        (
            'call("POST", "/2020-01-01/extension/register", "{", Lambda_Extension_Name=NAME)',
            403,
            "InvalidRequestFormat",
        ),
        ('try_next("")', 403, "Extension.MissingExtensionIdentifier"),
        ('try_next("b2fe0c1e-3b40-4a5c-9a0b-8d5ec4d1ca61")', 403, "Extension.UnknownExtensionIdentifier"),
        ('report("init", "", "Extension.Early")', 403, "Extension.MissingExtensionIdentifier"),
        ('report("exit", "unknown", "Extension.Early")', 403, "Extension.UnknownExtensionIdentifier"),
    ],
)
def test_a_wrong_call_before_registration_is_refused_and_a_right_one_still_works(
    extension: Write, attempt: str, status: int, error_type: str
) -> None:
    script = f"""
    status, _, body = {attempt}
    tell(status=status, error_type=body["errorType"])
    {BOTH}
    """
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        refused = environment.timeline.first(Kind.EXTENSION_REFUSED)
        assert (refused.detail["status"], refused.detail["error_type"]) == (status, error_type)
        environment.shutdown()
        assert reports(environment)[0] == {"status": status, "error_type": error_type}


def has(fact: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {name: fact.get(name) for name in expected} == expected


FAILS = 'status, _, body = {}\ntell(status=status, error_type=body["errorType"])\n'
LATE = f"""
identifier = register("INVOKE", "SHUTDOWN")
next_event(identifier)
{FAILS.format('report("init", identifier, "Extension.Late")')}
serve(identifier)
"""
UNTYPED = f"""
identifier = register("INVOKE", "SHUTDOWN")
{FAILS.format('call("POST", "/2020-01-01/extension/WHAT/error", Lambda_Extension_Identifier=identifier)')}
serve(identifier)
"""
REGISTERED = """
status, headers, body = try_register("SHUTDOWN", Lambda_Extension_Accept_Feature="accountId")
tell(status=status, **body)
serve(headers["Lambda-Extension-Identifier"])
"""
TWICE = f"""
identifier = register("SHUTDOWN")
{FAILS.format('try_register("INVOKE")')}
serve(identifier)
"""
OTHER_PATH = f'tell(status=call("POST", "PATH", "{{}}", Lambda_Extension_Name=NAME)[0])\n{BOTH}'
PROCESS = f"tell(own=os.getpgid(0) == os.getpid(), input=os.readlink('/proc/self/fd/0'))\n{BOTH}"
CREDENTIALS = f'tell(status=call("GET", "/2021-04-23/credentials", Authorization="")[0])\n{BOTH}'
MANAGED: InitializationType = "lambda-managed-instances"
ORDERS = Function(name="orders", version="7", handler="orders.handle")
INVALID_STATE = {"status": 403, "error_type": "Extension.InvalidExtensionState"}


@pytest.mark.parametrize(
    ("script", "options", "facts"),
    [
        pytest.param(
            REGISTERED,
            {"function": ORDERS},
            [
                {
                    "status": 200,
                    "functionName": "orders",
                    "functionVersion": "7",
                    "handler": "orders.handle",
                    "accountId": "123456789012",
                }
            ],
            id="a registration is answered with the function",
        ),
        # The second registration does not subscribe to INVOKE.
        pytest.param(
            TWICE, {}, [INVALID_STATE, {"eventType": "SHUTDOWN"}], id="an extension registers only once"
        ),
        *(
            pytest.param(OTHER_PATH.replace("PATH", path), {}, [{"status": 404}], id=f"{path} is not found")
            for path in (
                "/2020-01-02/extension/register",
                "/extension/register",
                "/2020-1-1/extension/register",
            )
        ),
        pytest.param(
            FAILS.format('try_register("INVOKE", "SHUTDOWN")') + SHUTDOWN_ONLY,
            {"initialization_type": MANAGED},
            [{"status": 403, "error_type": "Extension.InvalidEventType"}],
            id="on managed instances nobody subscribes to INVOKE",
        ),
        pytest.param(LATE, {}, [INVALID_STATE], id="init error is refused after the first next"),
        *(
            pytest.param(
                UNTYPED.replace("WHAT", what),
                {},
                [{"status": 403, "error_type": "Extension.MissingHeader"}],
                id=f"an {what} error without its type is refused",
            )
            for what in ("init", "exit")
        ),
        pytest.param(
            CREDENTIALS, {}, [{"status": 404}], id="credentials come from the endpoint under SnapStart only"
        ),
        pytest.param(
            PROCESS, {}, [{"own": True, "input": "/dev/null"}], id="a process has its own group and no input"
        ),
        *(
            pytest.param(
                f"tell(kind=os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'])\n{SHUTDOWN_ONLY}",
                {"initialization_type": kind},
                [{"kind": kind}],
                id=f"{kind} is sent",
            )
            for kind in ("provisioned-concurrency", MANAGED)
        ),
    ],
)
def test_an_extension_sees_what_lambda_shows(
    extension: Write, script: str, options: dict[str, Any], facts: list[dict[str, Any]]
) -> None:
    with Environment(extensions=[extension(script)], **options) as environment:
        environment.init()
        if not options:
            environment.invoke()
        environment.shutdown()
        seen = reports(environment)
        assert [has(fact, expected) for fact, expected in zip(seen, facts, strict=False)] == [True] * len(
            facts
        )


def test_managed_instances_run_many_invocations_at_once(
    extension: Write, runtime: Callable[[str], Function]
) -> None:
    function = runtime("""
    taken = []
    for _ in range(2):
        _, headers, event = call("GET", "/2018-06-01/runtime/invocation/next")
        taken.append((headers["Lambda-Runtime-Aws-Request-Id"], event))
    for identifier, event in taken:
        call("POST", f"/2018-06-01/runtime/invocation/{identifier}/response", json.dumps(event))
    call("GET", "/2018-06-01/runtime/invocation/next")
    """)
    with (
        Environment(
            extensions=[extension(SHUTDOWN_ONLY)],
            function=function,
            initialization_type="lambda-managed-instances",
        ) as environment,
        ThreadPoolExecutor() as pool,
    ):
        environment.init()
        answers = list(pool.map(environment.invoke, ["one", "two"]))
        assert [answer.value for answer in answers] == ["one", "two"]


# --- Init that fails ---


SAYS = "print('last words', flush=True)\n"
REPORTED = """
identifier = register("SHUTDOWN")
tell(statuses=[report("init", identifier, name)[0] for name in ("Extension.First", "Extension.Second")])
"""
NEXT_AFTER = """
identifier = register("SHUTDOWN")
report("init", identifier, "Extension.First")
status, _, body = try_next(identifier)
tell(status=status, error_type=body["errorType"])
"""


@pytest.mark.parametrize(
    ("script", "error_type", "reported", "facts"),
    [
        *(
            (f"{SAYS}{before}\n{end}", "Extension.Crash", None, [])
            for before in ("", 'register("SHUTDOWN")')
            for end in ("sys.exit(0)", "sys.exit(1)", "sys.exit(7)", "os.kill(os.getpid(), 9)")
        ),
        (f"{SAYS}{REPORTED}", "Extension.InitError", "Extension.First", [{"statuses": [202, 202]}]),
        (f"{SAYS}{NEXT_AFTER}", "Extension.InitError", "Extension.First", [INVALID_STATE]),
    ],
)
def test_an_exit_during_init_fails_it_whatever_the_code(
    extension: Write, script: str, error_type: str, reported: str | None, facts: list[dict[str, Any]]
) -> None:
    with Environment(extensions=[extension(script)]) as environment:
        with pytest.raises(InitError, match="last words") as raised:
            environment.init()
        assert (raised.value.error_type, raised.value.who) == (error_type, "ext")
        assert raised.value.reported == reported
        assert environment.timeline.first(Kind.INIT_FAILED).detail["error_type"] == error_type
        assert reports(environment) == facts


def test_init_error_is_accepted_and_takes_effect_when_the_process_exits(extension: Write) -> None:
    script = """
    identifier = register("SHUTDOWN")
    status, _, body = report("init", identifier, "Extension.NoSecrets")
    tell(status=status, body=body)
    wait_for("go")
    sys.exit(1)
    """
    with Environment(extensions=[extension(script)]) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.EXTENSION_INIT_ERROR)
        environment.timeline.wait(Kind.RUNTIME_NEXT)
        assert not future.done()
        (environment.tmp / "go").touch()
        with pytest.raises(InitError) as raised:
            future.result()
        assert raised.value.error_type == "Extension.InitError"
        assert raised.value.reported == "Extension.NoSecrets"
        assert reports(environment) == [{"status": 202, "body": {"status": "OK"}}]


def test_exit_error_names_the_exit_of_an_extension(extension: Write) -> None:
    script = """
    identifier = register("INVOKE", "SHUTDOWN")
    next_event(identifier)
    tell(status=report("exit", identifier, "Extension.LostConnection")[0])
    sys.exit(1)
    """
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        answer = environment.invoke()
        assert answer.error_type == "Extension.ExitError"
        event = environment.timeline.first(Kind.EXTENSION_EXIT_ERROR, "ext")
        assert event.detail["error_type"] == "Extension.LostConnection"
        assert reports(environment) == [{"status": 202}]


def test_what_cannot_be_executed_fails_init(extension: Write) -> None:
    no_run_bit, no_shebang = extension(BOTH, "no-run-bit"), extension(BOTH, "no-shebang")
    no_run_bit.chmod(0o644)
    no_shebang.write_text("echo not a program\n")
    many = [extension(BOTH, f"ext{number}") for number in range(11)]
    runtime = Function(Runtime(("/nowhere/node",), "AWS_Lambda_nodejs20.x"))
    wrapped = Function(env={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/absent"})
    attempts: list[tuple[dict[str, Any], str, str]] = [
        ({"extensions": [no_run_bit]}, "Extension.LaunchError", "EACCES"),
        ({"extensions": [no_shebang]}, "Extension.LaunchError", "ENOEXEC"),
        ({"extensions": many}, "Extension.TooManyExtensions", ""),
        ({"function": runtime}, "Runtime.InvalidEntrypoint", "ENOENT"),
        ({"function": wrapped}, "Runtime.InvalidEntrypoint", ""),
    ]
    for options, error_type, reason in attempts:
        with Environment(**options) as environment:
            with pytest.raises(InitError) as raised:
                environment.init()
            assert raised.value.error_type == error_type
            assert reason in str(raised.value)


def test_a_wrapper_gets_the_runtimes_command_line_and_becomes_the_runtime(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nprintf "%s\\n" "$$" "$@" >&2\nexport SEEN=yes\nexec "$@"\n')
    wrapper.chmod(0o755)
    function = Function(
        runtimes.python(),
        task_root=FUNCTIONS / "python" / "variables",
        env={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)},
    )
    with Environment(function=function, visible=[tmp_path]) as environment:
        environment.init()
        answer = environment.invoke({"key": "00", "names": ["SEEN", "ABSENT"]}).value
        assert isinstance(answer, dict)
        assert [value is None for value in answer.values()] == [False, True]
        started = environment.timeline.first(Kind.RUNTIME_STARTED)
        expected = [str(started.detail["pid"]), *function.runtime.command, function.handler]
        assert environment.log_text("runtime").splitlines() == expected


def test_dotfiles_and_links_in_the_folder_are_executed_and_folders_are_not(extension: Write) -> None:
    folder = extension(BOTH, ".hidden").parent
    (folder / "link").symlink_to(".hidden")
    (folder / "library").mkdir()
    with Environment(extensions=folder) as environment:
        environment.init()
        registered = {event.who for event in environment.timeline.all(Kind.EXTENSION_REGISTERED)}
        assert registered == {".hidden", "link"}


def test_a_failed_init_shuts_the_other_extensions_down(extension: Write) -> None:
    files = [extension(BOTH, "good"), extension("wait_for('go')", "bad")]
    with Environment(extensions=files) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.EXTENSION_NEXT, "good")
        (environment.tmp / "go").touch()
        with pytest.raises(InitError):
            future.result()
        assert [event["shutdownReason"] for event in reports(environment, "good")] == ["failure"]
        assert environment.timeline.first(Kind.EXTENSION_EXITED, "good").detail["code"] == 0


HANGS_ONCE = f"""
before = TMP / "before"
if not before.exists():
    before.touch()
    {{hang}}
    time.sleep(60)
{BOTH}
"""


@pytest.mark.parametrize("hang", ["pass", 'register("SHUTDOWN")'])
def test_an_init_that_takes_too_long_is_killed_and_repeated_in_the_first_invocation(
    extension: Write, hang: str
) -> None:
    files = [extension(HANGS_ONCE.format(hang=hang), "slow"), extension(BOTH, "good")]
    with Environment(extensions=files, init_timeout=0.5, timeout=10) as environment:
        with pytest.raises(InitError, match="waiting for slow") as raised:
            environment.init()
        assert raised.value.error_type == "Sandbox.Timedout"
        codes = [event.detail["code"] for event in environment.timeline.all(Kind.EXTENSION_EXITED)]
        assert codes == [-signal.SIGKILL] * 2, "nobody is asked to end"
        assert environment.invoke("hello").value == "hello"
        phases = [event.detail["phase"] for event in environment.timeline.all(Kind.INIT_START)]
        assert phases == ["init", "invoke"]


def test_a_new_environment_has_its_init_before_the_first_invocation(extension: Write) -> None:
    with Environment(extensions=[extension(BOTH)]) as environment:
        assert environment.invoke("hello").value == "hello"
        assert environment.timeline.first(Kind.INIT_END).detail["phase"] == "init"


def test_an_init_that_fails_twice_is_the_answer_of_the_invocation(extension: Write) -> None:
    with Environment(extensions=[extension("print('no way')\nsys.exit(3)")]) as environment:
        answer = environment.invoke()
        assert answer.error_type == "Extension.Crash"
        assert json.loads(answer.payload)["errorMessage"].endswith("Error: exit status 3")
        with pytest.raises(InvocationError, match="no way"):
            _ = answer.value
        phases = [event.detail["phase"] for event in environment.timeline.all(Kind.INIT_FAILED)]
        assert phases == ["init", "invoke"]


def test_an_init_in_an_invocation_must_end_inside_the_functions_timeout(extension: Write) -> None:
    with Environment(extensions=[extension("time.sleep(60)")], init_timeout=0.3, timeout=0.3) as environment:
        answer = environment.invoke()
        assert answer.error_type == "Sandbox.Timedout"
        assert answer.error_message is not None
        assert answer.error_message.endswith("Task timed out after 0.30 seconds")


# --- Environment variables and processes ---


def test_an_extension_gets_the_functions_variables_but_not_the_runtimes(
    extension: Write, runtime: Callable[[str], Function], tmp_path: Path
) -> None:
    function = runtime("""
    tell(**os.environ)
    call("GET", "/2018-06-01/runtime/invocation/next")
    """)
    own = {
        "TABLE": "orders=1 'quoted'\n$HOME",
        "_PRIVATE": "x",
        "AWS_XRAY_SDK_ENABLED": "x",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "PYTHONPATH": "/opt/python",
    }
    function = Function(function.runtime, tmp_path, "app.handler", own, "orders", "3")
    canary = os.urandom(16).hex()
    credentials = Credentials("ASIATEST", f"secret-{canary}", f"token-{canary}")
    with Environment(
        extensions=[extension(f"tell(**os.environ)\n{BOTH}")],
        function=function,
        memory_mb=256,
        credentials=credentials,
        region="eu-north-1",
    ) as environment:
        environment.init()
        environment.shutdown()
        for_extension = {
            "AWS_ACCESS_KEY_ID": "ASIATEST",
            "AWS_SECRET_ACCESS_KEY": f"secret-{canary}",
            "AWS_SESSION_TOKEN": f"token-{canary}",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "3",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
            "AWS_LAMBDA_RUNTIME_API": environment.variables("ext")["AWS_LAMBDA_RUNTIME_API"],
            "AWS_REGION": "eu-north-1",
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "PYTHONPATH": "/opt/python",
            "TABLE": "orders=1 'quoted'\n$HOME",
            "TZ": ":UTC",
        }
        only_function = {
            "_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
            "_AWS_XRAY_DAEMON_PORT": "2000",
            "_HANDLER": "app.handler",
            "_PRIVATE": "x",
            "AWS_EXECUTION_ENV": "AWS_Lambda_simulated",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
            "AWS_LAMBDA_LOG_STREAM_NAME": "simulated/[3]",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
            "AWS_XRAY_SDK_ENABLED": "x",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LAMBDA_TASK_ROOT": "/var/task" if environment.isolated else str(tmp_path),
        }
        if not environment.isolated:
            for_extension["TMPDIR"] = str(environment.tmp)
            for_extension["KEYSTART_DIR"] = str(environment.tmp / "keystart")
        seen_by_extension, seen_by_function = reports(environment)[0], reports(environment, "runtime")[0]
        assert without_locale(seen_by_extension) == for_extension
        assert without_locale(seen_by_function) == {**for_extension, **only_function}
        shown = f"{credentials!r} {environment.timeline} {environment.timeline.to_json()}"
        assert canary not in shown


def without_locale(variables: dict[str, str]) -> dict[str, str]:
    """Python sets LC_CTYPE for itself if the locale in LANG does not exist (PEP 538)."""
    return {name: value for name, value in variables.items() if name != "LC_CTYPE"}


def test_under_snapstart_credentials_come_from_an_endpoint(extension: Write) -> None:
    canary = os.urandom(16).hex()
    script = f"tell(**{{name: text for name, text in os.environ.items() if name.startswith('AWS_')}})\n{BOTH}"
    with Environment(
        extensions=[extension(script)],
        initialization_type="snap-start",
        credentials=Credentials("ASIATEST", canary, "token"),
    ) as environment:
        environment.init()
        environment.shutdown()
        seen = reports(environment)[0]
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & set(seen)
        assert canary not in json.dumps(seen)
        uri, token = seen["AWS_CONTAINER_CREDENTIALS_FULL_URI"], seen["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        got = json.load(get(uri, token))
        assert (got["AccessKeyId"], got["SecretAccessKey"], got["Token"]) == ("ASIATEST", canary, "token")
        assert got["Expiration"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with pytest.raises(urllib.error.HTTPError) as refused, get(uri, "wrong"):
            pass
        refused.value.close()
        assert refused.value.code == 404


def get(uri: str, token: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(uri, headers={"Authorization": token}))  # noqa: S310 -- loopback


def test_the_end_reaches_what_an_extension_has_started(extension: Write) -> None:
    script = f"import subprocess\ntell(child=subprocess.Popen(['sleep', '60']).pid)\n{BOTH}"
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        child = os.pidfd_open(reports(environment)[0]["child"])
        environment.shutdown()
        assert environment.timeline.first(Kind.EXTENSION_EXITED).detail["code"] == 0
        assert ends(child)


def test_everything_dies_with_the_simulator(extension: Write, tmp_path: Path) -> None:
    read, write = os.pipe()
    script = f"os.write(os.open('/proc/{os.getpid()}/fd/{write}', os.O_WRONLY), b'%d' % os.getpid())\n{BOTH}"
    command = [
        sys.executable,
        "-m",
        "tests.e2e.lambda_simulator",
        "--timeout",
        "60",
        "--extension",
        str(extension(script)),
    ]
    stuck = tmp_path / "stuck.py"
    stuck.write_text("def handler(event, context):\n    while True:\n        pass\n")
    command += ["--runtime", "python", "--task-root", str(tmp_path), "--handler", "stuck.handler"]
    variables = {**os.environ, "TMPDIR": str(tmp_path)}  # it is killed and leaves its folder behind
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL) as simulator:
        watch = os.pidfd_open(int(os.read(read, 20)))
        simulator.kill()
    os.close(read)
    os.close(write)
    assert ends(watch)


def ends(pidfd: int) -> bool:
    """Waits for the end of a process that is not ours, and closes the descriptor."""
    ready, _, _ = select.select([pidfd], [], [], 10)
    os.close(pidfd)
    return bool(ready)


# --- Files ---


def test_tmp_outlives_every_init_of_an_environment_and_ends_with_it(extension: Write) -> None:
    script = f"""
    with open(TMP / "starts", "a") as file:
        file.write("x")
    {BOTH}
    """
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        environment.reset()
        environment.kill()
        environment.init()
        assert (environment.tmp / "starts").read_text() == "xxx"
        tmp = environment.tmp
    assert not tmp.exists()


@pytest.mark.usefixtures("isolated")
def test_a_sandbox_sees_its_own_tmp_and_the_fixed_folders(extension: Write, tmp_path: Path) -> None:
    (tmp_path / "keystart.yaml").write_text("version: 1\n")
    (tmp_path / "extensions" / "data").mkdir(parents=True)
    script = f"""
    tell(
        tmp=os.listdir("/tmp"), task=sorted(os.listdir("/var/task")), opt=sorted(os.listdir("/opt/extensions")),
        path=sys.argv[0], etc=os.path.exists("/etc/passwd"), log=os.path.exists("/var/log"),
    )
    Path("/tmp/mine").touch()
    {BOTH}
    """
    function = Function(task_root=tmp_path)
    host = {path: path.exists() for path in (Path("/opt/extensions"), Path("/var/task"))}
    with (
        Environment(extensions=extension(script).parent, function=function) as one,
        Environment(extensions=tmp_path / "extensions", function=function) as two,
    ):
        for environment in (one, two):
            environment.init()
            environment.shutdown()
            assert (environment.tmp / "mine").exists()
            seen = reports(environment)[0]
            assert "mine" not in seen["tmp"]
            assert tmp_path.parts[2] not in seen["tmp"], "the host's /tmp is hidden"
            assert seen["task"] == ["extensions", "keystart.yaml"]
            assert seen["opt"] == ["data", "ext"]
            assert seen["path"] == "/opt/extensions/ext"
            assert seen["etc"]
            assert seen["log"], "what else is in /var stays visible"
    assert {path: path.exists() for path in host} == host, "the host has no new folders"


@pytest.mark.usefixtures("isolated")
def test_listed_extensions_are_all_there_is_in_opt(extension: Write, tmp_path: Path) -> None:
    script = f"tell(opt=sorted(os.listdir('/opt/extensions')))\n{BOTH}"
    other = write_extension(tmp_path / "elsewhere" / "other", BOTH)
    extension(BOTH, "not-listed")
    with Environment(extensions=[extension(script), other]) as environment:
        environment.init()
        environment.shutdown()
        assert reports(environment)[0] == {"opt": ["ext", "other"]}


def test_a_host_folder_in_tmp_can_be_kept_visible(extension: Write, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    (wanted / "file").write_text("text")
    script = f"tell(text=Path({str(wanted / 'file')!r}).read_text())\n{BOTH}"
    with Environment(extensions=[extension(script)], visible=[wanted]) as environment:
        environment.init()
        environment.shutdown()
        assert reports(environment)[0] == {"text": "text"}


def test_without_a_namespace_variables_point_into_the_environments_own_folder(extension: Write) -> None:
    script = f"""
    tell(tmp=os.environ["TMPDIR"], keystart=os.environ["KEYSTART_DIR"])
    Path(os.environ["KEYSTART_DIR"]).mkdir()
    {BOTH}
    """
    function = Function(runtimes.python(), FUNCTIONS / "python" / "echo")
    with Environment(extensions=[extension(script)], function=function, isolate=False) as environment:
        assert not environment.isolated
        assert environment.why_not_isolated
        environment.init()
        assert (environment.tmp / "keystart").is_dir()
        answer = environment.invoke({})
        assert isinstance(answer.value, dict)
        assert answer.value["folder"] == str(FUNCTIONS / "python" / "echo")
        environment.shutdown()
        tmp = environment.tmp
        assert reports(environment)[0] == {"tmp": str(tmp), "keystart": str(tmp / "keystart")}


IN_CHROOT = """
set -e
for path in /*; do
    if [ -L "$path" ]; then cp -P "$path" "$ROOT$path"
    elif [ -d "$path" ]; then mkdir "$ROOT$path"; mount --rbind "$path" "$ROOT$path"
    fi
done
touch "$ROOT/inside"
mount --make-rshared /  # as systemd leaves it: what is mounted below is mounted for everybody
cat /proc/self/mountinfo >"$BEFORE"
chroot "$ROOT" "$@"
cmp "$BEFORE" /proc/self/mountinfo
"""


def root_is_a_mount_point() -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == "/" for line in mounts)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a chroot")
@pytest.mark.skipif(not root_is_a_mount_point(), reason="this is a chroot: every other test runs in it")
@pytest.mark.usefixtures("isolated")
def test_in_a_chroot_the_folders_are_private_too_and_nothing_is_mounted_outside(
    extension: Write, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    code = (
        "import sys\n"
        "from tests.e2e.lambda_simulator import Environment\n"
        "with Environment(extensions=[sys.argv[1]]) as environment:\n"
        "    environment.init()\n"
        "    print(environment.isolated, environment.why_not_isolated)\n"
        "    print(environment.log_text('ext'))\n"
    )
    script = f"print(sys.argv[0], os.listdir('/tmp'), os.path.exists('/inside'), flush=True)\n{BOTH}"
    program = ["env", "-C", str(ROOT), sys.executable, "-c", code, str(extension(script))]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", IN_CHROOT, "sh", *program],
        env={**os.environ, "ROOT": str(tmp_path / "root"), "BEFORE": str(tmp_path / "before")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    isolated, seen = done.stdout.splitlines()
    assert isolated == "True None"
    assert seen.startswith("/opt/extensions/ext [")
    assert tmp_path.parts[2] not in seen, "the /tmp of the chroot is hidden"
    assert seen.endswith("] True"), "it is still in the chroot"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user who may not unshare")
def test_a_machine_that_allows_no_namespace_says_why() -> None:
    code = (
        "from tests.e2e.lambda_simulator import Environment\n"
        "with Environment() as environment:\n"
        "    print(environment.isolated, environment.why_not_isolated)\n"
    )
    without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    done = subprocess.run(
        [*without, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False unshare: Operation not permitted\n"


def test_what_lambda_would_not_accept_is_refused_at_once(extension: Write, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4097 bytes"):
        Environment(function=Function(env={"A": "x" * 4096}))
    with pytest.raises(ValueError, match="base name 'ext'"):
        Environment(extensions=[extension(BOTH), tmp_path / "ext"])
    with pytest.raises(FileNotFoundError, match="no such extension"):
        Environment(extensions=[tmp_path / "missing"])
    with pytest.raises(ValueError, match="do not freeze"):
        Environment(initialization_type=MANAGED, freezes=True)
    with pytest.raises(ValueError, match="several invocations"):
        Environment(concurrency=2)


# --- Invocations ---


def test_an_invoke_event_describes_the_invocation(extension: Write) -> None:
    with Environment(
        extensions=[extension(BOTH)], function=Function(name="orders"), timeout=5
    ) as environment:
        environment.init()
        before = time.time() * 1000
        answer = environment.invoke()
        after = time.time() * 1000
        environment.shutdown()
        event = reports(environment)[0]
        deadline, trace = event.pop("deadlineMs"), event["tracing"].pop("value")
        assert before + 4999 <= deadline <= after + 5001
        assert trace.startswith("Root=1-")
        assert event == {
            "eventType": "INVOKE",
            "requestId": answer.request_id,
            "invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
            "tracing": {"type": "X-Amzn-Trace-Id"},
        }


def test_an_extension_without_invoke_gets_no_invocation_and_is_not_waited_for(extension: Write) -> None:
    with Environment(extensions=[extension(SHUTDOWN_ONLY)]) as environment:
        environment.init()
        for number in range(3):
            assert environment.invoke(number).value == number
        environment.shutdown()
        assert [event["eventType"] for event in reports(environment)] == ["SHUTDOWN"]


def test_an_invocation_ends_with_the_extensions_next(extension: Write) -> None:
    script = """
    identifier = register("INVOKE", "SHUTDOWN")
    next_event(identifier)
    wait_for("go")
    serve(identifier)
    """
    with Environment(extensions=[extension(script)]) as environment, ThreadPoolExecutor() as pool:
        environment.init()
        future = pool.submit(environment.invoke, "hello")
        environment.timeline.wait(Kind.RUNTIME_RESPONSE)
        environment.timeline.wait(Kind.RUNTIME_NEXT, times=2)
        assert not future.done()
        (environment.tmp / "go").touch()
        assert future.result().value == "hello"
        ended = environment.timeline.first(Kind.INVOKE_END).at_ns
        assert environment.timeline.last(Kind.EXTENSION_NEXT).at_ns < ended


def test_an_invocation_that_takes_too_long_stops_everything_and_the_next_begins_anew(
    extension: Write, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'done'\n"
    )
    function = Function(runtimes.python(), tmp_path)
    with Environment(extensions=[extension(BOTH)], function=function, timeout=1) as environment:
        environment.init()
        answer = environment.invoke(60)
        assert answer.error_type == "Sandbox.Timedout"
        assert json.loads(answer.payload)["errorMessage"].endswith("Task timed out after 1.00 seconds")
        assert environment.timeline.first(Kind.SHUTDOWN_START).detail["reason"] == "timeout"
        assert reports(environment)[-1]["shutdownReason"] == "timeout"
        assert environment.invoke(0).value == "done"
        assert environment.timeline.last(Kind.INIT_END).detail["phase"] == "invoke"


def test_an_extension_that_ends_between_invocations_fails_the_next_one(extension: Write) -> None:
    with Environment(extensions=[extension(BOTH)]) as environment:
        environment.init()
        environment.process("ext").signal(signal.SIGTERM)
        environment.timeline.wait(Kind.EXTENSION_EXITED)
        answer = environment.invoke()
        assert answer.error_type == "Extension.Crash"
        assert answer.error_message is not None
        assert answer.error_message.endswith("Error: signal 15")
        assert environment.invoke("again").value == "again"


def test_an_extension_that_ends_during_an_invocation_fails_it(extension: Write) -> None:
    script = 'next_event(register("INVOKE"))\nsys.exit(0)'
    with Environment(extensions=[extension(script), extension(BOTH, "other")]) as environment:
        environment.init()
        assert environment.invoke().error_type == "Extension.Crash"
        assert reports(environment, "other")[-1]["shutdownReason"] == "failure"


def test_a_second_next_while_one_waits_is_refused(extension: Write) -> None:
    script = """
    identifier = register("SHUTDOWN")
    if os.fork() == 0:
        api.close()
        tell(status=try_next(identifier)[0])
        os._exit(0)
    tell(status=try_next(identifier)[0])
    os.wait()  # either of the two may be the one that is refused
    """
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        environment.timeline.wait(Kind.EXTENSION_REFUSED)
        environment.shutdown()
        assert sorted(fact["status"] for fact in reports(environment)) == [200, 403]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_function_runs_in_its_languages_runtime(extension: Write, runtime: str) -> None:
    function = Function(runtimes.BY_NAME[runtime](), FUNCTIONS / RUNTIMES[runtime] / "echo")
    with Environment(extensions=[extension(BOTH)], function=function, timeout=10) as environment:
        environment.init()
        event = {"text": "ä 🔑 \u0000", "list": [1, None]}
        answer = environment.invoke(event)
        assert isinstance(answer.value, dict)
        assert answer.value["event"] == event
        assert answer.value["request_id"] == answer.request_id
        assert 0 < answer.value["remaining_ms"] <= 10_001
        assert answer.value["folder"] == ("/var/task" if environment.isolated else str(function.task_root))
        failed = environment.invoke({"fail": "on purpose"})
        assert failed.error_message == "on purpose"
        assert environment.invoke({}).error_type is None, "an error of the function ends nothing"
        ended = environment.invoke({"exit": 3})
        assert ended.error_type == "Runtime.ExitError"
        assert environment.invoke({}).error_type is None
        assert len(environment.timeline.all(Kind.INIT_END)) == 2


def test_a_snapshot_is_restored_before_the_first_invocation(extension: Write, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from snapshot_restore_py import register_after_restore\n"
        "restored = []\n"
        "register_after_restore(restored.append, 'yes')\n"
        "def handler(event, context):\n    return restored\n"
    )
    with Environment(
        extensions=[extension(BOTH)],
        function=Function(runtimes.python(), tmp_path),
        initialization_type="snap-start",
    ) as environment:
        environment.init()
        assert not environment.timeline.all(Kind.RUNTIME_NEXT), (
            "Init ends where the runtime waits for the restore"
        )
        assert environment.invoke().value == ["yes"]
        assert environment.invoke().value == ["yes"]
        assert len(environment.timeline.all(Kind.RESTORE_END)) == 1


@pytest.mark.parametrize("what", ["response", "error"])
def test_an_answer_to_another_invocation_is_refused(runtime: Callable[[str], Function], what: str) -> None:
    function = runtime(f"""
    root = "/2018-06-01/runtime/invocation"
    _, headers, event = call("GET", f"{{root}}/next")
    own = headers["Lambda-Runtime-Aws-Request-Id"]
    tell(
        other=call("POST", f"{{root}}/other/{what}", "1")[0],
        own=call("POST", f"{{root}}/{{own}}/response", "2")[0],
        again=call("POST", f"{{root}}/{{own}}/{what}", "3")[0],
        init_error=call("POST", "/2018-06-01/runtime/init/error", "{{}}")[0],
    )
    call("GET", f"{{root}}/next")
    """)
    with Environment(function=function) as environment:
        environment.init()
        assert environment.invoke().value == 2
        environment.shutdown()
        assert reports(environment, "runtime") == [
            {"other": 400, "own": 202, "again": 400, "init_error": 403}
        ]


# --- Shutdown ---


@pytest.mark.parametrize("reason", ["spindown", "timeout", "failure"])
def test_the_runtime_ends_first_and_then_the_extensions_learn_why(extension: Write, reason: str) -> None:
    with Environment(extensions=[extension(BOTH)]) as environment:
        environment.init()
        before = time.time() * 1000
        environment.shutdown(reason)
        event = reports(environment)[0]
        assert before + 1999 <= event.pop("deadlineMs") <= time.time() * 1000 + 2001
        assert event == {"eventType": "SHUTDOWN", "shutdownReason": reason}
        kinds = (Kind.SIGNAL_SENT, Kind.RUNTIME_EXITED, Kind.EXTENSION_EVENT, Kind.EXTENSION_EXITED)
        assert order(environment, *kinds) == [
            (Kind.SIGNAL_SENT, "runtime"),
            (Kind.RUNTIME_EXITED, "runtime"),
            (Kind.EXTENSION_EVENT, "ext"),
            (Kind.EXTENSION_EXITED, "ext"),
        ]
        assert environment.timeline.first(Kind.SIGNAL_SENT).detail["signal"] == "SIGTERM"
        assert environment.timeline.first(Kind.EXTENSION_EXITED).detail["code"] == 0


def test_a_runtime_that_does_not_end_is_killed_after_its_share_of_the_time(
    extension: Write, runtime: Callable[[str], Function]
) -> None:
    function = runtime("""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    call("GET", "/2018-06-01/runtime/invocation/next")
    """)
    with Environment(extensions=[extension(BOTH)], function=function) as environment:
        environment.init()
        environment.shutdown()
        asked, killed = environment.timeline.all(Kind.SIGNAL_SENT, "runtime")
        assert (asked.detail["signal"], killed.detail["signal"]) == ("SIGTERM", "SIGKILL")
        assert killed.at_ns - asked.at_ns >= 0.59e9, "30 % of two seconds"
        assert killed.at_ns < environment.timeline.first(Kind.EXTENSION_EVENT).at_ns


def test_an_extension_that_does_not_end_is_killed_after_two_seconds(extension: Write) -> None:
    stubborn = 'identifier = register("SHUTDOWN")\nnext_event(identifier)\ntime.sleep(60)'
    with Environment(extensions=[extension(stubborn), extension(BOTH, "good")]) as environment:
        environment.init()
        environment.shutdown()
        start = environment.timeline.first(Kind.SHUTDOWN_START).at_ns
        killed = environment.timeline.first(Kind.SIGNAL_SENT, "ext")
        assert killed.detail["signal"] == "SIGKILL"
        assert killed.at_ns - start >= 1.99e9
        assert environment.timeline.first(Kind.EXTENSION_EXITED, "good").at_ns < killed.at_ns
        assert environment.timeline.first(Kind.EXTENSION_EXITED, "ext").detail["code"] == -signal.SIGKILL


def test_an_extension_that_did_not_subscribe_is_killed_at_once(extension: Write) -> None:
    slow = 'identifier = register("SHUTDOWN")\nnext_event(identifier)\nwait_for("go")'
    with (
        Environment(
            extensions=[extension('serve(register("INVOKE"))'), extension(slow, "slow")]
        ) as environment,
        ThreadPoolExecutor() as pool,
    ):
        environment.init()
        future = pool.submit(environment.shutdown)
        exited = environment.timeline.wait(Kind.EXTENSION_EXITED, "ext")
        assert exited.detail["code"] == -signal.SIGKILL
        assert not environment.timeline.all(Kind.EXTENSION_EXITED, "slow"), "the others have their time"
        (environment.tmp / "go").touch()
        future.result()
        assert not environment.timeline.all(Kind.EXTENSION_EVENT, "ext")


def test_without_extensions_the_runtime_is_killed_at_once() -> None:
    with Environment() as environment:
        environment.init()
        environment.shutdown()
        assert [event.detail["signal"] for event in environment.timeline.all(Kind.SIGNAL_SENT)] == ["SIGKILL"]


def test_a_kill_ends_an_init_that_another_thread_waits_for(extension: Write) -> None:
    with Environment(extensions=[extension("time.sleep(60)")]) as environment:
        future = environment.init_in_background()
        environment.timeline.wait(Kind.EXTENSION_STARTED)
        environment.kill()
        with pytest.raises(InitError):
            future.result()
        assert environment.timeline.first(Kind.EXTENSION_EXITED).detail["code"] == -signal.SIGKILL


def test_the_end_of_the_block_kills_what_runs(extension: Write) -> None:
    with Environment(extensions=[extension(BOTH)]) as environment:
        environment.init()
        pids = [environment.process(who).pid for who in ("ext", "runtime")]
    assert all(gone(pid) for pid in pids)
    with pytest.raises(SimulatorError, match="closed"):
        environment.init()
    with pytest.raises(SimulatorError, match="closed"):
        environment.invoke()


def test_init_is_refused_while_the_environment_is_initialized() -> None:
    with Environment() as environment:
        environment.init()
        with pytest.raises(SimulatorError, match="reset"):
            environment.init()


# --- Faults ---


def test_an_unknown_event_can_be_delivered(extension: Write) -> None:
    fault = Fault("next", Deliver({"eventType": "DEFROST", "deadlineMs": 1}))
    with Environment(extensions=[extension(BOTH)], faults=[fault]) as environment:
        environment.init()
        assert environment.invoke("hello").value == "hello"
        environment.shutdown()
        assert [event["eventType"] for event in reports(environment)] == ["DEFROST", "INVOKE", "SHUTDOWN"]


@pytest.mark.parametrize(
    ("on", "attempt"), [("register", 'try_register("SHUTDOWN")'), ("next", "try_next(identifier)")]
)
@pytest.mark.parametrize("status", [403, 500])
def test_the_api_can_answer_an_error(extension: Write, on: Any, attempt: str, status: int) -> None:
    script = f"""
    identifier = register("SHUTDOWN") if {on == "next"} else ""
    tell(statuses=[{attempt}[0] for _ in range(2)])
    serve(identifier or register("SHUTDOWN"))
    """
    with Environment(
        extensions=[extension(script)], faults=[Fault(on, Respond(status, b"{}"), "ext", times=2)]
    ) as environment:
        environment.init()
        environment.shutdown()
        assert reports(environment)[0] == {"statuses": [status, status]}
        assert len(environment.timeline.all(Kind.FAULT, "ext")) == 2


def test_a_fault_spares_other_extensions(extension: Write) -> None:
    script = """
    identifier = register("INVOKE", "SHUTDOWN")
    while True:
        status, _, event = try_next(identifier)
        tell(status=status)
        if status == 200 and event["eventType"] == "SHUTDOWN":
            break
    """
    with Environment(extensions=[extension(script, "one"), extension(script, "two")]) as environment:
        environment.faults.add(Fault("next", Respond(500), "one"))
        environment.init()
        environment.invoke()
        environment.shutdown()
        assert [fact["status"] for fact in reports(environment, "one")] == [500, 200, 200]
        assert [fact["status"] for fact in reports(environment, "two")] == [200, 200]


def test_an_event_can_only_be_delivered_on_next() -> None:
    with pytest.raises(ValueError, match="'register'"):
        Fault("register", Deliver({}))


# --- What is recorded ---


def test_the_log_has_every_line_with_its_time_and_source(extension: Write) -> None:
    script = f"print('to stdout', flush=True)\nprint('to stderr \\udcff', file=sys.stderr)\n{SHUTDOWN_ONLY}"
    with Environment(extensions=[extension(script)]) as environment:
        environment.init()
        environment.shutdown()
        lines = {(line.who, line.stream, line.text) for line in environment.log}
        assert ("ext", "stdout", "to stdout") in lines
        assert ("ext", "stderr", "to stderr \\udcff") in lines
        start = environment.timeline.first(Kind.EXTENSION_STARTED).at_ns
        assert all(start < line.at_ns for line in environment.log)
        assert "to stdout" in environment.log_text("ext")
        assert environment.log_text("runtime") == ""


def test_an_answer_has_the_lines_of_its_invocation(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n    print('got', event)\n    raise KeyError(event)\n"
    )
    with Environment(function=Function(runtimes.python(), tmp_path)) as environment:
        environment.init()
        environment.invoke("apple")
        answer = environment.invoke("pear")
        said = [line.text for line in answer.log]
        assert "got pear" in said
        assert "got apple" not in said
        assert answer.error_type == "KeyError"
        assert "pear" not in repr(answer), "what a function answers may be secret"
        with pytest.raises(InvocationError, match=r"KeyError: 'pear'\n(.|\n)*got pear"):
            _ = answer.value


def test_a_timeline_is_asked_by_kind_and_source() -> None:
    timeline = Timeline()
    timeline.add(Kind.EXTENSION_NEXT, "b", at_ns=30)
    timeline.add(Kind.EXTENSION_NEXT, "a", at_ns=20)
    timeline.add(Kind.EXTENSION_REGISTERED, "a", at_ns=10, events=["SHUTDOWN"])
    assert [event.label for event in timeline] == ["a registered", "a next", "b next"]
    assert timeline.first(Kind.EXTENSION_NEXT).who == "a"
    assert timeline.last(Kind.EXTENSION_NEXT).who == "b"
    assert [event.at_ns for event in timeline.all(Kind.EXTENSION_NEXT, "b")] == [30]
    assert timeline.wait(Kind.EXTENSION_NEXT, times=2).who == "b"
    with pytest.raises(NotSeenError, match=r"no 'invoke end' in this timeline:(.|\n)*a registered"):
        timeline.first(Kind.INVOKE_END)
    with pytest.raises(NotSeenError, match="'extension next' of 'c'"):
        timeline.wait(Kind.EXTENSION_NEXT, "c", timeout=0)


def test_a_wall_clock_time_has_its_place_on_the_timeline() -> None:
    timeline = Timeline()
    event = timeline.add(Kind.INVOKE_START)
    wall = time.time()
    later = timeline.add(Kind.INVOKE_END)
    assert event.at_ns - 5_000_000 <= timeline.at_wall_time(wall) <= later.at_ns + 5_000_000


def test_a_picture_shows_phases_processes_and_marks() -> None:
    timeline = Timeline()
    begin = timeline.origin_ns
    for at, kind, who in [
        (0, Kind.INIT_START, ""),
        (0, Kind.EXTENSION_STARTED, "keystart"),
        (20, Kind.EXTENSION_REGISTERED, "keystart"),
        (20, Kind.RUNTIME_STARTED, "runtime"),
        (50, Kind.EXTENSION_NEXT, "keystart"),
        (60, Kind.RUNTIME_NEXT, "runtime"),
        (60, Kind.INIT_END, ""),
        (60, Kind.INVOKE_START, ""),
        (60, Kind.RUNTIME_EVENT, "runtime"),
        (80, Kind.RUNTIME_NEXT, "runtime"),
        (80, Kind.INVOKE_END, ""),
    ]:
        timeline.add(kind, who, begin + at * 1_000_000)
    timeline.add(Kind.EXTENSION_EXITED, "keystart", begin + 100_000_000, code=0)
    timeline.add(Kind.RUNTIME_EXITED, "runtime", begin + 90_000_000, code=1)
    marks = {"first read": begin + 40_000_000, "published": begin + 30_000_000}
    assert render(timeline, marks, width=21).splitlines() == [
        "           0.0 ms       100.0 ms",
        "init       ├───────────┤          60.0 ms",
        "invoke                 ├───┤      20.0 ms",
        "keystart   ░░░░▒▒▒▒▒▒··········╴  registered 20.0, next 50.0",
        "runtime        ░░░░░░░░████··×    started 20.0, next 60.0",
        "published        ▲                30.0 ms",
        "first read         ▲              40.0 ms",
        "           ░ starting  ▒ registered  █ handling an event  · waiting for the next",
    ]
    assert "\x1b[" not in render(timeline, marks)
    assert "\x1b[36mkeystart" in render(timeline, marks, colour=True)
    assert render(Timeline()) == "(nothing has happened)"


# --- Freezes and clocks ---


COUNTING = """
identifier = register("INVOKE", "SHUTDOWN")
if os.fork() == 0:
    api.close()
    number = 0
    while True:
        (TMP / "count.new").write_text(str(number := number + 1))
        (TMP / "count.new").replace(TMP / "count")
        time.sleep(0.001)
wait_for("count")
while (event := next_event(identifier))["eventType"] == "INVOKE":
    before = (TMP / "count").read_text()
    while (TMP / "count").read_text() == before:
        time.sleep(0.001)
tell(**event)
"""


def test_everything_stands_still_between_invocations(extension: Write) -> None:
    with Environment(extensions=[extension(COUNTING)], freezes=True) as environment:

        def count() -> str:
            return (environment.tmp / "count").read_text()

        environment.init()
        for number in range(3):
            frozen = count()
            time.sleep(0.05)
            assert count() == frozen, "also what an extension has started"
            assert environment.invoke(number).value == number
            assert count() != frozen
        environment.shutdown()
        assert reports(environment)[-1]["eventType"] == "SHUTDOWN"
        kinds = [event.kind for event in environment.timeline if event.kind in (Kind.FROZEN, Kind.THAWED)]
        assert kinds == [Kind.FROZEN, Kind.THAWED] * 4


CLOCKS = """
identifier = register("INVOKE", "SHUTDOWN")
while (event := next_event(identifier))["eventType"] != "SHUTDOWN":
    tell(wall=time.time(), monotonic=time.monotonic(), left=event["deadlineMs"] / 1000 - time.time())
"""


def test_a_clock_that_a_test_moves_takes_the_processes_and_their_deadlines_along(extension: Write) -> None:
    clock = Clock()
    with Environment(extensions=[extension(CLOCKS)], timeout=10, freezes=True, clock=clock) as environment:
        environment.init()
        for hours in (0, 5, -24):
            clock.pass_by(hours * 3600)
            environment.invoke()
        first, later, back = reports(environment)
        assert abs(later["wall"] - first["wall"] - 5 * 3600) < 60
        assert abs(back["wall"] - later["wall"] + 24 * 3600) < 60
        assert abs(back["wall"] - clock.now()) < 60
        assert 0 < back["monotonic"] - first["monotonic"] < 60
        assert all(0 < facts["left"] <= 10.001 for facts in (first, later, back))


def test_a_snapshot_stands_still_and_is_restored_in_its_own_time(extension: Write, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time\n"
        "from snapshot_restore_py import register_after_restore\n"
        "register_after_restore(time.sleep, 1.5)\n"
        "def handler(event, context):\n    return 'done'\n"
    )
    with Environment(
        extensions=[extension(COUNTING)],
        function=Function(runtimes.python(), tmp_path),
        initialization_type="snap-start",
        timeout=1,
        freezes=True,
    ) as environment:
        environment.init()
        snapshot = (environment.tmp / "count").read_text()
        time.sleep(0.05)
        assert (environment.tmp / "count").read_text() == snapshot
        assert environment.invoke().value == "done"


def test_managed_instances_fork_as_many_processes_as_they_run_invocations(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, time\ndef handler(event, context):\n    time.sleep(0.5)\n    return os.getpid()\n"
    )
    function = Function(runtimes.python(), tmp_path)
    with (
        Environment(function=function, initialization_type=MANAGED, concurrency=3, timeout=10) as environment,
        ThreadPoolExecutor() as pool,
    ):
        environment.init()
        answers = list(pool.map(environment.invoke, range(12)))
        assert len({answer.value for answer in answers}) == 3


def test_a_function_with_tenant_isolation_learns_the_tenant_with_its_event(
    runtime: Callable[[str], Function],
) -> None:
    function = runtime("""
    while True:
        _, headers, _ = call("GET", "/2018-06-01/runtime/invocation/next")
        identifier, tenant = headers["Lambda-Runtime-Aws-Request-Id"], headers["Lambda-Runtime-Aws-Tenant-Id"]
        call("POST", f"/2018-06-01/runtime/invocation/{identifier}/response", json.dumps(tenant))
    """)
    with Environment(function=function) as environment:
        assert environment.invoke(tenant="blue").value == "blue"
        assert environment.invoke().value is None


# --- By hand ---


def test_the_example_in_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "tests/e2e/README.md").read_text()
    example = readme.partition("```python\n")[2].partition("```")[0]
    write_extension(tmp_path / "my-extension", BOTH)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 -- it is our own
    assert "a moment of yours" in capsys.readouterr().out


def by_hand(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.e2e.lambda_simulator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", [[], ["--no-namespace"]])
def test_the_command_runs_an_extension_with_a_function(
    extension: Write, tmp_path: Path, how: list[str]
) -> None:
    done = by_hand(
        *how,
        *(
            "--extension",
            str(extension(BOTH)),
            "--runtime",
            "python",
            "--event",
            '{"a": 1}',
            "--events",
            "--tree",
        ),
        *("--task-root", str(FUNCTIONS / "python" / "echo"), "--timeline", str(tmp_path / "timeline.json")),
    )
    assert done.returncode == 0, done.stderr
    assert '"event": {"a": 1}' in done.stdout
    assert not how or "no private /tmp: isolate=False was asked for" in done.stdout
    assert "ext registered" in done.stdout
    assert re.search(r"^shutdown +├", done.stdout, re.MULTILINE)
    assert json.loads((tmp_path / "timeline.json").read_text())["events"]


@pytest.mark.parametrize("how", [[], ["--no-namespace"]])
def test_the_command_runs_a_layer_with_its_extension_and_its_packages(
    extension: Write, tmp_path: Path, how: list[str]
) -> None:
    layer, function = tmp_path / "layer.zip", tmp_path / "function"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.write(extension(BOTH, "of-a-layer"), "extensions/of-a-layer")
        archive.writestr("python/shared.py", "WORD = 'from the layer'")
    function.mkdir()
    (function / "app.py").write_text("import shared\ndef handler(event, context): return shared.WORD\n")
    done = by_hand(*how, "--layer", str(layer), "--runtime", "python", "--task-root", str(function))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"from the layer"' in done.stdout
    assert re.search(r"^of-a-layer .* registered ", done.stdout, re.MULTILINE)


def test_the_command_freezes_and_lets_hours_pass(extension: Write) -> None:
    events = ("--event", "1", "--event", "2", "--freeze", "--pause", "3600")
    done = by_hand("--extension", str(extension(CLOCKS)), *events)
    assert done.returncode == 0, done.stderr
    first, second = (float(wall) for wall in re.findall(r'"wall": ([\d.]+)', done.stdout))
    assert 3600 < second - first < 3660


def test_the_command_fails_when_init_or_an_invocation_fails(extension: Write) -> None:
    done = by_hand("--extension", str(extension("sys.exit(3)")))
    assert done.returncode == 1
    assert "Init failed: Extension.Crash (ext: exit status 3)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--event", "{"], "Expecting property name"),
        (["--env", "NAME"], "--env NAME: not NAME=VALUE"),
        (["--extension", "/nowhere"], "no such extension: /nowhere"),
        (["--layer", __file__], "File is not a zip file"),
        (["--runtime", "cobol"], "invalid choice: 'cobol'"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_arguments(arguments: list[str], words: str) -> None:
    done = by_hand(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
