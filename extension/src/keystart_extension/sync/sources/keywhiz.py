"""Keywhiz, Square's server for secrets: as a client with a certificate, or through its automation API.

As a client it sees the secrets that are granted to the certificate, with their metadata. An automation client sees all
secrets, without metadata. Nothing that the server answers is repeated: a refusal of Keywhiz holds the client's record.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import urllib3

from ..error import SyncError
from ..keys import Place, file_of, keys_of, text_of, truth_of
from ..secret import Value
from . import Entry

_Pairs = Callable[[list[tuple[str, Any]]], dict[str, Any]]

_OWN = frozenset(
    ("name", "secret", "secretLength", "checksum", "creationDate", "updateDate", "isVersioned", "expiry")
)
_LARGEST_LIST = 64 << 20  # bytes of an answer that lists secrets
_LARGEST_SECRET = 1 << 20  # bytes of an answer with one secret
_PATIENCE = urllib3.Timeout(connect=10, read=30)  # seconds
_RETRIES = urllib3.Retry(
    3,
    backoff_factor=0.5,
    status_forcelist=(502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,  # it may ask for hours, and the lock of a sync ends sooner
)
_REASONS = {
    400: "Keywhiz does not accept the request.",
    401: "Keywhiz does not know the certificate. Check `certificate`, and that its name is a client of Keywhiz.",
    403: "It exists, and the client of the certificate may not read it. Grant it in Keywhiz.",
    404: "Keywhiz has no such secret.",
}
_NO_CONNECTION = "Keywhiz cannot be reached. Check `url`, and the way to it."
_NO_TRUST = (
    "The TLS handshake with Keywhiz failed. Check `ca`, `certificate` and `key`, and the name in `url`."
)


class Settings(NamedTuple):
    """How to reach a server: its address, and files of PEM."""

    url: str
    certificate: Path
    key: Path
    authority: Path
    is_automation: bool = False


def source(document: object, place: Place) -> Keywhiz:
    """Reads `source.keywhiz` of a sync.yaml."""
    where = "source.keywhiz"
    files = ("certificate", "key", "ca")
    given = keys_of(document, where, required=("url", *files), optional=("automation",))
    url = text_of(given["url"], f"{where}.url")
    if not url.startswith("https://"):
        raise SyncError(f"`{where}.url` must begin with https://")
    automation = truth_of(given.get("automation", False), f"{where}.automation")
    certificate, key, authority = (file_of(place, given[name], f"{where}.{name}") for name in files)
    return Keywhiz(Settings(url, certificate, key, authority, is_automation=automation))


class Keywhiz:
    """The secrets of a Keywhiz server."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.url.rstrip("/")
        self._is_automation = settings.is_automation
        self._pool = urllib3.PoolManager(
            cert_file=str(settings.certificate),
            key_file=str(settings.key),
            ca_certs=str(settings.authority),
            cert_reqs="CERT_REQUIRED",
            timeout=_PATIENCE,
            retries=_RETRIES,
        )

    def entries(self) -> Iterator[Entry]:
        """Lists the secrets that the client may read."""
        path = "/automation/v2/secrets" if self._is_automation else "/secrets"
        answer = self._ask("GET", path, _LARGEST_LIST, pairs=_listed)
        if not isinstance(answer, list):
            raise _unexpected_answer()
        for item in answer:
            if self._is_automation:
                yield Entry(_name(item))
            else:
                yield _entry(item)

    def read(self, entry: Entry) -> Value:
        """Reads one secret."""
        if self._is_automation:
            body = {"secrets": [entry.name]}
            answer = self._ask("POST", "/automation/v2/secrets/request/contents", _LARGEST_SECRET, body)
            return Value.of(_content(_mapping(_mapping(answer).get("successSecrets")).get(entry.name)))
        answer = _mapping(self._ask("GET", f"/secret/{quote(entry.name, safe='')}", _LARGEST_SECRET))
        content = _content(answer.get("secret"))
        if answer.get("name") != entry.name or answer.get("secretLength") != len(content):
            # Metadata with the key `secret` or `name` would replace the real one.
            raise SyncError(
                "Keywhiz returned another secret, or one whose length is wrong. Look at its metadata."
            )
        return Value.of(content)

    def _ask(
        self, method: str, path: str, largest: int, body: object = None, *, pairs: _Pairs | None = None
    ) -> object:
        try:
            answer = self._pool.request(
                method, self._url + path, json=body, preload_content=False, redirect=False
            )
            data = answer.read(largest + 1, decode_content=True)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SyncError(_NO_TRUST if _is_tls(error) else _NO_CONNECTION) from None
        if answer.status != 200:
            raise SyncError(_REASONS.get(answer.status, f"Keywhiz answered with the status {answer.status}."))
        if len(data) > largest:
            raise SyncError(f"The answer of Keywhiz has more than {largest:,} bytes.")
        try:
            document: object = json.loads(data, object_pairs_hook=pairs or _without_duplicates)
        except (ValueError, RecursionError):
            raise _unexpected_answer() from None
        return document


def _is_tls(error: BaseException) -> bool:
    """Returns whether TLS failed. urllib3 wraps that error once or twice."""
    inner = getattr(error, "reason", None)
    return isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError) or (
        isinstance(inner, BaseException) and _is_tls(inner)
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key that stands twice: metadata can add a second `secret`, and JSON would take the last one."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError
    return document


def _listed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keeps the name alone of an entry that has a key twice, so that it stops no other one. `read` will refuse it."""
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    names = [value for key, value in pairs if key == "name"]
    if len(names) != 1:  # it hides the real name, so the list is not whole
        raise ValueError
    return {"name": names[0]}


def _entry(item: object) -> Entry:
    document = _mapping(item)
    metadata = {key: value for key, value in document.items() if key not in _OWN and isinstance(value, str)}
    return Entry(_name(document.get("name")), metadata)


def _name(item: object) -> str:
    if not isinstance(item, str) or not item or any("\ud800" <= character <= "\udfff" for character in item):
        raise _unexpected_answer()  # half of a surrogate pair cannot be sent back in a path
    return item


def _mapping(item: object) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    raise _unexpected_answer()


def _content(item: object) -> bytes:
    if not isinstance(item, str):
        raise SyncError(_REASONS[404])
    try:
        return base64.b64decode(item, validate=True)
    except ValueError:  # binascii.Error is one, and characters outside of ASCII raise one
        raise _unexpected_answer() from None


def _unexpected_answer() -> SyncError:
    return SyncError("The server returned an answer that Keywhiz would not. Check `url`.")
