"""Fetches and publishes once, with a person's login, for `keystart pull`."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .aws.fetch import fetch
from .core import CoreError
from .log import Log
from .process import place_of
from .publish import StartError, check_links, give_up, links_of, publish
from .store import Writer

if TYPE_CHECKING:
    from .links import Links
    from .plan import Plan

_FAILED = 1
_SIGNALLED = 128  # as a shell reports a signal, plus its number


class PullError(Exception):
    """Nothing new is published. The message says why, and `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def pull(plan: Plan, root: str | None, profile: str | None) -> str:
    """Publishes what a plan asks for, and returns the folder of the secrets. Raises `PullError` or `CoreError`."""
    log = Log()
    # What is published stays until there is something new. Where nothing is, readers wait from now on.
    before = _published(root)
    writer = Writer.open(root, keeps=before is not None)
    links = links_of(plan.handle, writer)
    count = plan.counts.entries
    log.info(f"fetching {count} {'entry' if count == 1 else 'entries'} of {plan.source}")
    code = _FAILED
    try:
        with _signals_raised():
            check_links(links)
            fetched = fetch(plan, profile)
            publish(links, writer, log, fetched, time.monotonic())
    except StartError as error:
        failed = error
    except CoreError as error:
        failed = StartError("Extension.StoreUnusable", error.message)
    except (KeyboardInterrupt, _Termination) as ended:
        number = signal.SIGINT if isinstance(ended, KeyboardInterrupt) else ended.number
        failed = StartError("Extension.Interrupted", f"keystart pull was ended by {number.name}.")
        code = _SIGNALLED + number
    except Exception as bug:
        # Without the error's text, which may hold anything.
        failed = StartError("Extension.Internal", place_of(bug))
    else:
        return f"{writer.root}/current/secrets"
    lines = failed.lines()
    if before is None:
        give_up(failed, writer, links, log)
    elif before == _published(root):
        lines += _put_back(links)
        lines.append("What was published before stays.")
    raise PullError("\n  - ".join(lines), code)


def _published(root: str | None) -> str | None:
    """Returns where readers find secrets in the store; None if they find none."""
    from keystart import Keystart, KeystartError

    try:
        snapshot = Keystart(root, timeout=0).snapshot()
        return snapshot.path(snapshot.names()[0]) if snapshot.names() else ""
    except KeystartError:
        return None


def _put_back(links: Links | None) -> list[str]:
    """Puts back the links of what stays published, and returns what fails."""
    if links is None:
        return []
    from .links import LinkError

    try:
        links.restore()
    except LinkError as error:
        return [str(error)]
    return []


class _Termination(BaseException):
    """A signal asks the process to end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Raises `_Termination` where SIGTERM or SIGHUP would end the process without a word."""

    def end(number: int, _: object) -> None:
        raise _Termination(signal.Signals(number))

    own = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in own}
    try:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:  # nohup has SIGHUP ignored
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
