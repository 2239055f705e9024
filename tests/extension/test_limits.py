"""Lets endpoints send endless answers, deep answers, and the worst forms of HTTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from socket import socket
from socketserver import BaseRequestHandler
from typing import Any

import pytest

from tests.fakes.aws import REGION, batch, secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.front import Server, read_request
from tests.fakes.http import Answer, Request, Serving, Stub
from tests.peak import Exit, run

from .conftest import COMMAND, Canaries, Environment, Prefetch, Serve, Store

pytestmark = [pytest.mark.alone, pytest.mark.long]

ROLE = "arn:aws:iam::123456789012:role/reader"
DEEP = 32 * 1024
LONGEST_ERROR = 64 * 1024
LONG = 8 * 1024 * 1024
TOGETHER = 32 * 1024 * 1024


FOREIGN = "A proxy, a firewall or a load balancer answered, not AWS. Check HTTPS_PROXY and AWS_ENDPOINT_URL."
PATIENCE = 60  # seconds; only a test that fails waits for so long


class Start:
    """Runs the extension's process until SHUTDOWN, which it gets after its publish, and returns how it ended."""

    def __init__(self, folder: Path, environment: Environment, canary: Canaries, api: Lambda) -> None:
        self._folder = folder
        self._environment = environment
        self._canary = canary
        self._api = api
        self._path = folder / "extensions" / "keystart-under-test"
        self._path.parent.mkdir()
        self._path.symlink_to(COMMAND)

    def __call__(self, secrets: Mapping[str, Any], **settings: Any) -> Exit:
        file, output = self._folder / "keystart.json", self._folder / "output"
        file.write_text(json.dumps({"version": 1, "deadline": "10s", **settings, "secrets": secrets}))
        variables = {
            **self._environment(),
            "KEYSTART_CONFIG": str(file),
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
        }
        self._api.send("SHUTDOWN")
        with output.open("w") as out:
            ended = run([self._path], variables, out, PATIENCE)
        self._canary.hear(output.read_text())
        return ended


@pytest.fixture
def start(environment: Environment, tmp_path: Path, canary: Canaries, lambda_api: Lambda) -> Start:
    return Start(tmp_path, environment, canary, lambda_api)


class RawServer(Serving):
    """Starts a server that does `behave` to the connection of each request."""

    def __init__(self, behave: Callable[[socket], None]) -> None:
        raw = self
        self.asked = 0

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the client has hung up
                    while read_request(self.request) is not None:
                        raw.asked += 1
                        behave(self.request)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"


def invalid(action: str, what: str, cure: str = "Check AWS_ENDPOINT_URL") -> tuple[str, str]:
    return "InvalidAnswer", f"The answer to {action} {what}. {cure}."


SECRET = "secretsmanager:GetSecretValue on prod/db"
PATH = "ssm:GetParametersByPath on /prod, and kms:Decrypt on the key of a SecureString"
NESTED = "is nested deeper than any of AWS"


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("nest", [b"[", b'{"a":', b'{"SecretString": "x", "b": [['])
def test_an_answer_that_is_nested_too_deep_is_refused(
    status: int, nest: bytes, start: Start, serve: Serve, store: Store
) -> None:
    def answer(request: Request) -> Answer:
        nested = b"<a>" * DEEP if request.action == "AssumeRole" else nest * DEEP
        return Answer(status, nested[:LONGEST_ERROR])

    serve(answer)
    entries = {
        "db": "prod/db",
        "flag": "ssm:/prod/flag",
        "all": {"parameters": "/prod"},
        "theirs": {"secret": "prod/theirs", "role": ROLE},
    }
    assert start(entries).code == 1
    assert store.failures == {
        "db": invalid(SECRET, NESTED),
        "flag": invalid(
            "ssm:GetParameters on /prod/flag, and kms:Decrypt on the key of a SecureString", NESTED
        ),
        "all": invalid(PATH, NESTED),
        "theirs": invalid(f"sts:AssumeRole on {ROLE}", NESTED),
    }


def test_a_batch_that_is_nested_too_deep_is_refused(start: Start, serve: Serve, store: Store) -> None:
    serve(lambda _: Answer(200, b"[" * DEEP))
    assert start({"a": "prod/a", "b": "prod/b"}, batch=True).code == 1
    why = invalid("secretsmanager:BatchGetSecretValue on *", NESTED)
    assert store.failures == {"a": why, "b": why}


def test_a_value_may_have_as_many_brackets_as_it_likes(
    prefetch: Prefetch, serve: Serve, store: Store
) -> None:
    value = '"[' * (DEEP // 2) + "<a>" * 1000
    serve(lambda _: secret(value))
    assert prefetch({"db": "prod/db"}) is None
    assert store.values == {"db": value.encode()}


@pytest.mark.parametrize("status", [200, 400, 500])
def test_credentials_that_are_nested_too_deep_are_refused(
    status: int, start: Start, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    serve(lambda _: secret("x"))
    with Stub(lambda _: Answer(status, b'{"AccessKeyId": ' + b"[" * DEEP)) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        assert start({"db": "prod/db"}).code == 1
        assert len(container.requests) == 1
    assert store.failures == {"db": invalid("the request for credentials", NESTED)}


@pytest.fixture(scope="module")
def normal_peaks() -> list[int]:
    return []


@pytest.fixture
def normal(start: Start, serve: Serve, normal_peaks: list[int]) -> int:
    """Returns the memory of a start with one small secret, in KiB, the same for all tests."""
    if not normal_peaks:
        serve(lambda _: secret("x"))
        ended = start({"db": "prod/db"})
        assert ended.code == 0
        normal_peaks.append(ended.peak)
    return normal_peaks[0]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def head(status: int, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d Told" % status, *headers, b"", b""])


CHUNKED = b"Transfer-Encoding: chunked"


def send_endless(connection: socket, start: bytes, again: bytes) -> None:
    connection.sendall(start)
    again *= max(1, 65_536 // len(again))
    while True:  # until the client hangs up
        connection.sendall(again)


def test_a_body_without_an_end_is_given_up_and_takes_no_memory(
    normal: int, start: Start, serve: Serve, store: Store
) -> None:
    serve.start(
        RawServer(lambda connection: send_endless(connection, head(200, CHUNKED), chunk(b" " * 60_000)))
    )
    ended = start({f"db{number}": f"prod/db{number}" for number in range(40)})
    assert ended.code == 1
    reasons = {why for _, why in store.failures.values()}
    assert all("bytes" in why for why in reasons)
    assert {code for code, _ in store.failures.values()} == {"InvalidAnswer"}
    # A buffer doubles as it grows, and each connection has its own.
    assert ended.peak < normal + 3 * TOGETHER / 1024, f"{ended.peak} KiB, and {normal} KiB without the fault"


def test_a_body_that_is_too_long_is_reported_with_the_limit(start: Start, serve: Serve, store: Store) -> None:
    serve.start(
        RawServer(lambda connection: send_endless(connection, head(200, CHUNKED), chunk(b" " * 60_000)))
    )
    assert start({"db": "prod/db"}).code == 1
    assert store.failures == {"db": invalid(SECRET, f"has more than {LONG} bytes")}


def test_of_an_error_that_is_too_long_the_status_counts(start: Start, serve: Serve, store: Store) -> None:
    raw = serve.start(
        RawServer(lambda connection: send_endless(connection, head(403, CHUNKED), chunk(b"x" * 60_000)))
    )
    assert start({"db": "prod/db"}).code == 1
    assert store.failures == {"db": ("403", f"Forbidden. {FOREIGN}")}
    assert raw.asked == 1


def parameters_page(numbers: range, token: str, value: str) -> Answer:
    found = [{"Name": f"/prod/p{number}", "Value": value, "Version": 1} for number in numbers]
    return Answer(body=json.dumps({"Parameters": found, "NextToken": token}).encode())


def test_pages_without_an_end_are_given_up_and_take_no_memory(
    normal: int, start: Start, serve: Serve, store: Store
) -> None:
    pages = itertools.count()

    def answer(_: Request) -> Answer:
        page = next(pages)
        return parameters_page(range(page * 10, page * 10 + 10), f"page {page}", "x" * 65_536)

    serve(answer)
    ended = start({"all": {"parameters": "/prod"}}, deadline="300s")
    assert ended.code == 1
    what = f"makes more than {TOGETHER} bytes of all answers, the most that one start reads"
    assert store.failures == {"all": invalid(PATH, what, "Configure fewer or smaller secrets")}
    # The values of all pages so far, and the page that is read.
    assert ended.peak < normal + 2 * TOGETHER / 1024, f"{ended.peak} KiB, and {normal} KiB without the fault"


def test_empty_pages_without_an_end_are_given_up(start: Start, serve: Serve, store: Store) -> None:
    pages = itertools.count()
    stub = serve(lambda _: parameters_page(range(0), f"page {next(pages)}", ""))
    assert start({"all": {"parameters": "/prod"}}, deadline="300s").code == 1
    assert store.failures == {"all": invalid(PATH, "has more than 1000 pages")}
    assert len(stub.requests) == 1000


def test_a_page_that_leads_back_is_not_read_again(start: Start, serve: Serve, store: Store) -> None:
    tokens = itertools.cycle(["one", "two"])
    stub = serve(lambda _: parameters_page(range(1), next(tokens), "x"))
    assert start({"all": {"parameters": "/prod"}}).code == 1
    assert store.failures == {"all": invalid(PATH, "leads to a page that was read already")}
    assert len(stub.requests) == 3


def test_a_page_of_a_batch_that_leads_back_is_not_read_again(
    start: Start, serve: Serve, store: Store
) -> None:
    arns = [f"arn:aws:secretsmanager:{REGION}:123456789012:secret:{name}-abcdef" for name in ("a", "b")]
    stub = serve(lambda _: batch({arns[0]: "x"}, token="again"))
    assert start({"a": arns[0], "b": arns[1]}, batch=True).code == 1
    why = invalid("secretsmanager:BatchGetSecretValue on *", "leads to a page that was read already")
    assert store.failures == {"a": why, "b": why}
    assert len(stub.requests) == 2


WORST_HTTP: dict[str, Callable[[socket], None]] = {
    "headers": lambda connection: send_endless(connection, b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n"),
    "a header": lambda connection: send_endless(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 1024),
    "answers before the answer": lambda connection: send_endless(connection, b"", head(103, b"X-More: more")),
    "extensions of a chunk": lambda connection: send_endless(connection, head(200, CHUNKED) + b"1;", b"x=y;"),
    "extensions of chunks": lambda connection: send_endless(
        connection, head(200, CHUNKED), b"1;" + b"x" * 1000 + b"\r\n \r\n"
    ),
    "trailers": lambda connection: send_endless(
        connection, head(200, CHUNKED) + chunk(b"{}") + b"0\r\n", b"X-More: more\r\n"
    ),
    "the length of a chunk": lambda connection: send_endless(connection, head(200, CHUNKED), b"0"),
}


@pytest.mark.parametrize("what", WORST_HTTP)
def test_no_part_of_an_answer_takes_memory_without_an_end(
    what: str, normal: int, start: Start, serve: Serve, store: Store
) -> None:
    raw = serve.start(RawServer(WORST_HTTP[what]))
    ended = start({"db": "prod/db"}, deadline="1500ms")
    assert ended.code == 1
    assert raw.asked >= 1
    assert set(store.failures) == {"db"}
    assert ended.peak < 1.5 * normal, f"{ended.peak} KiB, and {normal} KiB without the fault"


@pytest.mark.parametrize("what", ["answers before the answer", "the length of a chunk"])
@pytest.mark.parametrize("optional", [False, True])
def test_an_answer_that_never_lets_go_of_the_process_ends_the_start_at_the_deadline(
    what: str,
    optional: bool,
    start: Start,
    serve: Serve,
    store: Store,
    lambda_api: Lambda,
) -> None:
    raw = serve.start(RawServer(WORST_HTTP[what]))
    entries = {"db": {"secret": "prod/db", "optional": optional}}
    code = start(entries, deadline="1500ms").code
    reason = f"No answer from {raw.url.removeprefix('http://')} within the deadline of 1.5 s. Check AWS_ENDPOINT_URL."
    late = {"db": ("DeadlineExceeded", reason)}
    if optional and code == 0:
        # The answer was slower than the process, so the deadline could end the fetch, and an
        # optional entry is left out. core/lambda/tests/overdue.rs holds the other case.
        assert store.state["state"] == "stopped"
        assert "/init/error" not in lambda_api.paths()
        return
    assert code == 1
    assert store.failures == late
    assert lambda_api.paths() == ["/register", "/init/error"]
    assert lambda_api.reported == [("Extension.SecretsUnavailable", "Required secrets could not be fetched.")]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int, start: Start, serve: Serve, store: Store) -> None:
    with Stub(lambda _: secret("theirs")) as other:
        serve(lambda _: Answer(status, b"", {"Location": f"{other.url}/"}))
        assert start({"db": "prod/db"}).code == 1
        assert other.requests == []
    assert store.failures["db"][0] == str(status)
