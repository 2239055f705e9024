"""Sends requests through proxies and past them, as curl and boto do, and says who refused or did not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from socketserver import BaseRequestHandler

import pytest

from tests.fakes.aws import container_credentials, secret
from tests.fakes.certificates import Fault as Wrong
from tests.fakes.front import Fault, Front, Server, read_request
from tests.fakes.http import Answer, Request, Serving, Stub

from .conftest import Canaries, Keystart, Prefetch, Serve, Store

DEAD = "127.0.0.1:1"
DIRECT = ["*", "{host}", "{host}:{port}", " other.test, {host}", "other.test {host}:{port}"]
BY_PROXY = ["", "other.test", "{host}:1", "x{host}", "10.0.0.0/8", "."]


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("hosts", [*DIRECT, *BY_PROXY, "127.0.0.0/8"])
def test_no_proxy_counts_as_for_curl_and_boto(
    prefetch: Prefetch,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    host: str,
    hosts: str,
) -> None:
    aws = serve(lambda _: secret("x"))
    port = aws.address.rpartition(":")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://{DEAD}")
    monkeypatch.setenv(variable, hosts.format(host=host, port=port))
    is_direct = hosts in DIRECT or (hosts.startswith("127.") and host.startswith("127."))
    deadline = "9s" if is_direct else "300ms"  # through the dead proxy nothing arrives, however long it takes
    assert (prefetch({"db": "prod/db"}, deadline=deadline) is None) == is_direct
    assert bool(aws.requests) == is_direct


class RefusingProxy(Serving):
    """A proxy that opens no tunnel: it answers each CONNECT with the same status and page."""

    def __init__(self, status: str, page: str) -> None:
        self.asked: list[str] = []
        proxy = self
        answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                request = read_request(self.request)
                if request is None:
                    return  # the client has closed the connection
                proxy.asked.append(request[0].split(b"\r\n")[0].decode())
                self.request.sendall(answer)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"


@pytest.fixture
def refusing(canary: Canaries) -> Iterator[Callable[[str], RefusingProxy]]:
    with ExitStack() as stack:
        yield lambda status: stack.enter_context(
            RefusingProxy(f"{status} {canary()}", f"<html>{canary()}</html>")
        )


ANSWERS: Mapping[str, str] = {
    "301": "it answered 301 (Moved Permanently)",
    "404": "it answered 404 (Not Found)",
    "407": "it answered 407 (it asks for a user and a password, or refuses those that it got)",
    "403": "it answered 403 (its rules deny the host)",
    "502": "it answered 502 (Bad Gateway)",
    "503": "it answered 503 (Service Unavailable)",
    "599": "it answered 599",
}


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_refusal_by_a_proxy_is_said_with_the_proxy_and_the_host(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    refusing: Callable[[str], RefusingProxy],
    canary: Canaries,
    status: str,
    variable: str,
) -> None:
    proxy = refusing(status)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, f"http://user:{canary()}@{proxy.address}")
    assert prefetch({"db": "prod/db"}, deadline="300ms") is not None
    host = "secretsmanager.eu-west-1.amazonaws.com"
    reason = (
        f"The proxy {proxy.address} refused the way to {host}: {ANSWERS[status]}. "
        f"Correct {variable}, or name {host} in NO_PROXY."
    )
    assert store.failures == {"db": ("ProxyRefused", reason)}
    if status.startswith(("3", "4")):
        assert len(proxy.asked) == 1, "the answer would be the same"


@pytest.mark.parametrize("status", ["408", "425", "429", "500"])
def test_a_proxy_that_may_open_a_way_a_moment_later_is_asked_again(
    prefetch: Prefetch, monkeypatch: pytest.MonkeyPatch, refusing: Callable[[str], RefusingProxy], status: str
) -> None:
    proxy = refusing(status)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    assert len(proxy.asked) > 1


@pytest.mark.parametrize("proxy", [DEAD, "proxy.keystart.invalid:3128"])
def test_a_proxy_that_does_not_listen_is_named_and_no_vpc(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    code, message = store.failures["db"]
    host = "secretsmanager.eu-west-1.amazonaws.com"
    assert code == "ConnectionFailed"
    assert message.startswith(f"The proxy {proxy} on the way to {host} cannot be reached: ")
    assert message.endswith(f". Correct HTTPS_PROXY, or name {host} in NO_PROXY.")


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("name", "its certificate is for another name"),
        ("authority", "its certificate is from an authority that is not known"),
    ],
)
def test_a_proxy_whose_certificate_is_wrong_is_named_and_not_the_host(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scheme: str,
    wrong: Wrong,
    reason: str,
) -> None:
    variable = f"{scheme.upper()}_PROXY"
    with Front(Fault(certificate=wrong), "", tmp_path) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://aws.keystart.test")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(proxy.authority))
        monkeypatch.setenv(variable, proxy.url)
        assert prefetch({"db": "prod/db"}, deadline="2s") is not None
    address = proxy.url.removeprefix("https://")
    message = f"The proxy {address} cannot be trusted: {reason}. Check AWS_CA_BUNDLE and {variable}."
    assert store.failures == {"db": ("ConnectionFailed", message)}


class NoTls(Serving):
    """A host that answers the first bytes of TLS with its own; without any it closes the connection."""

    def __init__(self, answer: bytes, *, behind_proxy: bool) -> None:
        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                if behind_proxy and read_request(self.request) is not None:
                    self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                self.request.recv(65_536)
                self.request.sendall(answer)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"", "it closed the connection"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS")],
)
@pytest.mark.parametrize("behind_proxy", [False, True])
def test_a_host_that_does_not_speak_tls_is_named_also_behind_a_proxy(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    reason: str,
    behind_proxy: bool,
) -> None:
    with NoTls(answer, behind_proxy=behind_proxy) as server:
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL", f"https://{'aws.keystart.test' if behind_proxy else server.address}"
        )
        if behind_proxy:
            monkeypatch.setenv("HTTPS_PROXY", server.address)
        assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    host = "aws.keystart.test"
    message = (
        f"{host} cannot be reached through the proxy {server.address}: {reason}. "
        f"Correct HTTPS_PROXY, or name {host} in NO_PROXY."
        if behind_proxy
        else f"{server.address} cannot be reached: {reason}. Check AWS_ENDPOINT_URL."
    )
    assert store.failures == {"db": ("ConnectionFailed", message)}


def test_a_page_of_a_plain_proxy_is_not_the_service_and_not_repeated(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch, canary: Canaries
) -> None:
    page = canary()
    with Stub(lambda _: Answer(403, f"<html>{page}</html>".encode())) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.keystart.test")
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert prefetch({"db": "prod/db"}) is not None
    reason = (
        "Forbidden. A proxy, a firewall or a load balancer answered, not AWS. Check HTTPS_PROXY and "
        "AWS_ENDPOINT_URL."
    )
    assert store.failures == {"db": ("403", reason)}


def test_a_host_that_does_not_answer_is_named(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{DEAD}")
    assert prefetch({"db": "prod/db"}, deadline="300ms") is not None
    reason = f"{DEAD} cannot be reached: Connection refused. Check AWS_ENDPOINT_URL."
    assert store.failures == {"db": ("ConnectionFailed", reason)}


def test_a_name_that_nobody_knows_is_named_and_no_vpc(
    prefetch: Prefetch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.keystart.invalid")
    assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    code, message = store.failures["db"]
    assert code in ("ConnectionFailed", "DeadlineExceeded")
    assert "aws.keystart.invalid" in message
    assert "VPC" not in message


def answer_of_a_container(request: Request) -> Answer:
    return container_credentials("x") if request.path == "/credentials" else secret("x")


def test_credentials_of_the_container_are_fetched_without_a_proxy(
    prefetch: Prefetch, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = serve(answer_of_a_container)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("HTTP_PROXY", f"http://{DEAD}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert prefetch({"db": "prod/db"}, deadline="9s") is None


def test_a_container_that_a_profile_names_is_asked_without_a_proxy(
    prefetch: Prefetch, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(request: Request) -> Answer:
        return Answer(403) if b"Action=AssumeRole" in request.body else answer_of_a_container(request)

    aws = serve(answer)
    config = tmp_path / "config"
    role = "arn:aws:iam::123456789012:role/reader"
    config.write_text(f"[default]\nrole_arn = {role}\ncredential_source = EcsContainer\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.url}/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token")
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("HTTP_PROXY", f"http://{DEAD}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    prefetch({"db": "prod/db"}, deadline="2s")
    assert "/credentials" in aws.paths()


@pytest.mark.parametrize("status", ["403", "407", "502"])
def test_a_refusal_of_a_command_for_people_is_said_with_the_status_too(
    keystart: Keystart,
    monkeypatch: pytest.MonkeyPatch,
    refusing: Callable[[str], RefusingProxy],
    status: str,
) -> None:
    proxy = refusing(status)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    variables = {"HTTPS_PROXY": proxy.address, "AWS_MAX_ATTEMPTS": "1"}
    code, _, error = keystart.at_terminal("", "detach", "function", "--yes", **variables)
    assert (code, error) == (
        1,
        f"keystart: function: ProxyRefused: The proxy {proxy.address} refused the way to AWS: {ANSWERS[status]}. "
        "Correct HTTPS_PROXY, or name the hosts of AWS in NO_PROXY.\n"
        "keystart: Nothing is changed.\n",
    )
