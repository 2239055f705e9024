"""What an editor shows for each public name: its own description, and the types of a whole signature."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_type_hints

import keystart
import keystart.pytest_plugin
import keystart.testing
import pytest
from keystart import errors


def members() -> Iterator[tuple[str, Any]]:
    modules = (keystart, keystart.testing)
    public = [(f"{one.__name__}.{name}", getattr(one, name)) for one in modules for name in one.__all__]
    codes = [(one.__name__, one) for one in errors.BY_NUMBER.values()]
    for name, member in [*public, *codes]:
        if name.endswith("__version__"):
            continue
        yield name, member
        if inspect.isclass(member) and not issubclass(member, Exception):
            for attribute, value in inspect.getmembers(member):
                described = inspect.isfunction(value) or isinstance(value, property)
                if described and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", value


@pytest.mark.parametrize(("name", "member"), list(members()))
def test_it_is_described(name: str, member: Any) -> None:
    # Not inspect.getdoc, which would return the description of a base class.
    description = member.__doc__ or ""
    first = description.strip().partition("\n")[0]
    assert 10 < len(first) <= 120
    assert first.endswith((".", ":")) or "." in first, first


@pytest.mark.parametrize(("name", "member"), [one for one in members() if inspect.isfunction(one[1])])
def test_its_signature_is_typed(name: str, member: Any) -> None:
    signature = inspect.signature(member)
    assert signature.return_annotation is not signature.empty
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    assert [one.name for one in parameters if one.annotation is one.empty] == []


@pytest.mark.parametrize(("name", "member"), list(members()))
def test_its_annotations_can_be_evaluated(name: str, member: Any) -> None:
    function: Any = member.fget if isinstance(member, property) else member
    signature = inspect.signature(function, eval_str=True)
    assert not any(isinstance(one.annotation, str) for one in signature.parameters.values())
    assert inspect.isclass(member) or "return" in get_type_hints(function)


def test_an_evaluated_annotation_names_the_class_itself() -> None:
    assert get_type_hints(keystart.secret)["return"] is keystart.Secret


def test_there_is_something_to_describe() -> None:
    names = [name for name, _ in members()]
    assert {
        "keystart.get",
        "keystart.Keystart.tls",
        "keystart.Snapshot.names",
        "keystart.testing.Store.fail",
    } <= {*names}
