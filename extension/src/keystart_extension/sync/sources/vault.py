"""HashiCorp Vault, or OpenBao: the secrets of one KV version 2 mount, through hvac.

An entry is a secret below `path`. Its value is its data as a JSON object, with sorted keys, so that the same data is
always the same text. Nothing that the server answers is repeated.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import hvac
import requests
from hvac.adapters import JSONAdapter, RawAdapter
from hvac.exceptions import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    Unauthorized,
    VaultError,
)
from urllib3.util import Retry

from ...files import FileError, read_text
from ..error import SyncError
from ..keys import Place, file_of, keys_of, text_of, truth_of
from ..secret import Value
from . import Entry
from .document import exact, without_duplicates

_Method = Literal["token", "approle", "kubernetes", "jwt"]

_WHERE = "source.vault"
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")  # a Vault agent listens there without TLS
_PATIENCE = (10, 30)  # seconds, to connect and to read
_LONGEST_PATH = 1_024  # characters; a deeper tree has no end
_MARGIN = 60  # seconds before a token expires
_LARGEST_TOKEN = 64 << 10  # bytes
_DENIED = (
    "Vault denies it. Allow `list` and `read` on metadata/ and `read` on data/ in a policy of the token, and check "
    "that the token has not expired."
)
_NO_CONNECTION = f"Vault cannot be reached. Check `{_WHERE}.url`, and the way to it."
_NO_TRUST = f"The TLS handshake with Vault failed. Check `{_WHERE}.ca`, and the name in `url`."
_NO_HEADER = (
    f"The token for Vault, or `{_WHERE}.namespace`, holds characters that no header can hold. Correct it."
)
_MISSING = "Vault has nothing at {}. Check `mount`, which must be of KV version 2, `path` and `namespace`."


@dataclass(frozen=True)
class Login:
    """How to log in: the method, where it is mounted, and what it needs. Credentials are in files only."""

    method: _Method = "token"
    mount: str = ""
    role: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Settings:
    """How to reach the secrets. `path` is empty, or ends with a slash."""

    url: str
    mount: str = "secret"
    path: str = ""
    namespace: str | None = None
    authority: Path | None = None
    has_metadata: bool = False
    login: Login = field(default_factory=Login)


def source(document: object, place: Place) -> Vault:
    """Reads `source.vault` of a sync.yaml."""
    options = ("mount", "path", "namespace", "ca", "metadata", "auth")
    given = keys_of(document, _WHERE, required=("url",), optional=options)
    url = text_of(given["url"], f"{_WHERE}.url")
    try:
        address = urlsplit(url)
    except ValueError:
        raise SyncError(f"`{_WHERE}.url` is not a URL.") from None
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
        raise SyncError(f"`{_WHERE}.url` must begin with https://, except on loopback.")
    path = text_of(given["path"], f"{_WHERE}.path").strip("/") + "/" if "path" in given else ""
    if path and not _is_sound(path):
        raise SyncError(f"`{_WHERE}.path` is not a path of Vault.")
    return Vault(
        Settings(
            url=url.rstrip("/"),
            mount=text_of(given.get("mount", "secret"), f"{_WHERE}.mount").strip("/"),
            path=path,
            namespace=text_of(given["namespace"], f"{_WHERE}.namespace") if "namespace" in given else None,
            authority=file_of(place, given["ca"], f"{_WHERE}.ca") if "ca" in given else None,
            has_metadata=truth_of(given.get("metadata", False), f"{_WHERE}.metadata"),
            login=_login(given.get("auth", {"token": {}}), place),
        )
    )


def _login(document: object, place: Place) -> Login:
    where = f"{_WHERE}.auth"
    methods: tuple[_Method, ...] = ("token", "approle", "kubernetes", "jwt")
    given = keys_of(document, where, optional=methods)
    if len(given) != 1:
        raise SyncError(f"`{where}` must have exactly one of these keys: {', '.join(methods)}.")
    method = next(name for name in methods if name in given)
    where = f"{where}.{method}"
    if method == "token":
        known = keys_of(given[method], where, optional=("token_file",))
        return Login(file=_path(place, known["token_file"], where) if known else None)
    if method == "approle":
        known = keys_of(given[method], where, required=("role_id", "secret_id_file"), optional=("mount",))
        role, file = known["role_id"], known["secret_id_file"]
    elif method == "kubernetes":
        known = keys_of(given[method], where, required=("role",), optional=("token_file", "mount"))
        role, file = known["role"], known.get("token_file", _SERVICE_ACCOUNT)
    else:
        known = keys_of(given[method], where, required=("role", "token_file"), optional=("mount",))
        role, file = known["role"], known["token_file"]
    mount = text_of(known.get("mount", method), f"{where}.mount").strip("/")
    return Login(method, mount, text_of(role, f"{where}.role"), _path(place, file, where))


def _path(place: Place, value: object, where: str) -> Path:
    """Returns the path of a file that may not exist yet where a policy is printed."""
    return place.folder / text_of(value, where)


class _Adapter(JSONAdapter):  # type: ignore[misc]  # hvac has no types
    """Reads answers without changing them: hvac's own adapter rounds numbers, and takes the last of two equal keys."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        answer = RawAdapter.request(self, *arguments, **options)
        if answer.status_code != 200:  # a redirect, or nothing
            raise _unexpected_answer()
        return _document(answer.content)


class Vault:
    """The secrets below one path of a mount. It logs in with the first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._expires = 0.0

    def entries(self) -> Iterator[Entry]:
        """Lists the secrets below the path, folder by folder. A folder that cannot be listed ends it with an error."""
        folders = [""]
        while folders:
            folder = folders.pop()
            for key in self._keys(folder):
                if len(folder) + len(key) > _LONGEST_PATH or not _is_sound(key):
                    raise SyncError(
                        "Vault has a secret whose path is too long, or holds what no path may hold."
                    )
                if key.endswith("/"):
                    folders.append(folder + key)
                else:
                    yield Entry(folder + key, self._metadata(folder + key))

    def read(self, entry: Entry) -> Value:
        """Reads the current version of one secret."""
        path = self._settings.path + entry.name
        mount = self._settings.mount
        try:
            answer = self._ask(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path, mount_point=mount, raise_on_deleted_version=True
                )
            )
        except InvalidPath as error:
            raise SyncError(_why_missing(error)) from None
        data = _mapping(_mapping(answer.get("data")).get("data"))
        return Value.of_text(json.dumps(data, ensure_ascii=False, sort_keys=True))

    def _keys(self, folder: str) -> list[str]:
        path = self._settings.path + folder
        mount = self._settings.mount
        try:
            answer = self._ask(lambda client: client.secrets.kv.v2.list_secrets(path, mount_point=mount))
        except InvalidPath:
            # An empty mount answers like one that does not exist. A wrong guess could delete every copy.
            raise SyncError(_MISSING.format(f"{mount}/{path}")) from None
        found = _mapping(answer.get("data")).get("keys")
        if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
            raise _unexpected_answer()
        return found

    def _metadata(self, name: str) -> Mapping[str, str]:
        if not self._settings.has_metadata:
            return {}
        path = self._settings.path + name
        mount = self._settings.mount
        try:
            answer = self._ask(
                lambda client: client.secrets.kv.v2.read_secret_metadata(path, mount_point=mount)
            )
        except InvalidPath:
            raise SyncError(
                f"{name} vanished from Vault while the sync listed it. Run the sync again."
            ) from None
        data = _mapping(answer.get("data"))
        custom = _mapping(data.get("custom_metadata") or {})
        return {
            **{key: str(value) for key, value in custom.items()},
            "version": str(data.get("current_version")),
        }

    def _ask(self, call: Callable[[Any], Any]) -> dict[str, Any]:
        """Makes one call after the login, and puts every failure into our words. InvalidPath is the caller's."""
        try:
            if self._client is None or time.monotonic() > self._expires:
                self._client = self._log_in()
            return _mapping(call(self._client))
        except InvalidPath:
            raise
        except VaultError as error:
            reason = _reason(error)
        except requests.exceptions.SSLError:
            reason = _NO_TRUST
        except (requests.exceptions.InvalidHeader, UnicodeError):
            reason = _NO_HEADER
        except (requests.exceptions.RequestException, OSError):
            reason = _NO_CONNECTION
        raise SyncError(reason)

    def _log_in(self) -> Any:
        settings, login = self._settings, self._settings.login
        session = requests.Session()
        # hvac itself looks at the variable only if it makes the session.
        session.verify = str(settings.authority or os.environ.get("VAULT_CACERT") or "") or True
        retries = Retry(
            3,
            backoff_factor=0.5,
            allowed_methods=None,  # LIST is not in the list of the library
            # 412: a node of a cluster that does not know a write yet
            status_forcelist=(412, 429, 502, 503, 504),
            raise_on_status=False,
            respect_retry_after_header=False,  # it may ask for hours, and the lock of a sync ends sooner
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
        # A redirect would take the token to another host.
        client = hvac.Client(
            settings.url,
            token=self._token() if login.method == "token" else "",
            session=session,
            timeout=_PATIENCE,
            allow_redirects=False,
            adapter=_Adapter,
            namespace=settings.namespace,
        )
        self._expires = float("inf")
        if login.method == "token":
            return client
        credential = _credential(login.file)
        try:
            if login.method == "approle":
                answer = client.auth.approle.login(login.role, credential, mount_point=login.mount)
            elif login.method == "kubernetes":
                answer = client.auth.kubernetes.login(login.role, credential, mount_point=login.mount)
            else:
                answer = client.auth.jwt.jwt_login(login.role, credential, path=login.mount)
        except (InvalidRequest, InvalidPath, Forbidden, Unauthorized):
            raise SyncError(
                f"Vault refuses the login with {login.method}. Check its role, its file and its `mount`."
            ) from None
        lease = _mapping(_mapping(answer).get("auth")).get("lease_duration")
        if isinstance(lease, int) and lease > 0:
            self._expires = time.monotonic() + max(lease - _MARGIN, lease / 2)
        return client

    def _token(self) -> str | None:
        """Returns the token of a file. hvac itself looks for VAULT_TOKEN, and for the file of `vault login`."""
        file = self._settings.login.file
        return None if file is None else _credential(file)


def _credential(file: Path | None) -> str:
    try:
        text = read_text(file or Path(_SERVICE_ACCOUNT), _LARGEST_TOKEN).strip()
    except FileError as error:
        raise SyncError(f"The file with the credential for Vault {error}") from None
    if not text or not text.isascii() or not text.isprintable():
        raise SyncError("The file with the credential for Vault holds none.")
    return text


def _reason(error: VaultError) -> str:
    if isinstance(error, Forbidden | Unauthorized):
        return _DENIED
    if isinstance(error, RateLimitExceeded):
        return "Vault refuses so many requests at once. Wait, or raise its quota."
    if isinstance(error, InvalidRequest):
        return "Vault does not accept the request. Check `mount`, `path` and `namespace`."
    return "Vault failed. Look into its log."


def _why_missing(error: InvalidPath) -> str:
    try:
        metadata = _mapping(_mapping(_mapping(error.json).get("data")).get("metadata"))
    except SyncError:
        metadata = {}
    if metadata.get("destroyed"):
        return "Its current version is destroyed. Write a new one, or delete its metadata in Vault."
    if metadata.get("deletion_time"):
        return "Its current version is deleted. Undelete it, or delete its metadata in Vault."
    return "Vault has no such secret."


def _is_sound(path: str) -> bool:
    """Returns whether a path comes back as it was sent: hvac and servers shorten `//`, `.` and `..`."""
    parts = path.removesuffix("/").split("/")
    return path.isprintable() and all(part not in ("", ".", "..") for part in parts)


def _document(data: bytes) -> object:
    try:
        document: object = json.loads(data, object_pairs_hook=without_duplicates, parse_float=exact)
    except (ValueError, RecursionError):
        raise _unexpected_answer() from None
    return document


def _mapping(item: object) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    raise _unexpected_answer()


def _unexpected_answer() -> SyncError:
    return SyncError(f"The server returned an answer that Vault would not. Check `{_WHERE}.url`.")
