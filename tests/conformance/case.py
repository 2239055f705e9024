"""A case: what it asks, and whether an answer is the expected one. It runs nothing."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generate import versions
from generate.contract import FOLDER, ROOT

from . import store

HERE = Path(__file__).resolve().parent
CASES = FOLDER / "cases"
SCHEMA = FOLDER / "schema.json"
_MOMENT = re.compile(r"\{now([+-]\d+)\}")
VERSION = versions.current(ROOT)
LANGUAGES = ("core", "python", "node", "ruby")


@dataclass(frozen=True)
class Case:
    """One case, as in the schema."""

    id: str
    clause: str
    store: dict[str, Any]
    ask: dict[str, Any]
    expect: dict[str, Any]
    expect_in: dict[str, dict[str, Any]]
    exceptions: dict[str, str]
    requires_absent: str | None
    file: str

    def expected(self, language: str) -> dict[str, Any]:
        """Returns the outcome in one language."""
        return self.expect_in.get(language, self.expect)

    def reason_to_skip(self, language: str) -> str | None:
        """Returns why the case cannot run on this machine or in this language, or None."""
        if language in self.exceptions:
            return f"{language}: {self.exceptions[language]}"
        return self.reason_not_here()

    def reason_not_here(self) -> str | None:
        """Returns why the case cannot run on this machine in any language, or None."""
        if self.requires_absent is not None and os.path.lexists(self.requires_absent):
            return f"{self.requires_absent} exists on this machine"
        described = [self.store, *(step["change"] for step in self.steps()), self.ask.get("writer", {})]
        if os.geteuid() != 0 and any(
            {"owners", "devices", "owner"}.intersection(edits) for edits in described
        ):
            return "only root can give a file to another user or make a device"
        if any("devices" in edits for edits in described) and _without_devices(tempfile.gettempdir()):
            return f"devices in {tempfile.gettempdir()} cannot be opened (nodev)"
        return None

    def steps(self) -> list[dict[str, Any]]:
        """Returns the changes of the store under its reader, in order."""
        then = self.ask.get("then", [])
        return then if isinstance(then, list) else [then]


def _without_devices(folder: str) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_NODEV)


def load(folder: Path = CASES) -> list[Case]:
    """Returns all cases of a folder, in the order of the files' names."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"there are no cases in {folder}")
    return [_case(data, file) for file in files for data in json.loads(file.read_text())["cases"]]


def _case(data: dict[str, Any], file: Path) -> Case:
    return Case(
        id=data["id"],
        clause=data["clause"],
        store=data["store"],
        ask=data["ask"],
        expect=data["expect"],
        expect_in=data.get("expect_in", {}),
        exceptions=data.get("except", {}),
        requires_absent=data.get("requires_absent"),
        file=file.name,
    )


@dataclass(frozen=True)
class Place:
    """The place of one case: the root of its store, and the working folder of the runner."""

    root: Path
    cwd: Path

    def fill(self, data: Any) -> Any:
        """Returns the same data with the placeholders in its strings replaced."""
        if isinstance(data, str):
            if "{" not in data:
                return data
            data = _MOMENT.sub(lambda moment: store.moment(float(moment[1])), data)
            relative = os.path.relpath(self.root, self.cwd)
            data = data.replace("{root}", str(self.root)).replace("{cwd}", str(self.cwd))
            return data.replace("{relative}", relative).replace("{version}", VERSION)
        if isinstance(data, list):
            return [self.fill(item) for item in data]
        if isinstance(data, dict):
            return {key: self.fill(value) for key, value in data.items()}
        return data


def request(case: Case, place: Place) -> dict[str, Any]:
    """Returns the request to a runner for a case (README, "The protocol")."""
    ask = place.fill({key: value for key, value in case.ask.items() if key not in ("then", "writer")})
    if "names" in ask:
        ask["names"] = _listed(ask["names"])
    sent = {"id": case.id, "root": str(place.root), "timeout_ms": 0, "env": {}, "via": "client", **ask}
    for step in case.steps()[:1]:
        sent["pause"] = step["after"]
    return sent


def _listed(names: Any) -> list[Any]:
    return [names["name"]] * names["repeat"] if isinstance(names, dict) else names


def difference(
    case: Case, language: str, answer: dict[str, Any], place: Place, requests: Sequence[Any] = ()
) -> str | None:
    """Returns None if an answer and what the writer was asked are as expected, else what differs, for people."""
    expect = case.expected(language)
    wanted_requests = [_wanted_request(wanted) for wanted in expect.get("requests", [])]
    given_requests = [*requests]
    if "last_repeats" in expect:
        while len(given_requests) > len(wanted_requests) and given_requests[-1] == given_requests[-2]:
            given_requests.pop()
    if not same(wanted_requests, given_requests, exact=True):
        return _difference({"requests": wanted_requests}, {**answer, "requests": given_requests})
    if "error" in expect:
        wanted = {**place.fill(expect["error"]), "class": class_of(expect["error"]["code"])}
        return None if answer.get("error") == wanted else _difference({"error": wanted}, answer)
    wanted = _wanted_value(case.ask["call"], expect["value"], place)
    if "value" in answer and same(wanted, answer["value"], exact=case.ask["call"] == "info"):
        return None
    return _difference({"value": wanted}, answer)


def _wanted_request(wanted: dict[str, Any]) -> dict[str, Any]:
    return {**wanted, "names": _listed(wanted["names"])} if wanted.get("names") else wanted


def class_of(code: str) -> str:
    """Returns the class of an error code (contract 8.1)."""
    return "".join(part.capitalize() for part in code.split("_"))


def _wanted_value(call: str, value: Any, place: Place) -> Any:
    if call == "text":
        return store.content(value).decode()
    if call == "bytes":
        return {"base64": base64.b64encode(store.content(value)).decode()}
    return place.fill(value)


def same(wanted: Any, given: Any, *, exact: bool = False, rounded: bool = False) -> bool:
    """Returns whether two JSON values are equal; true is never 1.

    With `exact`, 3 is not 3.0. With `rounded`, one side has no whole numbers beyond 2^53 (6.4.6).
    """
    if isinstance(wanted, dict) and isinstance(given, dict):
        return wanted.keys() == given.keys() and all(
            same(wanted[key], given[key], exact=exact, rounded=rounded) for key in wanted
        )
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(
            same(w, g, exact=exact, rounded=rounded) for w, g in zip(wanted, given, strict=True)
        )
    if isinstance(wanted, bool) or isinstance(given, bool):
        return wanted is given
    if exact and type(wanted) is not type(given):
        return False
    if rounded and isinstance(wanted, int | float) and isinstance(given, int | float):
        return float(wanted) == float(given)
    return bool(wanted == given)


def _difference(wanted: dict[str, Any], answer: dict[str, Any]) -> str:
    given = {key: value for key, value in answer.items() if key != "id"}
    return f"expected {_shown(wanted)}\n     got {_shown(given)}"


def _shown(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]}... ({len(text)} characters)"
