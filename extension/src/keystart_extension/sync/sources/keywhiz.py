"""Keywhiz, Square's server for secrets: as a client with a certificate, or through its automation API.

As a client it sees the secrets that are granted to the certificate, with their metadata. An automation client sees all
secrets, without metadata. Nothing that the server answers is repeated: a refusal of Keywhiz holds the client's record.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from getpass import getpass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import urllib3
from urllib3.util.ssl_ import create_urllib3_context

from ...deploy.terms import is_terminal
from ...files import FileError, read_bytes
from ..error import SyncError
from ..keys import Place, file_of, keys_of, text_of, truth_of
from ..secret import Value
from . import Entry
from .document import without_duplicates

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
_NO_PAIR = (
    "`source.keywhiz.certificate` and `key` must be files of PEM that belong together, and `ca` one of PEM."
)
_LONGEST_PHRASE = 1_023  # bytes, a limit of OpenSSL
_NEEDS_PHRASE = (
    "`source.keywhiz.key` has a pass phrase, and there is no terminal to ask at. Name a file that holds it with "
    "`passphrase_file`, or a variable with `passphrase_variable`."
)


class Settings(NamedTuple):
    """How to reach a server: its address, and files of PEM. The pass phrase of the key is in a file or a variable."""

    url: str
    certificate: Path
    key: Path
    authority: Path
    is_automation: bool = False
    passphrase_file: Path | None = None
    passphrase_variable: str | None = None


def source(document: object, place: Place) -> Keywhiz:
    """Reads `source.keywhiz` of a sync.yaml."""
    where = "source.keywhiz"
    files = ("certificate", "key", "ca")
    phrase = ("passphrase_file", "passphrase_variable")
    given = keys_of(document, where, required=("url", *files), optional=("automation", *phrase))
    if all(key in given for key in phrase):
        raise SyncError(f"`{where}` must not have both `passphrase_file` and `passphrase_variable`.")
    url = text_of(given["url"], f"{where}.url")
    if not url.startswith("https://"):
        raise SyncError(f"`{where}.url` must begin with https://")
    automation = truth_of(given.get("automation", False), f"{where}.automation")
    certificate, key, authority = (file_of(place, given[name], f"{where}.{name}") for name in files)
    named = {name: text_of(given[name], f"{where}.{name}") for name in phrase if name in given}
    return Keywhiz(
        Settings(
            url,
            certificate,
            key,
            authority,
            is_automation=automation,
            # It may not exist yet where a policy is printed.
            passphrase_file=place.folder / named["passphrase_file"] if "passphrase_file" in named else None,
            passphrase_variable=named.get("passphrase_variable"),
        )
    )


class _PassPhrase:
    """Answers OpenSSL, which asks for the pass phrase of a key only if the key has one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.problem: str | None = None  # why the key could not be used, if OpenSSL has asked

    def __call__(self) -> bytes:
        phrase = self._phrase()
        if len(phrase) > _LONGEST_PHRASE:
            raise SyncError(
                f"The pass phrase of `source.keywhiz.key` has more than {_LONGEST_PHRASE:,} bytes."
            )
        self.problem = (
            "The pass phrase does not open `source.keywhiz.key`, or `certificate` is not of that key."
        )
        return phrase

    def _phrase(self) -> bytes:
        file, variable = self._settings.passphrase_file, self._settings.passphrase_variable
        if file is not None:
            try:
                return read_bytes(file, 2 * _LONGEST_PHRASE).removesuffix(b"\n").removesuffix(b"\r")
            except FileError as error:
                raise SyncError(f"The file of `source.keywhiz.passphrase_file` {error}") from None
        if variable is not None:
            if (phrase := os.environb.get(os.fsencode(variable))) is None:
                raise SyncError("The variable of `source.keywhiz.passphrase_variable` is not set.")
            return phrase
        if not is_terminal(sys.stdin):
            raise SyncError(_NEEDS_PHRASE)
        try:
            return os.fsencode(getpass("Pass phrase of the key for Keywhiz: "))
        except EOFError:
            raise SyncError(_NEEDS_PHRASE) from None


class Keywhiz:
    """The secrets of a Keywhiz server."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.url.rstrip("/")
        self._is_automation = settings.is_automation
        self._settings = settings

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        """The connections. It is made with the first request, because it may ask for a pass phrase."""
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        phrase = _PassPhrase(self._settings)
        try:
            context.load_verify_locations(self._settings.authority)
            context.load_cert_chain(self._settings.certificate, self._settings.key, phrase)
        except (ssl.SSLError, OSError):
            raise SyncError(phrase.problem or _NO_PAIR) from None
        return urllib3.PoolManager(ssl_context=context, timeout=_PATIENCE, retries=_RETRIES)

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
            # Metadata can add a second `secret`.
            document: object = json.loads(data, object_pairs_hook=pairs or without_duplicates)
        except (ValueError, RecursionError):
            raise _unexpected_answer() from None
        return document


def _is_tls(error: BaseException) -> bool:
    """Returns whether TLS failed. urllib3 wraps that error once or twice."""
    inner = getattr(error, "reason", None)
    return isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError) or (
        isinstance(inner, BaseException) and _is_tls(inner)
    )


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
