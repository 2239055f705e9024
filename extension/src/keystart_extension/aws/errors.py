"""Messages for failures, with words from closed sets: a library's text may hold what was sent or answered.

A message is repeated only if an AWS service sent it in the form of its errors: the first line, up to a length.
"""

from __future__ import annotations

import http
import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidConfigError,
    LoginError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)
from botocore.parsers import ResponseParserError

from ..text import profile_words
from . import AwsError

if TYPE_CHECKING:
    import boto3

Result = TypeVar("Result")

LOGIN = "a login"  # the action that provides credentials
_ENDPOINT = "Check AWS_ENDPOINT_URL."
_NO_PROXY = "Correct HTTPS_PROXY, or name the hosts of AWS in NO_PROXY."
_NO_WAY_OUT = (
    "A function in a VPC reaches AWS only through a NAT gateway, or an interface endpoint whose security group "
    "lets it in at port 443."
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_CODE = re.compile("[A-Za-z][A-Za-z0-9._-]{0,127}")
_LONGEST_MESSAGE = 1_024  # the most bytes of a service's message that are repeated
_CUT = "…"  # ends a message that is longer
# What http.client says of a proxy, followed by the proxy's own words.
_OF_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3}) ")
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHORTEST = 4  # characters; a shorter line of a value may be part of ordinary words
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_NO_REASON = "The service named no reason"
_FOREIGN = "A proxy, a firewall or a load balancer answered, not AWS. Check HTTPS_PROXY and AWS_ENDPOINT_URL."
# OpenSSL's X509_V_ERR_… codes.
_DISTRUST = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    62: "its certificate is for another name",
    64: "its certificate is for another name",
    **dict.fromkeys((2, 18, 19, 20, 21), "its certificate is from an authority that is not known"),
    23: "its certificate is revoked",
}
_LOG_IN = "Log in again, or get new credentials."
# What to do, where the service's message does not say it.
_CURES = {
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "ResourceNotFoundException": "Correct the name or the region.",
    "PreconditionFailedException": "Somebody else has changed it in the meantime. Run the command again.",
    "ResourceConflictException": "Run the command again when that is over.",
}
# The sources of credentials, by the name of botocore's provider. All others take them from a profile.
_ORIGINS = {
    "container-role": "the container's endpoint",
    "iam-role": "the instance's metadata service",
    "assume-role-with-web-identity": "the web identity",
}
_PROCESS = "custom-process"
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def ask(action: str, call: Callable[[], Result], own: boto3.Session | None = None) -> Result:
    """Calls once, and turns every failure into words: which call was refused, and what would help.

    `own` is the session that logs in, if the call does.
    """
    try:
        return call()
    except AwsError:
        raise
    except Exception as error:
        failure = (own and _login_failure(error, own)) or _failure(action, error)
    # Outside of the handler, so that no traceback shows the library's error and its text.
    raise failure


def _refusal(action: str, code: str | None, message: str | None, status: int) -> AwsError:
    """Describes the error of a service, or of something in front of it."""
    # botocore uses the status as the code if that is missing, and the whole page as the message.
    if not code or not _CODE.fullmatch(code):
        if status < 300:
            return _no_answer(action)
        return AwsError(str(status), f"{_sentence(_PHRASES.get(status, _NO_REASON))} {_FOREIGN}")
    message = _service_message(message or "")
    if code in _DENIED:
        message += f" Allow {action}; the resource policy and the KMS key can deny it too."
    elif code in _CURES:
        message += f" {_CURES[code]}"
    return AwsError(code, message)


def _no_answer(action: str) -> AwsError:
    return AwsError(
        "InvalidAnswer",
        f"The endpoint's answer to {action} is not one that AWS sends. Check AWS_ENDPOINT_URL.",
    )


def origin(provider: object, own: boto3.Session) -> str:
    """Returns our words for botocore's source of credentials."""
    profile = profile_words(own.profile_name)
    if provider == _PROCESS:
        return f"the process that {profile} names"
    return _ORIGINS.get(str(provider), profile)


def _login_failure(error: Exception, own: boto3.Session) -> AwsError | None:
    """Describes what only a login can meet: what a profile, a process or a container's endpoint lacks."""
    profile = profile_words(own.profile_name)
    known = _profiles(own)
    match error:
        case SSOError() | LoginError() | TokenRetrievalError():
            return AwsError(
                "ExpiredTokenException", f"Nobody is logged in for {profile}. {_login_command(known)}"
            )
        case EOFError():
            return _unavailable(
                f"{profile} asks for a code of MFA, and there is no terminal to type it at. Run this at a terminal, or "
                "set the variables that `aws configure export-credentials --format env` prints."
            )
        case CredentialRetrievalError():
            return _unavailable(f"{origin(error.kwargs.get('provider'), own)} returned no credentials.")
        case InvalidConfigError():
            return _unavailable(f"{profile} names no source of credentials, or a wrong one. Correct it.")
        case OSError() if error.errno and not isinstance(error, BotoCoreError):
            words = os.strerror(error.errno)
            if any("credential_process" in keys for _, keys in known):
                return _unavailable(f"{origin(_PROCESS, own)} cannot be started: {words}.")
            return _unavailable(f"a file that {profile} names cannot be read: {words}.")
        case ValueError() | KeyError() | TypeError() | AttributeError() if not isinstance(
            error, BotoCoreError | UnicodeDecodeError
        ):
            if any("credential_process" in keys for _, keys in known):
                return _unavailable(f"{origin(_PROCESS, own)} returned no credentials.")
            if isinstance(error, ValueError) and any(os.environ.get(name) for name in _CONTAINER):
                # An address where no credentials may be fetched, or a token that no header can hold.
                return _unavailable(
                    f"{' or '.join(_CONTAINER)} is not an address where credentials may be fetched, or the token "
                    "for it holds characters that no header can hold."
                )
            return _unavailable("the container's endpoint returned no credentials.")
        case _:
            return None


def _unavailable(words: str) -> AwsError:
    return AwsError("CredentialsUnavailable", f"{words[0].upper()}{words[1:]}")


def _profiles(own: boto3.Session) -> list[tuple[str, dict[str, Any]]]:
    """Returns the profile of a session and those that its `source_profile` leads to, each with its keys."""
    try:
        every: dict[str, dict[str, Any]] = own._session.full_config["profiles"]
    except BotoCoreError:  # the file cannot be read, which has been reported
        return []
    name, found = own.profile_name, dict[str, dict[str, Any]]()
    while name in every and name not in found:
        found[name] = every[name]
        name = str(every[name].get("source_profile"))
    return list(found.items())


def _login_command(known: list[tuple[str, dict[str, Any]]]) -> str:
    """Returns the command that logs a person in, by the keys of the profiles."""
    for key, command in (("sso_", "aws sso login"), ("login_session", "aws login")):
        for name, keys in known:
            if any(of.startswith(key) for of in keys):
                shown = f" --profile {name}" if profile_words(name).endswith(f" {name}") else ""
                return f"Run: {command}{shown}"
    return _LOG_IN


def _failure(action: str, error: Exception) -> AwsError:
    match error:
        case ClientError():
            details = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if action == LOGIN:
                # A login calls STS or IAM Identity Center.
                action = f"{error.operation_name} for the AWS profile"
            return _refusal(action, details.get("Code"), details.get("Message"), status)
        case NoCredentialsError() | PartialCredentialsError():
            return AwsError(
                "NoCredentials",
                "There are no AWS credentials. In Lambda something removed its AWS_ variables before the extension "
                "started, such as a script in an image; on your own machine log in, or set AWS_PROFILE.",
            )
        case NoRegionError():
            return AwsError(
                "NoRegion", "No region is known. Set AWS_REGION, or pass --region if the command has it."
            )
        case SSLError() if (reason := _distrust(error)) is not None:
            # An endpoint that is not trusted now is not trusted a moment later.
            host = _host(error.kwargs.get("endpoint_url"))
            reason = f"{host} cannot be trusted: {reason}. Check AWS_CA_BUNDLE and AWS_ENDPOINT_URL."
            return AwsError("ConnectionFailed", reason)
        case NoConnectionError() | HTTPClientError():
            return _connection_error(error)
        case ResponseParserError() | KeyError() | TypeError():
            return _no_answer(action)
        case ProfileNotFound():
            words = profile_words(str(error.kwargs.get("profile")))
            return AwsError(
                "ProfileNotFound",
                f"T{words[1:]}, or one that its `source_profile` names, does not exist. Correct AWS_PROFILE or the "
                "profile.",
            )
        case AttributeError() | ValueError() if ":" in action:
            return _no_answer(action)
        case ConfigParseError() | UnicodeDecodeError():
            return AwsError(
                "CredentialsUnavailable",
                "A file of AWS profiles cannot be read. Correct what AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE "
                "name; without them it is ~/.aws/config and ~/.aws/credentials.",
            )
        case _:
            kind = type(error).__name__
            return AwsError(
                "RequestFailed",
                f"The request failed for an unknown reason ({kind}). Check AWS_ENDPOINT_URL, the region and "
                "the credentials.",
            )


def _connection_error(error: BotoCoreError) -> AwsError:
    """Describes the failure of a connection in the core's words."""
    host = _host(error.kwargs.get("endpoint_url"))
    if isinstance(error, ProxyConnectionError):
        # botocore names the proxy only, with its password.
        proxy = _host(error.kwargs.get("proxy_url"))
        statuses = (_OF_TUNNEL.search(str(cause)) for cause in _causes(error))
        if status := next((found[1] for found in statuses if found), None):
            what = f"it answered {status}{_meaning(int(status))}"
            return AwsError("ProxyRefused", f"The proxy {proxy} refused the way to AWS: {what}. {_NO_PROXY}")
        reason = f"The proxy {proxy} on the way to AWS cannot be reached: {_system(error)}. {_NO_PROXY}"
        return AwsError("ConnectionFailed", reason)
    match error:
        case ConnectTimeoutError():
            message = f"{host} cannot be reached: timed out. {_advice(host)}"
        case ReadTimeoutError():
            message = f"{host} did not answer in time."
        case ConnectionClosedError():
            message = f"{host} closed the connection before it had sent its whole answer."
        case SSLError():
            message = f"{host} cannot be reached: TLS failed. {_advice(host)}"
        case EndpointConnectionError() if any(isinstance(cause, socket.gaierror) for cause in _causes(error)):
            cure = "Check the region, and the resolver of the network." if _is_of_aws(host) else _ENDPOINT
            message = f"{host} cannot be found: {_system(error)}. {cure}"
        case EndpointConnectionError():
            message = f"{host} cannot be reached: {_system(error)}. {_advice(host)}"
        case _:
            message = "The connection failed for an unknown reason."
    return AwsError("ConnectionFailed", message)


def _meaning(status: int) -> str:
    """Returns what a proxy's status means. The words beside it are the proxy's, and may hold anything."""
    login = "it asks for a user and a password, or refuses those that it got"
    meanings = {**_PHRASES, 403: "its rules deny the host", 407: login}
    return f" ({meanings[status]})" if status in meanings else ""


def _host(url: object) -> str:
    """Returns the host of a URL, and the port if it has one."""
    text = str(url or "")
    return urlsplit(text if "://" in text else f"http://{text}").netloc.rpartition("@")[2] or "The endpoint"


def _is_of_aws(host: str) -> bool:
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def _advice(host: str) -> str:
    return _NO_WAY_OUT if _is_of_aws(host) else _ENDPOINT


def _system(error: BaseException) -> str:
    """Returns the system's words for the errno in an error."""
    words = "the connection failed for an unknown reason"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            words = _LOOKUPS.get(cause.errno or 0, "its name cannot be looked up")
        elif isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno > 0:
            words = os.strerror(cause.errno)
    return words


_LOOKUPS = {
    socket.EAI_NONAME: "Name or service not known",
    socket.EAI_AGAIN: "Temporary failure in name resolution",
    socket.EAI_FAIL: "Non-recoverable failure in name resolution",
    socket.EAI_NODATA: "No address associated with hostname",
    socket.EAI_SYSTEM: "System error",
}


def _distrust(error: BaseException) -> str | None:
    """Returns what is wrong with a certificate. The names in it may not be repeated."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            # If the name does not match, urllib3 raises its own error, without a code.
            return _DISTRUST.get(getattr(cause, "verify_code", 0), "its certificate is not valid")
        if type(cause).__name__ == "CertificateError":
            return _DISTRUST[62]
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Lists an error and its causes, each once."""
    waiting, seen = [error], set()
    while waiting:
        error = waiting.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        inner = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
        known = (inner, getattr(error, "reason", None), error.__cause__, error.__context__, *error.args)
        waiting += [cause for cause in known if isinstance(cause, BaseException)]


def without(message: str, values: Iterable[str]) -> str:
    """Returns a message of `ask` in which *** stands for what it repeats of these values."""
    forms = {form for value in values for form in _forms(value) if len(form) >= _SHORTEST}
    ordered = sorted(forms, key=len, reverse=True)
    for form in ordered:
        message = message.replace(form, "***")
    begin, cut, end = message.partition(_CUT)
    for form in ordered if cut else ():
        lengths = range(len(form) - 1, _SHORTEST - 1, -1)
        length = next((length for length in lengths if begin.endswith(form[:length])), 0)
        if length:
            begin = f"{begin[:-length]}***"
    return begin + cut + end


def _forms(value: str) -> Iterator[str]:
    """Yields the forms of a value in one line of a message: its lines as they are, and all of it as JSON."""
    yield from map(_shown, _LINE_END.split(value))
    for is_ascii in (True, False):
        yield _shown(json.dumps(value, ensure_ascii=is_ascii)[1:-1])


def _shown(line: str) -> str:
    return _CONTROL.sub(" ", line.strip()).strip()


def _service_message(message: str) -> str:
    """Returns the part of a service's message that is repeated.

    Only the first line: in SignatureDoesNotMatch the next lines hold the request's headers, and so the session token.
    """
    line = next(filter(None, map(_shown, _LINE_END.split(message))), _NO_REASON)
    data = line.encode("utf-8", "replace")
    if len(data) <= _LONGEST_MESSAGE:
        return _sentence(data.decode())
    return data[:_LONGEST_MESSAGE].decode(errors="ignore") + _CUT


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else text + "."
