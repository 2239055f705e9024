"""Collects the processes' output, line by line, as it arrives. It does not start or end them."""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass

from .timeline import LogLine

CHUNK = 1 << 16


@dataclass
class _Pipe:
    descriptor: int
    who: str
    stream: str
    begun: bytes = b""  # a line whose end has not arrived yet

    def read(self, lines: list[LogLine]) -> bool:
        """Reads what is available; false at the end."""
        while True:
            try:
                chunk = os.read(self.descriptor, CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                self.finish(lines)
                return False
            *whole, self.begun = (self.begun + chunk).split(b"\n")
            lines.extend(self.line(text) for text in whole)

    def finish(self, lines: list[LogLine]) -> None:
        if self.begun:
            lines.append(self.line(self.begun))
        os.close(self.descriptor)

    def line(self, text: bytes) -> LogLine:
        return LogLine(time.monotonic_ns(), self.who, self.stream, text.decode("utf-8", "backslashreplace"))


class Output:
    """The lines of all processes of an environment. A thread reads them as they come."""

    def __init__(self) -> None:
        self._lines: list[LogLine] = []
        self._lock = threading.Lock()
        self._pipes: dict[int, _Pipe] = {}
        self._stop = os.eventfd(0)
        self._ready = select.epoll()
        self._ready.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._follow, name="output", daemon=True)
        self._thread.start()

    def attach(self, descriptor: int, who: str, stream: str) -> None:
        """Reads from this end of a pipe until it ends, and closes it then."""
        os.set_blocking(descriptor, False)
        with self._lock:
            self._pipes[descriptor] = _Pipe(descriptor, who, stream)
            self._ready.register(descriptor, select.EPOLLIN)

    def lines(self) -> list[LogLine]:
        """Returns every line so far, including all that was written before this call."""
        with self._lock:
            for pipe in list(self._pipes.values()):
                self._read(pipe)
            return list(self._lines)

    def close(self) -> None:
        """Stops reading. A process that the sandbox does not know may still hold a pipe, and keeps it."""
        self.lines()
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for pipe in self._pipes.values():
            pipe.finish(self._lines)
        self._pipes.clear()
        self._ready.close()
        os.close(self._stop)

    def _follow(self) -> None:
        while True:
            for descriptor, _ in self._ready.poll():
                if descriptor == self._stop:
                    return
                with self._lock:
                    if pipe := self._pipes.get(descriptor):
                        self._read(pipe)

    def _read(self, pipe: _Pipe) -> None:
        if not pipe.read(self._lines):
            del self._pipes[pipe.descriptor]  # closed, and therefore gone from the epoll too
