"""Errors that drivers raised on real servers are recognised, and so are the sentences of PostgreSQL's languages."""

from __future__ import annotations

import builtins
import json
import sys
from typing import Any

import pytest
from keystart.rejections import classify

from tests import ROOT

RULES = json.loads((ROOT / "contract/rejections.json").read_text())
CASES = json.loads((ROOT / "contract/cases/rejections/python.json").read_text())["cases"]
PSYCOPG = ["psycopg.OperationalError", "psycopg.Error"]
SENTENCES = [
    text
    for word in RULES["servers"]["postgresql"]["words"]
    for texts in ([word["text"]], *word.get("translations", {}).values())
    for text in texts
]


def rebuilt(data: dict[str, Any]) -> BaseException:
    """Makes an error of classes with the same names, which carries the same."""
    made: type[BaseException] = Exception
    for name in reversed(data["classes"]):
        module, _, qualname = name.rpartition(".")
        made = type(qualname, (made,), {"__module__": module, "__qualname__": qualname})
    made = type(made.__name__, (made,), {"__str__": lambda _: data["text"]})
    error = made(*[value(each) for each in data.get("args", [])])
    for key, attribute in data.get("attributes", {}).items():
        setattr(error, key, value({"attributes": attribute}) if isinstance(attribute, dict) else attribute)
    for key in ("__cause__", "__context__", "orig"):
        if key in data:
            setattr(error, key, rebuilt(data[key]))
    return error


def value(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    if "bytes" in data:
        return data["bytes"].encode()
    if "tuple" in data:
        return tuple(map(value, data["tuple"]))
    return type("Carrier", (), data["attributes"])() if "attributes" in data else data


def psycopg_error(text: str) -> BaseException:
    return rebuilt({"classes": PSYCOPG, "text": text})


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_recorded_error_is_recognised(case: dict[str, Any]) -> None:
    assert classify(rebuilt(case["error"])) == case["verdict"]


def test_each_rule_has_a_case_that_it_decides() -> None:
    decided = {name for case in CASES if case["verdict"] for name in names(case["error"])}
    unseen = [
        rule["driver"]
        for rule in RULES["drivers"]["python"]
        if rule["seen"] != "read" and decided.isdisjoint(rule["class"])
    ]
    assert unseen == []


def names(error: dict[str, Any]) -> set[str]:
    inner = [error[key] for key in ("__cause__", "__context__", "orig") if key in error]
    return set(error["classes"]).union(*map(names, inner))


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_counts_at_the_end_of_a_line_only(sentence: str) -> None:
    text = sentence.replace("%s", "app")
    begun = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  '
    assert classify(psycopg_error(f"{begun}{text}")) == "rejected"
    assert classify(psycopg_error(f"{begun}{text}\n{begun}no")) == "rejected"
    if not sentence.endswith("%s"):
        assert classify(psycopg_error(f"{begun}{text} and more")) is None
    assert classify(psycopg_error(f"{begun}not {text}")) is None


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("SASL authentication failed", "rejected"),
        ("password authentication failed", "rejected"),
        ("no such database: shop", None),
    ],
)
def test_pgbouncer_has_one_code_for_all_its_errors(text: str, verdict: str | None) -> None:
    said = {"S": "FATAL", "C": "08P01", "M": text}
    error = rebuilt(
        {"classes": ["pg8000.exceptions.DatabaseError", "pg8000.exceptions.Error"], "text": str(said)}
    )
    error.args = (said,)
    assert classify(error) == verdict


def test_redshift_has_one_code_for_a_wrong_password_and_a_refused_host() -> None:
    for text, verdict in (
        ('password authentication failed for user "app"', "rejected"),
        ('no pg_hba.conf entry for host "10.0.0.1", user "app", database "shop", SSL off', None),
    ):
        said = {"S": "FATAL", "C": "28000", "M": text, "R": "auth_failed"}
        classes = ["redshift_connector.error.InterfaceError", "redshift_connector.error.Error"]
        error = rebuilt({"classes": classes, "text": str(said)})
        error.args = (said,)
        assert classify(error) == verdict


def test_rabbitmq_refuses_a_login_and_an_exchange_with_the_same_code() -> None:
    classes = ["aiormq.exceptions.ProbableAuthenticationError", "aiormq.exceptions.AMQPConnectionError"]
    for said, verdict in (
        ("Login was refused using authentication mechanism PLAIN. For details see the log.", "rejected"),
        ("access to vhost 'shop' refused for user 'app'", None),
    ):
        assert classify(rebuilt({"classes": classes, "text": f"ACCESS_REFUSED - {said}"})) == verdict


def test_an_error_of_another_class_with_the_same_words_is_none() -> None:
    assert classify(ValueError(f"FATAL:  {SENTENCES[0] % 'app'}")) is None


def refused() -> BaseException:
    return psycopg_error(f"FATAL:  {SENTENCES[0] % 'app'}")


def locked() -> BaseException:
    return rebuilt({"classes": ["pymysql.err.MySQLError"], "text": "", "args": [4151, "locked"]})


@pytest.mark.parametrize(("depth", "verdict"), [(8, "rejected"), (9, None)])
def test_causes_are_followed_eight_deep(depth: int, verdict: str | None) -> None:
    error = refused()
    for _ in range(depth):
        outer = RuntimeError()
        outer.__cause__ = error
        error = outer
    assert classify(error) == verdict


def test_a_hidden_context_does_not_count_and_another_one_does() -> None:
    for hidden, verdict in ((False, "rejected"), (True, None)):
        error = RuntimeError()
        error.__context__ = refused()
        error.__suppress_context__ = hidden
        assert classify(error) == verdict


def test_what_the_caller_handles_already_does_not_count() -> None:
    error = ConnectionRefusedError()
    error.__context__ = handled = refused()
    assert classify(error) == "rejected"
    assert classify(error, handled) is None


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError(), RuntimeError()
    first.__cause__, second.__cause__ = second, first
    assert classify(first) is None


def test_locked_wins_over_rejected() -> None:
    error = refused()
    error.__cause__ = locked()
    assert classify(error) == "locked"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups of exceptions")
def test_the_members_of_a_group_count() -> None:
    group_class: Any = builtins.__dict__["ExceptionGroup"]
    group = group_class("both", [ValueError(), refused()])
    assert classify(group) == "rejected"
    many = group_class("many", [ValueError() for _ in range(10_000)])
    assert classify(many) is None


def test_an_error_that_raises_when_one_looks_at_it_is_none() -> None:
    class HostileError(Exception):
        __module__, __qualname__ = "psycopg", "Error"

        @property
        def sqlstate(self) -> str:
            raise RuntimeError

        def __str__(self) -> str:
            raise RuntimeError

    assert classify(HostileError()) is None
