"""Speaks Lambda's Extensions API: register, next, init/error, exit/error. It knows nothing of secrets.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any

_VERSION = "/2020-01-01/extension"
_TIMEOUT = 5.0  # seconds, for everything but `next`, which waits for as long as the environment is frozen


class ApiError(Exception):
    """The API could not be reached or refused a call."""


class ExtensionsApi:
    """One keep-alive connection to the API at `address` (AWS_LAMBDA_RUNTIME_API: host and port)."""

    def __init__(self, address: str, name: str) -> None:
        try:
            self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
        except http.client.InvalidURL:
            raise ApiError(f"AWS_LAMBDA_RUNTIME_API is not a host and port: {address!r}") from None
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
        identifier = response.getheader("Lambda-Extension-Identifier")
        if not identifier:
            raise ApiError("the Extensions API answered register without Lambda-Extension-Identifier")
        self._identifier = identifier

    def next(self) -> dict[str, Any]:
        """Says that this extension is ready and waits, for hours if need be, for the next event."""
        _, body = self._call("GET", "/event/next", self._known(), timeout=None)
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise ApiError("the Extensions API answered next with something that is no event")
        return event

    def init_error(self, error_type: str, message: str) -> None:
        """Reports that Init failed; legal after register and before the first next, then exit."""
        self._report("/init/error", error_type, message)

    def exit_error(self, error_type: str, message: str) -> None:
        """Reports why this process ends now."""
        self._report("/exit/error", error_type, message)

    def _report(self, path: str, error_type: str, message: str) -> None:
        headers = {**self._known(), "Lambda-Extension-Function-Error-Type": error_type}
        body = {"errorMessage": message, "errorType": error_type, "stackTrace": []}
        self._call("POST", path, headers, body)

    def _known(self) -> dict[str, str]:
        if self._identifier is None:
            raise ApiError("the extension is not registered")
        return {"Lambda-Extension-Identifier": self._identifier}

    def _call(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: dict[str, Any] | None = None,
        timeout: float | None = _TIMEOUT,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        data = None if body is None else json.dumps(body)
        try:
            response, content = self._exchange(method, path, headers, data, timeout)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ApiError(
                f"the Extensions API at {self._address} cannot be reached ({path}): {error}"
            ) from None
        if response.status not in (200, 202):
            text = content[:200].decode(errors="replace")
            raise ApiError(f"the Extensions API answered {response.status} to {path}: {text}")
        return response, content

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], data: str | None, timeout: float | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.timeout = timeout
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        self._connection.request(method, _VERSION + path, data, headers)
        response = self._connection.getresponse()
        return response, response.read()
