"""Fetches what a plan asks for and publishes it, or says why it cannot; it does not know who asked for it."""

from __future__ import annotations

import time

from .core import CoreError
from .store import Draft

TYPE_CHECKING = False  # typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .fetched import Fetched, Unavailable
    from .links import Links
    from .log import Log
    from .store import Writer

    Fetch = Callable[[], Fetched]

# Refused by the core, but not because of the store: what was fetched does not fit into one.
_ABOUT_SECRETS = ("manifest_too_large", "name_conflict", "value_too_large")


class Failed(Exception):
    """The start cannot go on: the error type for Lambda, a message, and the reason for each secret."""

    def __init__(
        self, error_type: str, message: str, failures: Mapping[str, Unavailable] | None = None
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.failures = dict(failures or {})

    def lines(self) -> list[str]:
        """Gives the message, and a line for each secret."""
        return [self.message, *(f"{name}: {why.code}: {why.message}" for name, why in self.failures.items())]


def links_of(document: str, writer: Writer) -> Links | None:
    """Returns the links that a configuration asks for, of what the core wrote of them; only Square's has some."""
    if not document:
        return None
    import json

    from .links import Links

    return Links(**json.loads(document), root=writer.root)


def publish(links: Links | None, writer: Writer, log: Log, fetch: Fetch, began: float) -> None:
    """Fetches and publishes everything, or raises `Failed`. The log tells the time since `began`."""
    fetched = fetch()
    if fetched.required:
        message = "Required secrets could not be fetched."
        raise Failed("Extension.SecretsUnavailable", message, fetched.required)
    try:
        # First, because a link that leads nowhere yet hurts nobody, and a failure here must leave nothing published.
        _make_links(links)
        draft = Draft()
        fetched.fill(draft)
        for name, why in fetched.optional.items():
            draft.mark(name, why)
        generation = writer.publish(draft)
    except CoreError as error:
        about = "SecretsUnavailable" if error.code in _ABOUT_SECRETS else "StoreUnusable"
        raise Failed(f"Extension.{about}", error.message) from None
    for name, why in fetched.optional.items():
        log.warn(f"The optional secret {name} is not available: {why.code}: {why.message}")
    took = (time.monotonic() - began) * 1000
    log.info(f"published {fetched.count} secrets as generation {generation} in {took:.0f} ms")


def give_up(failed: Failed, writer: Writer, links: Links | None, log: Log) -> None:
    """Tells the readers why there will be no secrets, so that none waits for nothing."""
    refused = None
    try:
        writer.fail(failed.message, failed.failures)
    except CoreError as error:
        refused = error
    _remove_links(links, log)
    if refused is not None:
        log.error(str(refused))


def wipe(writer: Writer, links: Links | None, log: Log) -> bool:
    """Removes the secrets and the links to them. What goes wrong is logged, and the rest is removed all the same."""
    refused = None
    try:
        writer.stop()
    except CoreError as error:
        refused = error
    unlinked = _remove_links(links, log)
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
        raise Failed("Extension.StoreUnusable", str(error)) from None


def _remove_links(links: Links | None, log: Log) -> bool:
    if links is None:
        return True
    from .links import LinkError

    try:
        links.remove()
    except LinkError as error:
        log.error(str(error))
        return False
    return True
