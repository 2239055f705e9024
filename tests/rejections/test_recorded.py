"""Drivers on real servers raise what contract/cases/rejections says, and each error means what it says there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="tests/servers/requirements.lock is not installed: ./dev recipes does")

from tests.servers import ServerMissingError

from . import record
from .situations import Situation


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, list[Situation]]]:
    try:
        with record.servers() as found:
            yield found
    except ServerMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("language", record.COMMANDS)
def test_each_driver_raises_what_was_recorded(language: str, servers: dict[str, list[Situation]]) -> None:
    recorded = {
        case["id"]: case for case in json.loads((record.CASES / f"{language}.json").read_text())["cases"]
    }
    found = record.tried(language, servers)
    tried = {case["id"]: case for case in found if "missing" not in case}
    missing = sorted({case["missing"] for case in found if "missing" in case})
    print(f"{language}: not tried, because not installed: {', '.join(missing) or 'none'}")
    assert len(tried) > len(found) / 2, f"most drivers are missing: {missing}"
    assert {name: case["seen"] for name, case in tried.items()} == {
        name: case["verdict"] for name, case in tried.items()
    }
    assert {name: _classes(case["error"]) for name, case in tried.items()} == {
        name: _classes(recorded[name]["error"]) if name in recorded else None for name in tried
    }
    text = json.dumps(found)
    assert record.RIGHT not in text
    assert record.WRONG not in text


def _classes(error: dict[str, Any] | None) -> Any:
    return None if error is None else error["classes"]
