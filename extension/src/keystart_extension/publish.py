"""Publishes the result of a fetch, and removes it. It does not know its caller."""

from __future__ import annotations

import time

from . import __version__, core
from .core import CoreError, ffi, lib
from .store import Draft

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from .fetch import Failure, Fetch
    from .links import Links
    from .log import Log
    from .store import Writer

_VARIABLES = 5  # a form of keystart_plan_write
# The core's refusals that are not about the store: the fetched secrets do not fit into one.
_ABOUT_SECRETS = ("manifest_too_large", "name_conflict", "value_too_large")


class StartError(Exception):
    """A start that cannot continue: the error type for Lambda, a message, and the fetch that failed, if one did."""

    def __init__(self, error_type: str, message: str, fetch: Fetch | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.fetch = fetch

    def failures(self) -> list[Failure]:
        """Returns the failures of the required entries."""
        failures = [] if self.fetch is None else self.fetch.failures()
        return [failure for failure in failures if not failure.optional]

    def lines(self) -> list[str]:
        """Returns the message, and a line for each required entry that failed."""
        return [self.message, *map(str, self.failures())]


def links_of(plan: Any, writer: Writer) -> Links | None:
    """Returns the links of a plan, which is a handle or None; None without any. Only Square's file has links."""
    links = _counts(plan).links
    if not links:
        return None
    from .links import Links

    return Links((_link(plan, index) for index in range(links)), writer.root)


def variables_of(plan: Any) -> str:
    """Returns the names of the variables that the exec wrapper sets, by the handle of a plan or None."""
    return core.call_for_text(lib.keystart_plan_write, plan, _VARIABLES) if _counts(plan).variables else ""


def _counts(plan: Any) -> Any:
    counts = ffi.new("keystart_plan_counts *")
    if plan is not None:
        core.call(lib.keystart_plan_count, plan, counts)
    return counts


def _link(plan: Any, index: int) -> tuple[str, str]:
    """Returns the path of a link, and the name of the secret that it leads to."""
    out = ffi.new("keystart_link *")
    core.call(lib.keystart_plan_link, plan, index, out)
    home, path = core.copy_text(out.home, out.home_len), core.copy_text(out.path, out.path_len)
    return f"{home}/{path}", core.copy_text(out.name, out.name_len)


def check(fetch: Fetch) -> list[Failure]:
    """Returns the failures of optional entries, or raises `StartError` if a required one has failed."""
    failures = fetch.failures()
    if not all(failure.optional for failure in failures):
        raise StartError("Extension.SecretsUnavailable", "Required secrets could not be fetched.", fetch)
    return failures


def publish(
    links: Links | None,
    writer: Writer,
    log: Log,
    fetch: Fetch,
    began: float,
    refresh_after: float = 0,
    *,
    remark: str = "",
) -> int:
    """Publishes the result of a fetch, or raises `StartError`. Returns the number of the generation.

    The log says how long it took since `began`, with a `remark` at the end. `refresh_after` is when everything is
    fetched again; 0 means never.
    """
    for line in fetch.retries():
        log.debug(line)
    failures = check(fetch)
    try:
        # Links first: one that leads nowhere yet is harmless, and if making them fails nothing may
        # stay published.
        _make_links(links)
        draft = Draft()
        draft.take(fetch)
        if refresh_after:
            draft.schedule(refresh_after, 0)
        generation = writer.publish(draft)
    except CoreError as error:
        about = "SecretsUnavailable" if error.code in _ABOUT_SECRETS else "StoreUnusable"
        raise StartError(f"Extension.{about}", error.message) from None
    for line in fetch.warnings():
        log.warn(line)
    for failure in failures:
        log.warn(
            f"The optional secret {failure.label} is not available: {failure.code}: {failure.message}",
            event="secret_failed",
            **failure.members,
        )
    took = (time.monotonic() - began) * 1000
    secrets = "1 secret" if fetch.count == 1 else f"{fetch.count} secrets"
    log.info(
        f"published {secrets} as generation {generation} in {took:.0f} ms{remark}",
        event="start",
        secrets=fetch.count,
        failed=len(failures),
        generation=generation,
        duration_ms=round(took),
        version=__version__,
    )
    return generation


def give_up(error: StartError, writer: Writer, links: Links | None, log: Log) -> None:
    """Reports to readers why there are no secrets, and removes the links. For use without an extension."""
    refused = None
    try:
        writer.fail(error.message, error.fetch)
    except CoreError as failed:
        refused = failed
    remove_links(links, log)
    if refused is not None:
        log.error(str(refused))


def wipe(writer: Writer, links: Links | None, log: Log, reason: str | None = None) -> bool:
    """Removes the secrets and the links to them. It logs a failure, and removes the rest all the same.

    Readers report the reason, if there is one.
    """
    refused = None
    try:
        writer.stop(reason)
    except CoreError as error:
        refused = error
    unlinked = remove_links(links, log)
    if refused is not None:
        log.error(f"The secrets could not be removed: {refused}")
    return unlinked and refused is None


def check_links(links: Links | None) -> None:
    """Raises `StartError` if a link cannot be made. It changes nothing."""
    if links is None:
        return
    from .links import LinkError

    try:
        links.check()
    except LinkError as error:
        raise StartError("Extension.StoreUnusable", str(error)) from None


def _make_links(links: Links | None) -> None:
    if links is None:
        return
    from .links import LinkError

    try:
        links.make()
    except LinkError as error:
        raise StartError("Extension.StoreUnusable", str(error)) from None


def remove_links(links: Links | None, log: Log) -> bool:
    """Removes the links, and logs which cannot be removed."""
    if links is None:
        return True
    from .links import LinkError

    try:
        links.remove()
    except LinkError as error:
        log.error(str(error))
        return False
    return True
