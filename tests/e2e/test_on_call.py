"""Produces the failures that wake people, and holds what the function's log shows: one file of on_call/ for each.

A file has what Lambda's caller sees in its first line, and then the lines of the log. Whoever knows only these and
docs/operations.md must find the cause. `ON_CALL=write` writes the files again.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import ROOT
from tests.fakes.aws import REGION, Cloud, refusal, serve_moto
from tests.fakes.http import Answer, Stub

from . import stage
from .lambda_simulator import Credentials, Environment, Function, InitError
from .lambda_simulator.runtimes import BY_NAME

FOLDER = Path(__file__).parent / "on_call"
DB = "version: 1\nsecrets:\n  db: prod/orders/db\n"
ROLE = "arn:aws:sts::123456789012:assumed-role/orders/orders"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/orders/db-a1B2c3"
DENIED = f"User: {ROLE} is not authorized to perform: secretsmanager:GetSecretValue on resource: {ARN}"
SLOW = ("deadline-after-init", "deadline-after-timeout", "no-answer", "no-way-out", "proxy", "throttled")
# What differs from run to run.
VARYING = [
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b\d+ ms\b"), "N ms"),
    (re.compile(r"attempt \d+"), "attempt N"),
    # Whether a repeated request is on its way in that moment.
    (re.compile(r"(?<=waits for an answer) from \S+(?=\. The deadline is \d+ s\. The last answer)"), ""),
]

READS_IN_A_HANDLER = "import keystart\ndef handler(event, context): return len(keystart.get('db'))\n"
READS_A_VARIABLE = "import os\nos.environ['DB_PASSWORD']\ndef handler(event, context): ...\n"


@contextmanager
def environment(
    tmp_path: Path,
    configuration: str | None = DB,
    *,
    endpoint: str = "",
    code: str = "",
    env: Mapping[str, str] | None = None,
    launcher: str = "",
    init_timeout: float | None = None,
    credentials: Credentials | None = None,
) -> Iterator[Environment]:
    """Makes an environment of the extension and a function, in Python if it has code, else one that only echoes."""
    stage.without_aws_settings()
    task, folder = tmp_path / "task", tmp_path / "extensions"
    task.mkdir()
    if code:
        (task / "app.py").write_text(code)
    if configuration is not None:
        (task / "keystart.yaml").write_text(configuration)
    own = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    extension = stage.extensions(folder) / "keystart"
    if launcher:
        extension.write_text(extension.read_text().replace("exec ", f"{launcher} ", 1))
    with Environment(
        extensions=folder,
        function=Function(BY_NAME["python" if code else "echo"](), task, env={**own, **(env or {})}),
        region=REGION,
        visible=[ROOT, tmp_path],
        init_timeout=init_timeout,
        credentials=credentials,
    ) as made:
        if not made.isolated:
            pytest.skip(f"the paths in the lines differ: {made.why_not_isolated}")
        yield made


def hold(name: str, seen: str, environment: Environment) -> None:
    """Compares what was printed with the file of that name."""
    lines = [line.text for line in environment.log if "[keystart]" in line.text]
    if name not in SLOW:  # on a slow machine any answer may take a second
        lines = [line for line in lines if " has no value after " not in line]
    printed = "\n".join([seen, *lines]) + "\n"
    for pattern, words in VARYING:
        printed = pattern.sub(words, printed)
    file = FOLDER / f"{name}.txt"
    if os.environ.get("ON_CALL") == "write":
        file.write_text(printed)
    assert printed == file.read_text(), f"compare with {file}"


def failed_init(environment: Environment) -> str:
    """Runs an Init that must fail, and returns what Lambda logs of it."""
    with pytest.raises(InitError) as failed:
        environment.init()
    error = failed.value
    said = error.reported or ""
    return f"Lambda: {error.who}: {error.error_type} {said}".rstrip()


def hold_answer(tmp_path: Path, name: str, answer: Answer, configuration: str = DB) -> None:
    """Holds what is printed if the service answers every request so."""
    with (
        Stub(lambda _: answer) as service,
        environment(tmp_path, configuration, endpoint=service.url) as made,
    ):
        hold(name, failed_init(made), made)


@contextmanager
def serve_one_secret(value: str) -> Iterator[str]:
    """Serves AWS's services with that secret and no other."""
    with serve_moto() as url:
        cloud = Cloud(url)
        cloud.secret(value, "prod/orders/db")
        cloud.close()
        yield url


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_one_secret(secrets.token_hex(16)) as url:
        yield url


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """Listens at port 443 of an address that no other test has, and lets no connection in, as a VPC without a way."""
    address = f"127.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
    with socket.socket() as server, ExitStack() as fill:
        server.bind((address, 443))
        server.listen(0)
        while True:
            client = fill.enter_context(socket.socket())
            client.settimeout(0.5)
            try:
                client.connect((address, 443))
            except TimeoutError:
                break
        yield address


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_secret_that_does_not_exist(tmp_path: Path, moto: str) -> None:
    with environment(tmp_path, DB.replace("orders", "order"), endpoint=moto) as made:
        hold("missing-secret", failed_init(made), made)


def test_a_wrong_region(tmp_path: Path, moto: str) -> None:
    with environment(tmp_path, f"region: us-east-1\n{DB}", endpoint=moto) as made:
        hold("wrong-region", failed_init(made), made)


def test_a_refusal_of_kms(tmp_path: Path) -> None:
    hold_answer(tmp_path, "kms", refusal(400, "AccessDeniedException", "Access to KMS is not allowed"))


def test_a_role_without_the_right(tmp_path: Path) -> None:
    message = f"{DENIED} because no identity-based policy allows the secretsmanager:GetSecretValue action"
    hold_answer(tmp_path, "role", refusal(400, "AccessDeniedException", message))


def test_a_boundary_without_the_right(tmp_path: Path) -> None:
    message = f"{DENIED} because no permissions boundary allows the secretsmanager:GetSecretValue action"
    hold_answer(tmp_path, "boundary", refusal(400, "AccessDeniedException", message))


def test_a_deadline_that_ends_after_init(tmp_path: Path, black_hole: str) -> None:
    with environment(tmp_path, f"deadline: 12s\n{DB}", endpoint=black_hole, init_timeout=4) as made:
        hold("deadline-after-init", failed_init(made), made)


def test_a_deadline_that_ends_after_the_timeout_of_the_function(tmp_path: Path, black_hole: str) -> None:
    with environment(tmp_path, endpoint=black_hole, init_timeout=4) as made:
        hold("deadline-after-timeout", failed_init(made), made)


def test_variables_without_the_wrapper(tmp_path: Path, moto: str) -> None:
    configuration = "version: 1\nsecrets:\n  db: {secret: prod/orders/db, env: DB_PASSWORD}\n"
    with environment(tmp_path, configuration, endpoint=moto, code=READS_A_VARIABLE) as made:
        made.init_in_background().exception()
        hold("no-wrapper", "Lambda: the function: KeyError 'DB_PASSWORD'", made)


def test_a_layer_for_the_other_architecture(tmp_path: Path) -> None:
    with environment(tmp_path) as made:
        # The head of an executable for a machine that nobody has.
        (tmp_path / "extensions/keystart").write_bytes(
            b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xfe\xff" + bytes(44)
        )
        with pytest.raises(InitError) as failed:
            made.init()
        hold("other-architecture", f"Lambda: {failed.value.error_type} {failed.value.reason}", made)


def test_a_root_whose_parent_does_not_exist(tmp_path: Path, moto: str) -> None:
    with environment(tmp_path, endpoint=moto, env={"KEYSTART_DIR": "/tmp/none/keystart"}) as made:
        hold("no-parent", failed_init(made), made)


def test_a_network_without_a_way_to_the_service(tmp_path: Path, black_hole: str) -> None:
    with environment(tmp_path, f"deadline: 2s\n{DB}", endpoint=black_hole) as made:
        hold("no-answer", failed_init(made), made)


@pytest.mark.usefixtures("private_mounts")
def test_a_vpc_without_a_way_to_the_service(tmp_path: Path, full_backlog: str) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{full_backlog} secretsmanager.{REGION}.amazonaws.com\n")
    launcher = f"exec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec \"$0\"'"
    with environment(tmp_path, f"deadline: 2s\n{DB}", launcher=launcher) as made:
        hold("no-way-out", failed_init(made), made)


def test_a_proxy_that_opens_no_way(tmp_path: Path) -> None:
    with (
        Stub(lambda _: Answer(403)) as proxy,
        environment(tmp_path, f"deadline: 2s\n{DB}", env={"HTTPS_PROXY": proxy.url}) as made,
    ):
        hold("proxy", failed_init(made), made)


def test_a_quota_that_is_used_up(tmp_path: Path) -> None:
    answer = refusal(400, "ThrottlingException", "Rate exceeded")
    hold_answer(tmp_path, "throttled", answer, f"deadline: 2s\n{DB}")


def test_credentials_that_have_expired(tmp_path: Path) -> None:
    message = "The security token included in the request is expired"
    hold_answer(tmp_path, "expired", refusal(400, "ExpiredTokenException", message))


def test_an_environment_without_credentials(tmp_path: Path, moto: str) -> None:
    launcher = "exec env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN"
    with environment(tmp_path, endpoint=moto, launcher=launcher) as made:
        hold("no-credentials", failed_init(made), made)


def test_a_function_without_a_configuration(tmp_path: Path) -> None:
    with environment(tmp_path, None) as made:
        hold("no-configuration", failed_init(made), made)


def test_a_wrong_configuration(tmp_path: Path) -> None:
    with environment(
        tmp_path, "version: 1\nstrat: before\nsecrets:\n  db: {secert: prod/orders/db}\n"
    ) as made:
        hold("wrong-configuration", failed_init(made), made)


def test_a_function_that_clears_tmp(tmp_path: Path, moto: str) -> None:
    with environment(tmp_path, endpoint=moto, code=READS_IN_A_HANDLER) as made:
        made.init()
        assert made.invoke().error_type is None
        shutil.rmtree(made.tmp / "keystart")
        answer = made.invoke()
        hold("cleared-tmp", f"Lambda: the function: {answer.error_type} {answer.error_message}", made)


@pytest.mark.usefixtures("private_mounts")
def test_a_disk_that_is_full(tmp_path: Path, moto: str) -> None:
    # Over the store alone: the checkout may be below /tmp.
    full = "mkdir -m 700 /tmp/keystart && mount -t tmpfs -o size=4k,mode=700 none /tmp/keystart"
    launcher = f"exec unshare --mount sh -c '{full} && exec \"$0\"'"
    with environment(tmp_path, endpoint=moto, launcher=launcher) as made:
        hold("full-disk", failed_init(made), made)


def test_every_file_belongs_to_a_test() -> None:
    held = set(re.findall(r'hold(?:_answer)?\((?:tmp_path, )?"([\w-]+)"', Path(__file__).read_text()))
    assert {path.stem for path in FOLDER.glob("*.txt")} == held
    assert len(held) >= 15


def test_no_file_holds_a_secret_or_a_credential() -> None:
    for path in FOLDER.glob("*.txt"):
        assert not re.search("simulated|ASIA", path.read_text()), path
