"""Lambda's Extensions API on loopback."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .http import API, Answer, Request, Stub

IDENTIFIER = "0f0c8a9e-identifier"
ERROR_TYPE = "Lambda-Extension-Function-Error-Type"


class Lambda(Stub):
    """The Extensions API, whose `/event/next` waits for `events`.

    `answers` replaces Lambda's answers by path. `looks` is called at register.
    """

    def __init__(self, looks: Callable[[], Any] = lambda: None) -> None:
        super().__init__(self._say)
        self.answers: dict[str, Answer | None] = {}
        self.events: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self.looks = looks
        self.seen_at_register: Any = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.events.put(None)  # a call that still waits
        super().__exit__(kind, error, trace)

    def send(self, kind: str) -> None:
        self.events.put(Answer(body=json.dumps({"eventType": kind}).encode()))

    @property
    def reported(self) -> list[tuple[str, str]]:
        """Returns the types and messages of the calls to init/error."""
        reports = [request for request in self.requests if request.path == API + "/init/error"]
        return [(report.headers[ERROR_TYPE], report.json["errorMessage"]) for report in reports]

    def _say(self, request: Request) -> Answer | None:
        path = request.path.removeprefix(API)
        if path == "/register":
            self.seen_at_register = self.looks()
        if path in self.answers:
            return self.answers[path]
        if path == "/register":
            return Answer(headers={"Lambda-Extension-Identifier": IDENTIFIER})
        if path == "/event/next":
            return self.events.get()
        return Answer(202)
