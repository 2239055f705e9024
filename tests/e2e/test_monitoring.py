"""Checks that the lines in JSON have what docs/monitoring.md says, and that the filters of its template match them."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.decode import cfn_yaml

from tests import ROOT

from .test_on_call import environment, serve_one_secret

PAGE = (ROOT / "docs/monitoring.md").read_text()
TEMPLATE = ROOT / "examples/monitoring/template.yaml"
SOURCES = [
    *(ROOT / "extension/src/keystart_extension").rglob("*.py"),
    *(file for file in (ROOT / "core").rglob("*.rs") if "target" not in file.parts),
]
EVENT = re.compile(r'event="(\w+)"|"event", Fact::Text\("(\w+)"\)|\\"event\\": \\"(\w+)\\"')
GENERAL = {"timestamp", "level", "logger", "message"}
CONFIGURATION = """\
version: 1
ttl: 10s
secrets:
  db: prod/orders/db
  flags: {secret: prod/flags, optional: true}
"""


def documented() -> dict[str, set[str]]:
    """Returns the members of each event, from the table."""
    table = PAGE.partition("## Events")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| `(\w+)` \| .* \|(.*)\|$", table.partition("|---|")[2].partition("| member |")[0], re.MULTILINE
    )
    return {event: set(re.findall(r"`(\w+)`", members)) for event, members in rows}


def filters() -> dict[str, dict[str, Any]]:
    """Returns the metric filters of the template, by their names."""
    resources = cfn_yaml.loads(TEMPLATE.read_text())["Resources"]
    kind = "AWS::Logs::MetricFilter"
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Evaluates a filter pattern of CloudWatch Logs: `{ $.a = "x" && ($.b = "y" || …) }`."""
    inner = pattern.strip()[1:-1]
    assert not re.sub(r'\$\.\w+ = "\w+"|&&|\|\||[() ]', "", inner), "more than this test can evaluate"
    terms = [re.findall(r'\$\.(\w+) = "(\w+)"', term) for term in inner.split("&&")]
    return all(any(line.get(name) == value for name, value in term) for term in terms)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Returns the lines of a start with an optional secret that does not exist, and of one that fails."""
    found, value = [], secrets.token_hex(16)
    with serve_one_secret(value) as url:
        for name, configuration in (
            ("good", CONFIGURATION),
            ("bad", CONFIGURATION.replace(", optional: true", "")),
        ):
            log_format = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
            with environment(
                tmp_path_factory.mktemp(name), configuration, endpoint=url, env=log_format
            ) as made:
                made.init_in_background().exception()
                assert value not in made.log_text()
                found += [json.loads(line.text) for line in made.log if line.who == "keystart"]
    return found


def test_each_line_has_the_word_that_people_search_for(lines: list[dict[str, Any]]) -> None:
    assert all(line["message"].startswith("[keystart] ") for line in lines)
    assert all(set(line) >= GENERAL for line in lines)


def test_events_have_the_members_of_the_page(lines: list[dict[str, Any]]) -> None:
    seen = {line["event"] for line in lines if "event" in line}
    assert seen == {"start", "start_failed", "secret_failed"}
    for line in lines:
        if "event" in line:
            assert set(line) - GENERAL - {"event"} == documented()[line["event"]], line


def test_a_start_is_one_line_with_its_numbers(lines: list[dict[str, Any]]) -> None:
    (start,) = [line for line in lines if line.get("event") == "start"]
    assert (start["secrets"], start["failed"], start["generation"]) == (1, 1, 1)
    assert 0 < start["duration_ms"] < 60_000
    (failed,) = [line for line in lines if line.get("event") == "start_failed"]
    assert (failed["code"], failed["failed"]) == ("Extension.SecretsUnavailable", 1)
    for line in lines:
        if line.get("event") == "secret_failed":
            facts = (line["secret"], line["code"], line["id"], line["region"])
            assert facts == ("flags", "ResourceNotFoundException", "prod/flags", "eu-west-1")


def test_the_page_lists_the_events_of_the_sources() -> None:
    found = {next(filter(None, names)) for file in SOURCES for names in EVENT.findall(file.read_text())}
    assert found == set(documented())


def test_the_filters_of_the_template_match_the_lines(lines: list[dict[str, Any]]) -> None:
    counted = {
        name: sum(matches(one["FilterPattern"], line) for line in lines) for name, one in filters().items()
    }
    assert counted == {"Starts": 1, "FailedStarts": 1, "Refreshes": 0, "FailedRefreshes": 0}
    for one in filters().values():
        events = re.findall(r'\$\.event = "(\w+)"', one["FilterPattern"])
        value = one["MetricTransformations"][0]["MetricValue"].removeprefix("$.")
        for event in events:
            assert value == "1" or value in documented()[event], (event, value)


def test_the_template_has_no_error_that_cfn_lint_knows() -> None:
    found = lint(TEMPLATE.read_text(), regions=["eu-west-1"])
    assert [match.message for match in found if match.rule.severity in ("error", "warning")] == []


def test_the_widgets_of_the_dashboard_are_json() -> None:
    body = cfn_yaml.loads(TEMPLATE.read_text())["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    widgets = json.loads(str(body["Fn::Sub"]))["widgets"]
    metrics = {one["MetricTransformations"][0]["MetricName"]["Fn::Sub"] for one in filters().values()}
    shown = {metric[1] for widget in widgets for metric in widget["properties"].get("metrics", [])}
    assert shown <= metrics
