"""Checks what the recipes must say, and that the checks refuse a recipe that says something else."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.deploy.policy import Account, policy

from tests import ROOT
from tests.extension.configurations import load, load_file

from .deployed import ACCOUNT, DEPLOYMENTS, EXAMPLES, IMAGES, LAYER, REGION, Deployment, RecipeError, image
from .stand_in import StandIn

Deployed = Callable[[str], Any]
PAGE = (ROOT / "docs/recipes.md").read_text()


@pytest.mark.parametrize("recipe", DEPLOYMENTS)
def test_a_recipe_attaches_the_layer_that_it_is_given(deployed: Deployed, recipe: str) -> None:
    deployment: Deployment = deployed(recipe)
    assert deployment.layers == [LAYER]
    assert deployment.architectures == ["x86_64"]


@pytest.mark.parametrize("recipe", DEPLOYMENTS)
def test_a_role_may_fetch_what_is_configured_and_nothing_else(
    deployed: Deployed, cloud: StandIn, recipe: str
) -> None:
    deployment: Deployment = deployed(recipe)
    plan = load(deployment.environment, deployment.code)
    wanted = {
        (
            "secretsmanager:GetSecretValue",
            f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{entry['id']}-??????",
        )
        if entry["kind"] == "secret"
        else ("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{entry['id']}")
        for entry in plan.facts["entries"]
    }
    assert sorted(deployment.allowed) == sorted(wanted)
    printed = policy(plan, Account(ACCOUNT, REGION), None, ())["Statement"]
    assert sorted((one["Action"], arn) for one in printed for arn in one["Resource"]) == sorted(wanted)
    # Secrets Manager appends the six characters.
    for name in (entry["id"] for entry in plan.facts["entries"] if entry["kind"] == "secret"):
        assert any(fnmatchcase(cloud.arn(name), resource) for _, resource in deployment.allowed)


@pytest.mark.parametrize("recipe", DEPLOYMENTS)
def test_a_package_holds_what_the_function_needs_and_no_yaml_to_read(deployed: Deployed, recipe: str) -> None:
    deployment: Deployment = deployed(recipe)
    module = deployment.handler.partition(".")[0]
    assert [path.stem for path in deployment.code.iterdir() if path.suffix in (".py", ".mjs", ".rb")] == [
        module
    ]
    # keystart.json comes first; a package without it must not fall back to YAML.
    assert "KEYSTART_SECRETS" in deployment.environment or (deployment.code / "keystart.json").exists()


@pytest.mark.parametrize("recipe", IMAGES)
def test_an_image_holds_one_extension_that_can_be_executed(deployed: Deployed, recipe: str) -> None:
    built = deployed(recipe)
    (extension,) = (built.opt / "extensions").iterdir()
    assert (extension.name, os.access(extension, os.X_OK)) == ("keystart", True)
    # AWS's images start their own runtime. Another image starts the client that the simulator starts too.
    assert built.entrypoint == (["python", "-m", "awslambdaric"] if recipe.startswith("slim") else [])


def test_the_compiled_configuration_is_that_of_the_yaml_beside_it() -> None:
    yaml = EXAMPLES / "python/keystart.yaml"
    assert yaml.with_suffix(".json").read_text() == load_file(yaml).compiled()


BROKEN = {
    "sam": ("sam/template.yaml", "Layers:", "Layer:", "'Layer' was unexpected"),
    "cdk": ("cdk/app.mjs", "'keystartLayer'", "'layer'", "Say which layer: -c keystartLayer=ARN"),
    "serverless": ("ruby/serverless.yml", "layers:", "layer:", "unrecognized property 'layer'"),
    "terraform": ("terraform/main.tf", "var.keystart_layer", "var.layer", "refers to var.layer, which"),
    "aws-python": (
        "container/aws-python.Dockerfile",
        "python/keystart.json",
        "keystart.json",
        "the build context has no keystart.json",
    ),
}


@pytest.mark.parametrize("recipe", BROKEN)
def test_a_broken_recipe_is_refused(tmp_path: Path, recipe: str) -> None:
    file, right, wrong, why = BROKEN[recipe]
    examples = tmp_path / "examples"
    shutil.copytree(EXAMPLES, examples, ignore=shutil.ignore_patterns("node_modules"))
    (examples / "layer").mkdir()
    text = (examples / file).read_text()
    assert text.count(right) == 1
    (examples / file).write_text(text.replace(right, wrong))
    with pytest.raises(RecipeError) as refused:
        image(examples, recipe) if recipe in IMAGES else DEPLOYMENTS[recipe](examples)
    assert why in str(refused.value)


def test_the_page_names_every_file_and_every_file_is_there() -> None:
    files = {
        str(path.relative_to(ROOT))
        for path in EXAMPLES.rglob("*")
        if path.is_file() and "node_modules" not in path.parts
    }
    assert set(re.findall(r"\]\(\.\./(examples/[^)]+)\)", PAGE)) == files
