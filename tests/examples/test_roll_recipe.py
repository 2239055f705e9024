"""Checks the recipe that restarts functions: its events, its command, its rights, and its forms for other tools."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import hcl2
import pytest
from keystart_extension.cli import _parser

from tests import ROOT

from .deployed import EXAMPLES, TOOLS, RecipeError, linted, listed, run

ROLL = EXAMPLES / "roll"
# As AWS documents them: "Secret Label Updated event", and Systems Manager's "Parameter Store events".
LABEL = {
    "detail-type": "Secret Label Updated",
    "source": "aws.secretsmanager",
    "resources": ["arn:aws:secretsmanager:us-west-2:012345678901:secret:mySecret-a1b2c3"],
    "detail": {
        "name": "mySecret",
        "labelUpdated": "AWSCURRENT",
        "versionId": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
    },
}
PARAMETER = {
    "detail-type": "Parameter Store Change",
    "source": "aws.ssm",
    "resources": ["arn:aws:ssm:us-east-2:123456789012:parameter/foo"],
    "detail": {"operation": "Update", "name": "foo", "type": "SecureString"},
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return linted(ROLL / "template.yaml")


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Evaluates an event pattern without operators: each member has one of the values."""
    return all(
        matches(wanted, event[name]) if isinstance(wanted, dict) else event.get(name) in wanted
        for name, wanted in pattern.items()
    )


def test_each_event_starts_a_roll_and_so_does_the_schedule(template: dict[str, Any]) -> None:
    rules = {
        name: one["Properties"]
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::Events::Rule"
    }
    for rule in rules.values():
        (target,) = rule["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": ["Roll", "Arn"]}
    started = {
        name: [matches(rule["EventPattern"], event) for event in (LABEL, PARAMETER)]
        for name, rule in rules.items()
        if "EventPattern" in rule
    }
    assert started == {"SecretChanged": [True, False], "ParameterChanged": [False, True]}
    assert rules["Reconciliation"]["ScheduleExpression"] == {"Ref": "Schedule"}


def test_the_build_installs_this_version_and_runs_a_command_that_exists(template: dict[str, Any]) -> None:
    values = {name: one.get("Default", "") for name, one in template["Parameters"].items()}
    spec = template["Resources"]["Roll"]["Properties"]["Source"]["BuildSpec"]["Fn::Sub"]
    lines = re.findall(r"^\s+- (.+)$", spec, re.MULTILINE)
    install, roll = (re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], line) for line in lines)
    version = re.search(r'^version = "(.*)"', (ROOT / "extension/pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert install == f"pip install --no-cache-dir keystart-extension=={version[1]}"
    program, *words = shlex.split(roll)
    arguments = _parser().parse_args(words)
    assert (program, arguments.tag, arguments.over, arguments.yes) == (
        "keystart",
        [("keystart:roll", "yes")],
        300,
        True,
    )


def test_the_build_may_do_what_a_roll_needs_and_change_only_functions_with_the_tag(
    template: dict[str, Any],
) -> None:
    resources = template["Resources"]
    (role,) = resources["Role"]["Properties"]["Policies"]
    statements = [
        *role["PolicyDocument"]["Statement"],
        *resources["ParametersPolicy"]["Properties"]["PolicyDocument"]["Statement"],
    ]
    allowed = {action for one in statements for action in listed(one["Action"])}
    page = (ROOT / "docs/roll.md").read_text().partition("```json\n")[2].partition("```")[0]
    documented = {action for one in json.loads(page)["Statement"] for action in one["Action"]}
    logs = {action for action in allowed if action.startswith("logs:")}
    # ListFunctions is for --uses, ListTags for GetFunction on functions with tags.
    assert allowed - logs == documented - {"lambda:ListFunctions"} | {"lambda:ListTags"}
    for one in statements:
        if any(action.startswith("lambda:") for action in listed(one["Action"])):
            assert one["Condition"] == {"StringEquals": {"aws:ResourceTag/keystart:roll": "yes"}}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("ConcurrentBuildLimit", "ConcurrentBuilds"), ("!GetAtt Starter.Arn", "!GetAtt Start.Arn")],
)
def test_a_broken_template_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    file = tmp_path / "template.yaml"
    file.write_text((ROLL / "template.yaml").read_text().replace(right, wrong))
    with pytest.raises(RecipeError, match=wrong.removeprefix("!GetAtt ").removesuffix(".Arn")):
        linted(file)


def test_the_app_of_cdk_deploys_the_same_template(tmp_path: Path, template: dict[str, Any]) -> None:
    folder = tmp_path / "roll"
    shutil.copytree(ROLL, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(TOOLS)
    out = tmp_path / "out"
    run(["node", "app.mjs"], folder, CDK_OUTDIR=str(out), CDK_CONTEXT_JSON='{"secrets": "prod/*"}')
    synthesised = linted(out / "Roll.template.json")["Resources"]
    ours = {name: one["Type"] for name, one in template["Resources"].items()}
    assert ours.items() <= {name: one["Type"] for name, one in synthesised.items()}.items()
    for name in ("SecretChanged", "Reconciliation", "Roll"):
        assert synthesised[name]["Type"] == ours[name]
    assert '"prod/*"' in json.dumps(synthesised["Role"]) or "secret:prod/*" in json.dumps(synthesised["Role"])


def test_the_file_for_terraform_passes_the_parameters_of_the_template(template: dict[str, Any]) -> None:
    options = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    document = hcl2.loads((ROLL / "main.tf").read_text(), serialization_options=options)
    (resource,) = document["resource"]
    stack = resource["aws_cloudformation_stack"]["roll"]
    assert stack["template_body"] == '${file("${path.module}/template.yaml")}'
    declared = {name for block in document["variable"] for name in block}
    passed = stack["parameters"]
    assert set(passed.values()) == {f"${{var.{name}}}" for name in declared}
    required = {name for name, one in template["Parameters"].items() if "Default" not in one}
    assert required <= set(passed) <= set(template["Parameters"])
