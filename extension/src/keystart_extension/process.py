"""Is the extension process: registers, prefetches beside the runtime's start, publishes, waits, wipes.

root prepared, state starting  ->  configuration  ->  register  ->  fetch, publish  ->  next … SHUTDOWN  ->  wipe
with `start: before`                                  fetch, publish  ->  register
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

from keystart import KeystartError

from .configuration import ConfigurationError, load
from .extensions_api import ApiError, ExtensionsApi
from .log import Log
from .plan import Plan
from .publish import Failed, Source, give_up, publish, wipe
from .store import Writer

EXIT_FAILED = 1
EXIT_TERMINATED = 128 + signal.SIGTERM
_SHUTDOWN_ONLY = ("SHUTDOWN",)  # nothing in this version is done at an INVOKE


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for a failure."""


def run(environ: Mapping[str, str], executable: str) -> int:
    """Runs as the extension until SHUTDOWN and gives the exit code; `executable` names it for Lambda."""
    log = Log.from_environment(environ)
    # Lambda has no instance metadata. Without credentials boto3 would ask for it, and hang instead of saying so.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    signal.signal(signal.SIGTERM, _terminate)
    process = Process(environ, log, executable.rpartition("/")[2])
    try:
        return process.run()
    except Terminated:
        log.warn("SIGTERM: the secrets are removed and the process ends.")
        process.wipe()
        return EXIT_TERMINATED


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # A second one must not come between the first and the end of the wipe.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


class Process:
    """One life of the extension."""

    def __init__(self, environ: Mapping[str, str], log: Log, name: str) -> None:
        self._environ = environ
        self._log = log
        self._api = ExtensionsApi(environ["AWS_LAMBDA_RUNTIME_API"], name)
        self._writer: Writer | None = None
        self._plan: Plan | None = None
        self._published = False

    def run(self) -> int:
        try:
            self._start()
            self._wait()
            return self.wipe()
        except ApiError as error:
            self._log.error(str(error))
            if self._published:
                self.wipe()
            else:
                self._tell_readers(Failed("Extension.ApiFailed", str(error)))
        except Failed as failed:
            self._give_up(failed)
        except Exception as bug:
            # Without its text, which may hold what was fetched.
            self._give_up(Failed("Extension.Internal", _told(bug)))
        return EXIT_FAILED

    def wipe(self) -> int:
        """Removes the secrets and the links to them, and gives the exit code."""
        done = self._writer is None or wipe(self._writer, self._plan, self._log)
        return 0 if done else EXIT_FAILED

    def _start(self) -> None:
        try:
            # Before registering: a reader that finds no root knows that no extension is attached (contract 3.3).
            self._writer = writer = Writer()
        except KeystartError as error:
            raise Failed("Extension.StoreUnusable", error.message) from None
        try:
            self._plan = plan = load(self._environ)
        except ConfigurationError as error:
            raise Failed("Extension.ConfigurationInvalid", str(error)) from None
        if plan.start == "overlap":
            self._api.register(_SHUTDOWN_ONLY)
        if self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            self._log.warn(
                "SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as it is kept."
            )
        publish(plan, writer, self._log, _source(self._environ))
        self._published = True
        if plan.start == "before":
            self._api.register(_SHUTDOWN_ONLY)

    def _wait(self) -> None:
        """Waits for SHUTDOWN; freezes and thaws with the environment."""
        while (kind := self._api.next()) != "SHUTDOWN":
            self._log.warn(f"An event that was not asked for is ignored: {kind[:64]!r}.")

    def _give_up(self, failed: Failed) -> None:
        """Tells the log, the readers and Lambda why."""
        for line in failed.lines():
            self._log.error(line)
        self._tell_readers(failed)
        try:
            # init/error is legal only for who is registered, which under `start: before` nobody is yet.
            if not self._api.registered:
                self._api.register(_SHUTDOWN_ONLY)
            self._api.init_error(failed.error_type, failed.message)
        except ApiError as error:
            self._log.error(str(error))

    def _tell_readers(self, failed: Failed) -> None:
        if self._writer is not None:
            give_up(failed, self._writer, self._plan, self._log)


def _source(environ: Mapping[str, str]) -> Source:
    if environ.get("KEYSTART_SOURCE") == "boto3":
        # Imported here: it costs 220-440 ms, and whoever registered before has the runtime starting meanwhile.
        from .sources import boto3

        return boto3.fetch
    from .sources import native

    return native.fetch


def _told(bug: Exception) -> str:
    where = bug.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = (
        ""
        if where is None
        else f" in {where.tb_frame.f_code.co_filename.rpartition('/')[2]}:{where.tb_lineno}"
    )
    return f"Keystart failed in a way it should not: {type(bug).__name__}{place}. Please report it."
