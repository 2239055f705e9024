"""Puts canaries into every source of credentials, valid and broken, and searches all output for them.

The fixture `canary` searches the log, state.json, manifests, and everything a test passes to it. Files that a test
needs lie in folders named `secrets`, where canaries may be.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import ContainerMetadataFetcher

from tests.fakes.aws import secret
from tests.fakes.extensions_api import Lambda
from tests.fakes.http import Answer, Stub

from .conftest import (
    EACH_WAY,
    Canaries,
    Keystart,
    Launcher,
    Prefetch,
    Serve,
    Store,
)

pytestmark = pytest.mark.sampled

ROLE = "arn:aws:iam::123456789012:role/reader"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# What is wrong with a value, and what the message says about it.
BROKEN: Mapping[str, tuple[Callable[[str], str], str]] = {
    "a line break at the end": (lambda value: f"{value}\n", "a line break"),
    "a line break before it": (lambda value: f"x\r\n{value}", "a line break"),
    "a letter outside of ASCII": (lambda value: f"{value}ß", "a character that is not printable ASCII"),
    "a control character": (lambda value: f"\x01{value}", "a character that is not printable ASCII"),
    "a space": (lambda value: f"{value} x", "a space"),
    "a page": (lambda value: f"<html><body>{value} </body></html>", "a space"),
    "a fragment of JSON": (lambda value: f'{{"key": "{value}", ', "a space"),
}
# Bodies instead of an answer of any service.
PAGES: Mapping[str, Answer] = {
    "a page with 200": Answer(200, b"<html><body>CANARY</body></html>", {"Content-Type": "text/html"}),
    "a page with 403": Answer(403, b"<html><body>CANARY</body></html>", {"Content-Type": "text/html"}),
    "lines with 403": Answer(403, b"Blocked\nuser CANARY\nticket 12345\n", {"Content-Type": "text/plain"}),
    "JSON of a proxy": Answer(403, b'{"code": "Blocked", "message": "CANARY", "Code": "x"}'),
    "JSON without a code": Answer(400, b'{"message": "CANARY"}'),
    "JSON with a list": Answer(400, b'["CANARY"]'),
    "JSON with another type": Answer(400, b'{"__type": {"CANARY": 1}, "message": ["CANARY"]}'),
    "a fragment": Answer(200, b'{"SecretString": "CANARY", "x": '),
    "no UTF-8": Answer(403, b"\xff\xfeCANARY"),
    "a code that is none": Answer(400, b'{"__type": "user CANARY", "message": "CANARY"}'),
    "a header that is none": Answer(400, b'{"message": "CANARY"}', {"x-amzn-ErrorType": "user CANARY"}),
}
# As AWS writes it: the lines after the first one repeat the headers of the request.
SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request "
    "should have been\n'POST\n/\n\nx-amz-security-token:CANARY\n'"
)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the wait of botocore, which asks a container's endpoint again a second after each refusal."""
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


def holding(answer: Answer, value: str) -> Answer:
    def filled(text: str) -> str:
        return text.replace("CANARY", value)

    headers = {name: filled(text) for name, text in answer.headers.items()}
    return Answer(answer.status, answer.body.replace(b"CANARY", value.encode()), headers)


def reason_of(store: Store) -> tuple[str, str]:
    """Returns the reason of the one entry, which is ours or AWS's."""
    code, message = store.failures["db"]
    assert "cargo" not in message
    return code, message


@EACH_WAY
@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_variable_with_a_character_that_no_credential_has_is_named_and_not_shown(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    variable: str,
    broken: str,
) -> None:
    spoil, flaw = BROKEN[broken]
    monkeypatch.setenv(variable, spoil(canary()))
    aws = serve(lambda _: secret("x"))
    assert prefetch({"db": "prod/db"}) is not None
    reason = f"{variable} holds {flaw}, which no credential has. Set it again without it."
    assert reason_of(store) == ("InvalidCredentials", reason)
    assert aws.requests == [], "nobody was asked with it"


@EACH_WAY
def test_a_variable_that_is_not_text_is_named_and_not_shown(
    prefetch: Prefetch, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch, canary: Canaries
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{canary()}\udcff")
    serve(lambda _: secret("x"))
    assert prefetch({"db": "prod/db"}) is not None
    assert reason_of(store)[0] == "InvalidCredentials"
    assert "AWS_SESSION_TOKEN" in reason_of(store)[1]


@EACH_WAY
@pytest.mark.parametrize("variable", KEYS)
def test_a_sound_variable_is_shown_nowhere(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, canary())
    monkeypatch.setenv("KEYSTART_LOG_LEVEL", "DEBUG")
    answers = iter([Answer(500), secret("x")])
    serve(lambda _: next(answers))
    assert prefetch({"db": "prod/db"}) is None


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["secret", "parameter", "parameters"])
def test_what_no_service_of_aws_said_is_not_repeated(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, page: str, kind: str
) -> None:
    answer = holding(PAGES[page], canary())
    serve(lambda _: answer)
    assert prefetch({"db": {kind: "/prod/db"}}) is not None
    assert reason_of(store)[0] in ("InvalidAnswer", "400", "403")


def test_only_the_first_line_of_a_services_message_is_repeated(
    prefetch: Prefetch, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch, canary: Canaries
) -> None:
    token = canary()
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    body = json.dumps({"__type": "InvalidSignatureException", "message": SIGNATURE.replace("CANARY", token)})
    serve(lambda _: Answer(400, body.encode()))
    assert prefetch({"db": "prod/db"}) is not None
    code, message = reason_of(store)
    assert code == "InvalidSignatureException"
    assert message.startswith(SIGNATURE.partition("\n")[0])
    assert "Canonical" not in message


def test_a_long_message_of_a_service_is_cut(prefetch: Prefetch, serve: Serve, store: Store) -> None:
    body = json.dumps({"__type": "ValidationException", "message": "ß" * 10_000})
    serve(lambda _: Answer(400, body.encode()))
    assert prefetch({"db": "prod/db"}) is not None
    assert reason_of(store) == ("ValidationException", "ß" * 512 + "…")


KEYS_IN_FILE = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
SOUND = dict.fromkeys(KEYS_IN_FILE, "made-up")


def profile(values: Mapping[str, str], name: str = "default") -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


@pytest.fixture
def files(folder: Path, monkeypatch: pytest.MonkeyPatch, without_keys: None) -> Callable[[str, str], None]:
    """Writes the shared credentials file and the configuration file."""

    def write(credentials: str, config: str = "") -> None:
        for variable, text in {"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config}.items():
            file = folder / variable
            file.write_bytes(text.encode(errors="surrogateescape"))
            monkeypatch.setenv(variable, str(file))

    return write


@EACH_WAY
@pytest.mark.parametrize("key", KEYS_IN_FILE)
@pytest.mark.parametrize("value", ["CANARYß", "CANARY x", "CANARY\n continued CANARY", "\x01CANARY"])
@pytest.mark.parametrize("in_config", [False, True])
def test_a_key_of_a_profile_is_shown_nowhere(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    canary: Canaries,
    files: Callable[..., None],
    key: str,
    value: str,
    in_config: bool,
) -> None:
    text = profile({**SOUND, key: value.replace("CANARY", canary())})
    files(*(("", text) if in_config else (text, "")))
    aws = serve(lambda _: secret("x"))
    assert prefetch({"db": "prod/db"}) is not None
    code, message = reason_of(store)
    assert code in ("InvalidCredentials", "CredentialsUnavailable")
    assert "AWS profile" in message
    assert aws.requests == []


@EACH_WAY
@pytest.mark.parametrize(
    "text",
    [
        "[default\naws_secret_access_key = CANARY\n",
        "aws_secret_access_key = CANARY\n",
        "[default]\nCANARY\n",
        "[CANARY]\nx\n",
        "[default]\naws_access_key_id = a\naws_secret_access_key\n = CANARY\n",
        "\udcff\udcfe[default] CANARY",
        "[default]\naws_access_key_id = CANARY\n",
        "[default]\n aws_secret_access_key = CANARY\n",
        '{"default": "CANARY"}',
    ],
)
@pytest.mark.parametrize("in_config", [False, True])
def test_a_broken_file_of_profiles_is_not_repeated(
    prefetch: Prefetch, store: Store, canary: Canaries, files: Callable[..., None], text: str, in_config: bool
) -> None:
    text = text.replace("CANARY", canary())
    files(*(("", text) if in_config else (text, "")))
    assert prefetch({"db": "prod/db"}) is not None
    assert reason_of(store)[0] in (
        "CredentialsUnavailable",
        "NoCredentials",
        "InvalidCredentials",
        "InvalidFile",
    )


@EACH_WAY
@pytest.mark.parametrize(
    "settings",
    [
        {"role_arn": ROLE, "source_profile": "CANARY"},
        {"role_arn": ROLE, "source_profile": "default"},
        {"role_arn": ROLE, "credential_source": "CANARY"},
        {"role_arn": "CANARY"},
        {"role_arn": ROLE, "mfa_serial": "CANARY", "source_profile": "base"},
        {"role_arn": ROLE, "external_id": "CANARY ß", "source_profile": "base"},
        {"role_arn": ROLE, "web_identity_token_file": "/nowhere/CANARY"},
        {"sso_start_url": "https://CANARY.test", "sso_account_id": "1", "sso_role_name": "x"},
        {
            "sso_start_url": "https://CANARY.test",
            "sso_account_id": "CANARY",
            "sso_role_name": "CANARY",
            "sso_region": "eu-west-1",
        },
        {"sso_session": "CANARY", "sso_account_id": "1", "sso_role_name": "x"},
        {"login_session": "CANARY"},
        {"credential_process": "/nowhere/CANARY --secret CANARY"},
        {"credential_process": "PYTHON -c print('CANARY')"},
        {"credential_process": 'PYTHON -c print(\'{"Version":1,"AccessKeyId":"CANARY"}\')'},
        {"credential_process": "PYTHON -c exit('CANARY')"},
    ],
)
def test_what_a_profile_says_is_not_repeated(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    canary: Canaries,
    files: Callable[..., None],
    settings: dict[str, str],
) -> None:
    value = canary()

    def filled(text: str) -> str:
        return text.replace("CANARY", value).replace("PYTHON", sys.executable)

    text = profile({key: filled(setting) for key, setting in settings.items()})
    files(profile(SOUND, "base"), text)
    serve(lambda _: Answer(403, f"<html>{value}</html>".encode()))
    assert prefetch({"db": "prod/db"}) is not None
    reason_of(store)


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        (
            {
                "sso_start_url": "https://x.test",
                "sso_account_id": "1",
                "sso_role_name": "x",
                "sso_region": "eu-west-1",
            },
            "IAM Identity Center",
        ),
        ({"credential_process": "/bin/true"}, "a process"),
        ({"login_session": "x"}, "a login"),
    ],
)
def test_what_the_layer_does_not_do_is_reported_with_the_cure(
    prefetch: Prefetch, store: Store, files: Callable[..., None], settings: dict[str, str], origin: str
) -> None:
    files("", profile(settings))
    assert prefetch({"db": "prod/db"}) is not None
    assert reason_of(store) == (
        "CredentialsUnavailable",
        f'The AWS profile default takes its credentials from {origin}, which only "keystart pull" does. Set the '
        "variables that `aws configure export-credentials --format env` prints.",
    )


def credentials(**members: str) -> str:
    """Returns an answer of AssumeRole."""
    sound = {
        "AccessKeyId": "made-up",
        "SecretAccessKey": "made-up",
        "SessionToken": "made-up",
        "Expiration": "2999-01-01T00:00:00Z",
    }
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in {**sound, **members}.items() if value)
    return (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        f"{inner}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )


def stopped(document: str) -> str:
    return document[: document.index("<Expiration>")]


ROLE_ANSWERS = {
    "no token": credentials(SecretAccessKey="CANARY", SessionToken=""),
    "no key": credentials(SecretAccessKey="", SessionToken="CANARY"),
    "no key id": credentials(AccessKeyId="", SessionToken="CANARY"),
    "no end": credentials(SessionToken="CANARY", Expiration=""),
    "a line break": credentials(SessionToken="CANARY\nx"),
    "a letter": credentials(SecretAccessKey="CANARYß"),
    "half": stopped(credentials(SecretAccessKey="CANARY")),
    "half of a member": stopped(credentials(SecretAccessKey="CANARY"))[:-20],
    "an end that is none": credentials(SessionToken="CANARY", Expiration="CANARY"),
    "a page": "<html>CANARY</html>",
    "nothing": "<CANARY/>",
}


@pytest.mark.parametrize("broken", ROLE_ANSWERS)
def test_credentials_of_a_role_that_are_not_whole_are_refused_and_not_shown(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries, broken: str
) -> None:
    body = ROLE_ANSWERS[broken].replace("CANARY", canary()).encode()
    aws = serve(lambda _: Answer(200, body, {"Content-Type": "text/xml"}))
    assert prefetch({"db": {"secret": "prod/db", "role": ROLE}}, deadline="2s") is not None
    message = f"The endpoint's answer to sts:AssumeRole on {ROLE} is not one that AWS sends. Check AWS_ENDPOINT_URL."
    assert reason_of(store) == ("InvalidAnswer", message)
    assert set(aws.actions()) == {"AssumeRole"}


def test_credentials_of_a_role_that_have_expired_are_refused(
    prefetch: Prefetch, serve: Serve, store: Store, canary: Canaries
) -> None:
    body = credentials(SessionToken=canary(), Expiration="2016-01-01T00:00:00Z").encode()
    aws = serve(lambda _: Answer(200, body, {"Content-Type": "text/xml"}))
    assert prefetch({"db": {"secret": "prod/db", "role": ROLE}}) is not None
    message = f"sts:AssumeRole on {ROLE} returned credentials that have expired already. Check the clock."
    assert reason_of(store) == ("ExpiredTokenException", message)
    assert aws.actions() == ["AssumeRole"]


@EACH_WAY
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("of", ["role", "profile", "web identity"])
def test_what_is_in_the_place_of_sts_is_not_repeated(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    files: Callable[..., None],
    folder: Path,
    page: str,
    of: str,
) -> None:
    files(profile(SOUND, "base"))
    entry: Any = "prod/db"
    if of == "role":
        files(profile(SOUND))
        entry = {"secret": "prod/db", "role": ROLE}
    elif of == "profile":
        files(profile(SOUND, "base"), profile({"role_arn": ROLE, "source_profile": "base"}))
    else:
        token = folder / "token"
        token.write_text(canary())
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    answer = holding(PAGES[page], canary())
    serve(lambda _: answer)
    assert prefetch({"db": entry}, deadline="2s") is not None
    reason_of(store)


@EACH_WAY
@pytest.mark.parametrize("content", ["CANARY\n", "CANARY\udcff", "\x00CANARY", "{CANARY", None])
def test_the_token_of_a_web_identity_is_shown_nowhere(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    without_keys: None,
    folder: Path,
    content: str | None,
) -> None:
    token = folder / "token"
    if content is not None:
        token.write_bytes(content.replace("CANARY", canary()).encode(errors="surrogateescape"))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    error = b"<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>No</Message></Error></ErrorResponse>"
    serve(lambda _: Answer(400, error, {"Content-Type": "text/xml"}))
    assert prefetch({"db": "prod/db"}, deadline="2s") is not None
    code, message = reason_of(store)
    if content is None:
        assert (code, message.partition(" cannot be read: ")[2]) == (
            "CredentialsUnavailable",
            "No such file or directory.",
        )


@EACH_WAY
@pytest.mark.parametrize(
    ("broken", "by_file"), [(broken, by_file) for broken in list(BROKEN)[:4] for by_file in (False, True)]
)
def test_a_token_for_the_container_that_no_header_can_hold_is_not_shown(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    without_keys: None,
    folder: Path,
    broken: str,
    by_file: bool,
) -> None:
    token = BROKEN[broken][0](canary())
    if by_file:
        file = folder / "token"
        file.write_text(token, newline="")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
    else:
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
    with Stub(lambda _: Answer(500)) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        assert prefetch({"db": "prod/db"}, deadline="2s") is not None
    code, message = reason_of(store)
    if not by_file:
        assert code == "InvalidCredentials"
        assert message.startswith("AWS_CONTAINER_AUTHORIZATION_TOKEN holds ")


CONTAINER_ANSWERS = {
    **PAGES,
    "an error": Answer(200, b'{"Code": "CANARY", "Message": "CANARY"}'),
    "an error with 400": Answer(400, b'{"code": "CANARY", "message": "CANARY"}'),
    "half": Answer(200, b'{"AccessKeyId": "a", "SecretAccessKey": "CANARY"}'),
    "an end that is none": Answer(
        200,
        b'{"AccessKeyId": "a", "SecretAccessKey": "CANARY", "Token": "CANARY", "Expiration": "CANARY"}',
    ),
    "a key with a line break": Answer(
        200,
        b'{"AccessKeyId": "a", "SecretAccessKey": "CANARY\\n", "Token": "b", "Expiration": "2999-01-01T00:00:00Z"}',
    ),
    "a token with a letter": Answer(
        200,
        b'{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "CANARY\\u00df", "Expiration": "2999-01-01T00:00:00Z"}',
    ),
    "an empty key": Answer(
        200,
        b'{"AccessKeyId": "a", "SecretAccessKey": "", "Token": "CANARY", "Expiration": "2999-01-01T00:00:00Z"}',
    ),
    "numbers": Answer(
        200, b'{"AccessKeyId": 1, "SecretAccessKey": ["CANARY"], "Token": {}, "Expiration": 0}'
    ),
}


@EACH_WAY
@pytest.mark.parametrize("broken", CONTAINER_ANSWERS)
def test_what_the_containers_endpoint_answers_is_not_repeated(
    prefetch: Prefetch,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    without_keys: None,
    broken: str,
) -> None:
    answer = holding(CONTAINER_ANSWERS[broken], canary())
    aws = serve(lambda _: secret("x"))
    with Stub(lambda _: answer) as container:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        assert prefetch({"db": "prod/db"}, deadline="3s") is not None
    assert reason_of(store)[0] in ("CredentialsUnavailable", "InvalidCredentials", "DeadlineExceeded")
    assert aws.requests == []


@EACH_WAY
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user:CANARY@127.0.0.1:1/x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/CANARY"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "CANARY"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:CANARY/"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "CANARY ß"),
        ("AWS_ENDPOINT_URL", "http://user:CANARY@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/CANARY"),
        ("AWS_ENDPOINT_URL", "CANARY"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "ftp://CANARY"),
        ("AWS_CA_BUNDLE", "/nowhere/CANARY"),
        ("AWS_REGION", "CANARY\n"),
    ],
)
def test_an_address_with_a_password_is_not_repeated(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    variable: str,
    value: str,
) -> None:
    if variable.startswith("AWS_CONTAINER"):
        for key in KEYS:
            monkeypatch.delenv(key)
    monkeypatch.setenv(variable, value.replace("CANARY", canary()))
    assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    reason_of(store)


def refuse_to_tunnel(status: str) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.recv(65_536)
        page = "<html>CANARY</html>"
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode())

    return behave


PROXIES: Mapping[str, Callable[[socket.socket], object]] = {
    "asks for a password": refuse_to_tunnel("407 CANARY"),
    "refuses": refuse_to_tunnel("403 CANARY"),
    "is no proxy": lambda connection: connection.sendall(b"220 CANARY ready\r\n"),
    "closes": lambda connection: connection.recv(1),
}


@pytest.fixture
def proxied() -> Iterator[Callable[[Callable[[socket.socket], object]], str]]:
    """Serves as a proxy with a given behaviour, and returns its address."""
    listening: list[socket.socket] = []

    def start(behave: Callable[[socket.socket], object]) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize("kind", [*PROXIES, "is not there"])
def test_the_password_of_a_proxy_and_its_page_are_not_repeated(
    prefetch: Prefetch,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    canary: Canaries,
    proxied: Callable[[Callable[[socket.socket], object]], str],
    kind: str,
) -> None:
    page = canary()
    behave = PROXIES.get(kind)

    class CanaryConnection:
        """A connection whose answers hold the canary."""

        def __init__(self, connection: socket.socket) -> None:
            self.recv = connection.recv
            self._connection = connection

        def sendall(self, data: bytes) -> None:
            self._connection.sendall(data.replace(b"CANARY", page.encode()))

    address = "127.0.0.1:1"
    if behave is not None:
        address = proxied(lambda connection: behave(CanaryConnection(connection)))  # type: ignore[arg-type]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{canary()}@{address}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://secretsmanager.keystart.test")
    assert prefetch({"db": "prod/db"}, deadline="1s") is not None
    assert reason_of(store)[0] in ("ConnectionFailed", "DeadlineExceeded", "ProxyRefused")


@pytest.mark.parametrize("broken", ["a line break at the end", "a letter outside of ASCII"])
def test_the_process_says_it_to_nobody(
    launch: Launcher,
    lambda_api: Lambda,
    store: Store,
    canary: Canaries,
    serve: Serve,
    broken: str,
) -> None:
    serve(lambda _: secret("x"))
    spoil, flaw = BROKEN[broken]
    extension = launch(
        lambda_api,
        {"db": "prod/db"},
        AWS_SESSION_TOKEN=spoil(canary()),
        KEYSTART_LOG_LEVEL="DEBUG",
    )
    code, lines = extension.ended()
    canary.hear(repr([request.body for request in lambda_api.requests]))
    assert code == 1
    reason = f"AWS_SESSION_TOKEN holds {flaw}, which no credential has. Set it again without it."
    assert lines[1:] == [f"[keystart] ERROR db (secret prod/db in eu-west-1): InvalidCredentials: {reason}"]
    assert store.failures == {"db": ("InvalidCredentials", reason)}


def test_pull_says_it_to_nobody(
    keystart: Keystart, serve: Serve, monkeypatch: pytest.MonkeyPatch, canary: Canaries, tmp_path: Path
) -> None:
    page = canary()
    serve(lambda _: Answer(403, f"<html><body>{page}\nticket 12345</body></html>".encode()))
    (tmp_path / "keystart.json").write_text(json.dumps({"version": 1, "secrets": {"db": "prod/db"}}))
    code, out, error = keystart("pull", "keystart.json")
    assert (code, out) == (1, "")
    assert (
        "db (secret prod/db in eu-west-1): 403: Forbidden. A proxy, a firewall or a load balancer answered, not AWS."
        in error
    )
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{canary()}\n")
    code, out, error = keystart("pull", "keystart.json")
    assert (code, out) == (1, "")
    assert (
        "db (secret prod/db in eu-west-1): InvalidCredentials: AWS_SESSION_TOKEN holds a line break" in error
    )


def test_pull_says_that_a_code_of_mfa_cannot_be_typed_and_readers_do_not_wait(
    keystart: Keystart, files: Callable[..., None], store: Store, tmp_path: Path
) -> None:
    serial = "arn:aws:iam::123456789012:mfa/someone"
    files(profile(SOUND, "base"), profile({"role_arn": ROLE, "source_profile": "base", "mfa_serial": serial}))
    (tmp_path / "keystart.json").write_text(json.dumps({"version": 1, "secrets": {"db": "prod/db"}}))
    code, _, error = keystart("pull", "keystart.json")
    assert code == 1
    assert "Traceback" not in error
    assert store.state["state"] == "failed"
    reason = (
        "The AWS profile default asks for a code of MFA, and there is no terminal to type it at. Run this at a "
        "terminal, or set the variables that `aws configure export-credentials --format env` prints."
    )
    assert store.failures == {"db": ("CredentialsUnavailable", reason)}
