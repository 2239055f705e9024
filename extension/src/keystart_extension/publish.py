"""Publishes what a fetch has brought, and removes it; it does not know who asked for it."""

from __future__ import annotations

import time

from .core import CoreError
from .store import Draft

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from .fetch import Fetch
    from .links import Links
    from .log import Log
    from .store import Writer

# Refused by the core, but not because of the store: what was fetched does not fit into one.
_ABOUT_SECRETS = ("manifest_too_large", "name_conflict", "value_too_large")


class StartError(Exception):
    """A start that cannot continue: the error type for Lambda, a message, and the fetch whose failures are why."""

    def __init__(self, error_type: str, message: str, fetch: Fetch | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.fetch = fetch

    def lines(self) -> list[str]:
        """Returns the message, and a line for each required entry that failed."""
        failures = [] if self.fetch is None else self.fetch.failures()
        return [self.message, *(str(failure) for failure in failures if not failure.optional)]


def links_of(document: str, writer: Writer) -> Links | None:
    """Returns the links that a configuration asks for, of what the core wrote of them; only Square's has some."""
    if not document:
        return None
    import json

    from .links import Links

    return Links(**json.loads(document), root=writer.root)


def publish(links: Links | None, writer: Writer, log: Log, fetch: Fetch, began: float) -> None:
    """Publishes everything that a fetch has brought, or raises `StartError`. The log has the time since `began`."""
    for line in fetch.retries():
        log.debug(line)
    failures = fetch.failures()
    if not all(failure.optional for failure in failures):
        raise StartError("Extension.SecretsUnavailable", "Required secrets could not be fetched.", fetch)
    try:
        # First, because a link that leads nowhere yet hurts nobody, and a failure here must leave nothing published.
        _make_links(links)
        draft = Draft()
        draft.take(fetch)
        generation = writer.publish(draft)
    except CoreError as error:
        about = "SecretsUnavailable" if error.code in _ABOUT_SECRETS else "StoreUnusable"
        raise StartError(f"Extension.{about}", error.message) from None
    for failure in failures:
        log.warn(f"The optional secret {failure.name} is not available: {failure.code}: {failure.message}")
    took = (time.monotonic() - began) * 1000
    log.info(f"published {fetch.count} secrets as generation {generation} in {took:.0f} ms")


def give_up(error: StartError, writer: Writer, links: Links | None, log: Log) -> None:
    """Reports to readers why there will be no secrets, and removes the links, where no extension does it."""
    refused = None
    try:
        writer.fail(error.message, error.fetch)
    except CoreError as failed:
        refused = failed
    remove_links(links, log)
    if refused is not None:
        log.error(str(refused))


def wipe(writer: Writer, links: Links | None, log: Log) -> bool:
    """Removes the secrets and the links to them. What goes wrong is logged, and the rest is removed all the same."""
    refused = None
    try:
        writer.stop()
    except CoreError as error:
        refused = error
    unlinked = remove_links(links, log)
    if refused is not None:
        log.error(f"The secrets could not be removed: {refused}")
    return unlinked and refused is None


def _make_links(links: Links | None) -> None:
    if links is None:
        return
    from .links import LinkError

    try:
        links.make()
    except LinkError as error:
        raise StartError("Extension.StoreUnusable", str(error)) from None


def remove_links(links: Links | None, log: Log) -> bool:
    """Removes the links, and says in the log what cannot be removed."""
    if links is None:
        return True
    from .links import LinkError

    try:
        links.remove()
    except LinkError as error:
        log.error(str(error))
        return False
    return True
