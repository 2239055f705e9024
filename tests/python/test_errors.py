"""The classes of errors, which are those of the contract."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import keystart
import pytest
from keystart import errors

from .publisher import Publisher


def test_a_secret_that_is_not_found_is_a_key_error_with_a_readable_message(
    publisher: Publisher, client: keystart.Keystart
) -> None:
    publisher.publish({"db": "x"})
    with pytest.raises(KeyError) as found:
        client.get("bd")
    assert isinstance(found.value, keystart.SecretNotFound)
    message = 'There is no secret "bd" in the store. Did you mean "db"? Add it to the configuration of the extension.'
    assert str(found.value) == message
    assert (found.value.code, found.value.secret) == ("secret_not_found", "bd")


def pickled(error: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301


COPIES: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {n}": partial(pickled, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", errors.BY_NUMBER.values())
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_an_error_survives_being_copied(
    kind: type[keystart.KeystartError], copied: Callable[[Any], Any]
) -> None:
    error = copied(kind("What happened.", "db"))
    assert type(error) is kind
    assert (str(error), error.message, error.secret, error.code) == (
        "What happened.",
        "What happened.",
        "db",
        kind.code,
    )


def test_an_error_made_by_hand_needs_a_message_only() -> None:
    error = keystart.SecretUnavailable("Not today.")
    assert (str(error), error.secret, error.code) == ("Not today.", None, "secret_unavailable")


def test_a_writer_learns_that_another_one_is_alive(publisher: Publisher) -> None:
    with pytest.raises(errors.StoreLocked) as locked:
        Publisher(publisher.root)
    assert locked.value.code == "store_locked"
