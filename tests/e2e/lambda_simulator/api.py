"""Serves the Extensions API, the Runtime API and SnapStart's credentials over HTTP. It has no rules."""

from __future__ import annotations

import datetime
import hmac
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .control import Control, HangupError, Reply, error, json_reply
from .variables import Credentials

ANSWER = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")


class Api:
    """One environment's server, on its own port of the loopback interface."""

    def __init__(self, control: Control, now: Callable[[], float]) -> None:
        self.control = control
        self.now = now
        self.credentials: Credentials | None = None
        self.token = ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API: host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def offer_credentials(self, credentials: Credentials, token: str) -> None:
        """Returns these credentials to whoever shows the token."""
        self.credentials, self.token = credentials, token

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def credentials_for(self, token: str) -> Reply:
        """Answers GET /2021-04-23/credentials."""
        if self.credentials is None or not hmac.compare_digest(token.encode(), self.token.encode()):
            return Reply(
                404, b"cannot get credentials for the provided token\n", {"Content-Type": "text/plain"}
            )
        now = datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc)
        expires = now + datetime.timedelta(hours=6)
        document = {
            "AccessKeyId": self.credentials.access_key_id,
            "SecretAccessKey": self.credentials.secret_access_key,
            "Token": self.credentials.session_token,
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return json_reply(200, document)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a long poll would hold it up
    request_queue_size = 128
    api: Api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # clients keep their connection
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = self._route(body)
        except (HangupError, ConnectionError):
            self.close_connection = True
            return
        head = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Unknown',))[0]}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        head.append(f"Content-Length: {len(reply.body)}")
        try:
            # One write: head and body in two segments would wait for each other.
            self.wfile.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + reply.body)
        except ConnectionError:
            self.close_connection = True  # the caller was killed during its wait

    def _route(self, body: bytes) -> Reply:
        control = self.server.api.control
        identifier = self.headers.get("Lambda-Extension-Identifier", "")
        reported = self.headers.get("Lambda-Extension-Function-Error-Type", "")
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return error(411, "LengthRequired", "the simulator reads no chunked bodies")
        match (self.command, self.path):
            case ("POST", "/2020-01-01/extension/register"):
                name = self.headers.get("Lambda-Extension-Name", "")
                return control.register(name, self.headers.get("Lambda-Extension-Accept-Feature", ""), body)
            case ("GET", "/2020-01-01/extension/event/next"):
                return control.next_event(identifier)
            case ("POST", "/2020-01-01/extension/init/error"):
                return control.init_error(identifier, reported)
            case ("POST", "/2020-01-01/extension/exit/error"):
                return control.exit_error(identifier, reported)
            case ("GET", "/2018-06-01/runtime/invocation/next"):
                return control.next_invocation()
            case ("GET", "/2018-06-01/runtime/restore/next"):
                return control.restore_next()
            case ("POST", "/2018-06-01/runtime/init/error" | "/2018-06-01/runtime/restore/error"):
                return control.runtime_init_error(
                    self.headers.get("Lambda-Runtime-Function-Error-Type", ""), body
                )
            case ("GET", "/2021-04-23/credentials"):
                return self.server.api.credentials_for(self.headers.get("Authorization", ""))
            case ("POST", path) if found := ANSWER.fullmatch(path):
                return control.answer(found[1], body, is_error=found[2] == "error")
        return Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def log_message(self, *_: object) -> None:
        """Logs nothing: the timeline records what happened, and standard error is for people."""
