"""Is the extension process: registers, prefetches beside the runtime's start, publishes, waits, wipes.

root prepared, state starting  ->  configuration  ->  register  ->  fetch, publish  ->  next … SHUTDOWN  ->  wipe
with `start: before`                                  fetch, publish  ->  register
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import PurePath
from types import FrameType
from typing import NoReturn

from keystart import KeystartError

from . import links
from .configuration import ConfigurationError, load
from .extensions_api import ApiError, ExtensionsApi
from .fetched import Secret, Unavailable
from .log import Log
from .plan import Plan
from .store import Writer

EXIT_FAILED = 1
EXIT_TERMINATED = 128 + signal.SIGTERM
_SHUTDOWN_ONLY = ("SHUTDOWN",)  # nothing in this version is done at an INVOKE


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for a failure."""


class Failed(Exception):
    """The start cannot go on: the error type for Lambda, a message, and the reason for each secret."""

    def __init__(
        self, error_type: str, message: str, failures: Mapping[str, Unavailable] | None = None
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.failures = dict(failures or {})


def run(environ: Mapping[str, str], executable: str) -> int:
    """Runs as the extension until SHUTDOWN and gives the exit code; `executable` names it for Lambda."""
    log = Log.from_environment(environ)
    signal.signal(signal.SIGTERM, _terminate)
    process = Process(environ, log, PurePath(executable).name)
    try:
        return process.run()
    except Terminated:
        log.warn("SIGTERM: the secrets are removed and the process ends.")
        process.wipe()
        return EXIT_TERMINATED


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


class Process:
    """One life of the extension."""

    def __init__(self, environ: Mapping[str, str], log: Log, name: str) -> None:
        self._environ = environ
        self._log = log
        self._name = name
        self._writer: Writer | None = None
        self._plan: Plan | None = None

    def run(self) -> int:
        try:
            api = ExtensionsApi(self._environ["AWS_LAMBDA_RUNTIME_API"], self._name)
        except ApiError as error:
            self._log.error(f"{error}. Nothing was fetched.")
            return EXIT_FAILED
        try:
            self._start(api)
        except ApiError as error:
            self._give_up(Failed("Extension.ApiFailed", f"{error}."))
            return EXIT_FAILED
        except Failed as failed:
            self._give_up(failed)
            self._report(api, failed)
            return EXIT_FAILED
        return self._wait(api)

    def _start(self, api: ExtensionsApi) -> None:
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
            api.register(_SHUTDOWN_ONLY)
        if self._environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            self._log.warn(
                "SnapStart: the secrets are fetched during Init, so the snapshot holds them for as long as it is kept."
            )
        publish(plan, writer, self._log)
        if plan.start == "before":
            api.register(_SHUTDOWN_ONLY)

    def _give_up(self, failed: Failed) -> None:
        """Tells the log and the readers why, so that neither waits for nothing."""
        self._log.error(failed.message)
        for name, why in failed.failures.items():
            self._log.error(f"{name}: {why.code}: {why.message}")
        if self._writer is not None:
            try:
                self._writer.fail(failed.message, failed.failures)
            except KeystartError as error:
                self._log.error(error.message)

    def _report(self, api: ExtensionsApi, failed: Failed) -> None:
        """init/error is legal only for who is registered (under `start: before` nobody is yet)."""
        try:
            if not api.registered:
                api.register(_SHUTDOWN_ONLY)
            api.init_error(failed.error_type, failed.message)
        except ApiError as error:
            self._log.error(f"{error}.")

    def _wait(self, api: ExtensionsApi) -> int:
        """Waits for SHUTDOWN; freezes and thaws with the environment."""
        while True:
            try:
                event = api.next()
            except ApiError as error:
                self._log.error(f"{error}. The secrets are removed and the process ends.")
                self.wipe()
                return EXIT_FAILED
            kind = event.get("eventType")
            if kind == "SHUTDOWN":
                return self.wipe()
            self._log.warn(f"An event that was not asked for is ignored: {str(kind)[:64]!r}.")

    def wipe(self) -> int:
        """Removes the secrets and the links to them, and gives the exit code."""
        try:
            if self._writer is not None:
                self._writer.stop()
            if self._plan is not None:
                links.remove(self._plan)
        except (KeystartError, links.LinkRefused, OSError) as error:
            self._log.error(f"The secrets could not be removed: {error}")
            return EXIT_FAILED
        self._log.debug("The secrets are removed.")
        return 0


def publish(plan: Plan, writer: Writer, log: Log, profile: str | None = None) -> int:
    """Fetches what the plan asks for and publishes it, or raises `Failed`; gives the generation."""
    # Imported here: boto3 costs 220-440 ms, and whoever registered before this line has the runtime starting meanwhile.
    from .aws import Aws
    from .prefetch import prefetch

    began = time.monotonic()
    outcomes = prefetch(plan, Aws(plan.region, plan.deadline, profile), log)
    secrets: list[Secret] = []
    optional: dict[str, Unavailable] = {}
    required: dict[str, Unavailable] = {}
    for entry in plan.entries:
        outcome = outcomes[entry.name]
        if not isinstance(outcome, Unavailable):
            secrets.extend(outcome)
        elif entry.optional:
            optional[entry.name] = outcome
        else:
            required[entry.name] = outcome
    if required:
        raise Failed("Extension.SecretsUnavailable", "Required secrets could not be fetched.", required)
    for name, why in optional.items():
        log.warn(f"The optional secret {name} is not available: {why.code}: {why.message}")
    try:
        generation = writer.publish(secrets, optional)
        links.make(plan, writer.root)
    except KeystartError as error:
        raise Failed("Extension.StoreUnusable", error.message) from None
    except links.LinkRefused as error:
        raise Failed("Extension.StoreUnusable", str(error)) from None
    except OSError as error:
        raise Failed("Extension.StoreUnusable", f"A link could not be made: {error}.") from None
    took = (time.monotonic() - began) * 1000
    log.info(f"published {len(secrets)} secrets as generation {generation} in {took:.0f} ms")
    return generation
