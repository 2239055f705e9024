"""No value of a secret appears where nobody asked for it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keystart
import pytest

from .publisher import Publisher


@dataclasses.dataclass
class Settings:
    password: keystart.Secret


def logged(secret: keystart.Secret) -> str:
    stream = io.StringIO()
    logger = logging.Logger("keystart-test")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("%s %r", secret, secret, extra={"secret": secret})
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        logger.exception("failed")
    return stream.getvalue()


SHOWN: dict[str, Callable[[keystart.Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "str.format": "{0} {0!r} {0!s} {0!a}".format,
    "f-string": lambda secret: f"{secret} {secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "in a list": lambda secret: str([secret]),
    "in a dictionary": lambda secret: str({"password": secret}),
    "in a data class": lambda secret: repr(Settings(secret)),
    "pprint": pprint.pformat,
    "json with default": lambda secret: json.dumps({"password": secret}, default=str),
    "in an exception": lambda secret: "".join(traceback.format_exception(RuntimeError(secret))),
    "logging": logged,
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_what_shows_a_secret_shows_its_name(
    show: Callable[[keystart.Secret], str], publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary})
    shown = show(client.secret("db"))
    assert '<Secret "db" (redacted)>' in shown.replace('\\"', '"')
    assert canary not in shown


COPIED: dict[str, Callable[[keystart.Secret], Any]] = {
    **{f"pickle {n}": partial(pickle.dumps, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "json": json.dumps,
    "vars": vars,
    "asdict": lambda one: dataclasses.asdict(Settings(one)),
}


@pytest.mark.parametrize("take", COPIED.values(), ids=COPIED)
def test_what_would_copy_a_secret_is_refused(
    take: Callable[[keystart.Secret], Any], publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary})
    with pytest.raises(TypeError) as refused:
        take(client.secret("db"))
    assert canary not in str(refused.value)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_client_and_a_snapshot_are_neither_copied_nor_shown_with_what_they_read(
    take: Callable[[object], object], publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary})
    for reader in (client, client.snapshot()):
        assert reader.get("db") == canary
        assert canary not in repr(reader) + str(reader)
        with pytest.raises(TypeError, match=rf"\b{type(reader).__name__}\b"):
            take(reader)


def test_no_attribute_of_a_secret_holds_its_value(
    publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary})
    secret = client.secret("db")
    assert "reveal" in dir(secret)
    assert canary not in repr(inspect.getmembers(secret))
    assert canary not in repr([getattr(secret, name) for name in dir(secret)])


def test_a_traceback_with_the_locals_of_all_frames_shows_no_value(
    publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary})

    def handler() -> None:
        password = client.secret("db")
        raise RuntimeError(f"cannot connect with {password}")

    assert canary not in output_of(handler, RuntimeError)


def test_the_value_comes_out_where_it_is_revealed(
    publisher: Publisher, client: keystart.Keystart, canary: str
) -> None:
    publisher.publish({"db": canary, "keytab": b"\xff\0" + canary.encode()})
    assert client.secret("db").reveal() == canary
    assert client.secret("db").reveal_bytes() == canary.encode()
    assert client.secret("keytab").reveal_bytes() == b"\xff\0" + canary.encode()


def damage(publisher: Publisher, name: str, data: bytes) -> None:
    (publisher.generation() / "secrets" / name).write_bytes(data)


FAILING: dict[str, tuple[str, type[keystart.KeystartError], Callable[[keystart.Keystart], object]]] = {
    "get": ("binary", keystart.SecretNotText, lambda client: client.get("binary")),
    "get_json": ("text", keystart.SecretNotJson, lambda client: client.get_json("text")),
    "get_json of bytes": ("binary", keystart.SecretNotJson, lambda client: client.get_json("binary")),
    "reveal": ("binary", keystart.SecretNotText, lambda client: client.secret("binary").reveal()),
    "damaged": ("damaged", keystart.SecretCorrupt, lambda client: client.get("damaged")),
    "tls": ("binary", keystart.SecretNotText, lambda client: client.tls("mtls")),
}


@pytest.mark.parametrize(("name", "kind", "ask"), FAILING.values(), ids=FAILING)
def test_an_error_holds_nothing_of_the_value(
    name: str,
    kind: type[keystart.KeystartError],
    ask: Callable[[keystart.Keystart], object],
    publisher: Publisher,
    client: keystart.Keystart,
    canary: str,
) -> None:
    binary = b"\xff" + canary.encode()
    publisher.publish(
        {"text": canary, "binary": binary, "damaged": canary, "mtls/cert": canary, "mtls/key": binary}
    )
    damage(publisher, "damaged", canary.encode() + b"!")
    assert canary not in output_of(lambda: ask(client), kind)
    with pytest.raises(kind) as failure:
        ask(client)
    assert failure.value.secret in (name, "mtls/key")
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


def output_of(fails: Callable[[], object], kind: type[Exception]) -> str:
    """Returns everything that an error tracker could collect of a failure, except the frames of the test itself."""
    with pytest.raises(kind) as failure:
        fails()
    assert failure.value.__traceback__ is not None
    failure.value.__traceback__ = failure.value.__traceback__.tb_next
    parts = [
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        + repr(error)
        + repr(error.args)
        + repr(vars(error))
        for error in chain(failure.value)
    ]
    return "".join(parts)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
