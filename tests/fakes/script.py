"""A Secrets Manager whose answers a test changes."""

from __future__ import annotations

from collections.abc import Callable

from .aws import refusal, secret
from .http import Answer, Request, Stub

DENIED = refusal(400, "AccessDeniedException", "No.")


class Script(Stub):
    """Answers with values by id that a test changes. A callable makes the answer."""

    def __init__(self, **values: str | Answer | Callable[[Request], Answer | None]) -> None:
        super().__init__(self._answer)
        self.values = values
        self.asked: list[str] = []

    def _answer(self, request: Request) -> Answer | None:
        name = request.json["SecretId"]
        self.asked.append(name)
        value = self.values[name]
        if callable(value):
            return value(request)
        return secret(value, VersionId=f"v-{value}") if isinstance(value, str) else value
