"""Speaks Lambda's Extensions API: register, next, init/error. It knows nothing of secrets.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .names import quote

_VERSION = "/2020-01-01/extension"
_TIMEOUT = 5.0  # seconds, for everything but `next`, which waits for as long as the environment is frozen


class ApiError(Exception):
    """The API could not be reached or refused a call; the message is a sentence."""


class ExtensionsApi:
    """The API at `address` (AWS_LAMBDA_RUNTIME_API: host and port), for the extension of the given name."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._identifier: str | None = None

    @property
    def registered(self) -> bool:
        return self._identifier is not None

    def register(self, events: Sequence[str]) -> None:
        """Registers; Lambda starts the runtime when every extension has."""
        headers = {"Lambda-Extension-Name": self._name}
        response, _ = self._call("POST", "/register", headers, {"events": list(events)})
        self._identifier = response.getheader("Lambda-Extension-Identifier")
        if not self._identifier:
            raise ApiError("The Extensions API answered /register without Lambda-Extension-Identifier.")

    def next(self) -> str:
        """Says that this extension is ready, waits, for hours if need be, and gives the next event's type."""
        _, body = self._call("GET", "/event/next", self._known(), timeout=None)
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        kind = event.get("eventType") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            raise ApiError("The Extensions API answered /event/next with something that is no event.")
        return kind

    def init_error(self, error_type: str, message: str) -> None:
        """Reports that Init failed; legal after register and before the first next. It takes effect at the exit."""
        headers = {**self._known(), "Lambda-Extension-Function-Error-Type": error_type}
        body = {"errorMessage": message, "errorType": error_type, "stackTrace": []}
        self._call("POST", "/init/error", headers, body)

    def _known(self) -> dict[str, str]:
        if self._identifier is None:
            raise ApiError("The extension is not registered.")
        return {"Lambda-Extension-Identifier": self._identifier}

    def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        timeout: float | None = _TIMEOUT,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        host, colon, port = self._address.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):
            raise ApiError(f"AWS_LAMBDA_RUNTIME_API must be a host and a port, found {quote(self._address)}.")
        # A connection for each call: one that is kept may be dropped by the other side during a long fetch or a freeze.
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.request(
                method, _VERSION + path, None if body is None else json.dumps(body), dict(headers)
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise ApiError(
                f"The Extensions API at {self._address} cannot be reached for {path}: {_why(error)}."
            ) from None
        finally:
            connection.close()
        if response.status not in (200, 202):
            text = content[:200].decode(errors="replace")
            raise ApiError(f"The Extensions API answered {response.status} to {path}: {quote(text)}.")
        return response, content


def _why(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
