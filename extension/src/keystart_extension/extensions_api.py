"""Speaks Lambda's Extensions API through the core: register, next, init/error, exit/error. It knows nothing of secrets.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

from .core import ApiError, Task, lib, text

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


class ExtensionsApi:
    """The API at `address` (AWS_LAMBDA_RUNTIME_API: host and port), for the extension of the given name."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._identifier: str | None = None
        self._is_ready = False

    @property
    def registered(self) -> bool:
        return self._identifier is not None

    def register(self, begun: Task | None = None) -> None:
        """Registers for SHUTDOWN, unless that has begun; Lambda starts the runtime when every extension has."""
        if begun is None:
            begun = Task.start(lib.keystart_lambda_register, *text(self._address), *text(self._name))
        self._identifier = begun.wait()

    def next(self) -> str:
        """Says that this extension is ready, waits, for hours if need be, and gives the next event's type."""
        self._is_ready = True
        return self._call(lib.keystart_lambda_next, *text(self._known()))

    def report(self, error_type: str, message: str) -> None:
        """Reports that Init failed, or, after the first next, that the extension ends. It takes effect at the exit."""
        at_exit = int(self._is_ready)
        self._call(lib.keystart_lambda_fail, *text(self._known()), at_exit, *text(error_type), *text(message))

    def _known(self) -> str:
        if self._identifier is None:
            raise ApiError("The extension is not registered.")
        return self._identifier

    def _call(self, function: Any, *arguments: Any) -> str:
        return Task.start(function, *text(self._address), *arguments).wait()
