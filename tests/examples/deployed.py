"""Returns what each recipe of examples/ deploys, as its own kind of tool makes it. It runs no function."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import hcl2
from cfnlint.api import lint
from cfnlint.decode import cfn_yaml
from dockerfile_parse import DockerfileParser
from samtranslator.translator.transform import transform

from tests import ROOT

EXAMPLES = ROOT / "examples"
TOOLS = Path(__file__).parent / "tools/node_modules"
ACCOUNT, REGION = "123456789012", "eu-west-1"
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:keystart-x86_64:7"
_HERE = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT}


class RecipeError(Exception):
    """The tool refuses the recipe. The message is the tool's."""


@dataclass(frozen=True)
class Function:
    """What Lambda starts."""

    language: str
    code: Path
    """The folder that Lambda mounts as /var/task."""
    handler: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Deployment(Function):
    """A function in a zip, and its configuration."""

    architectures: Sequence[str]
    layers: Sequence[str]
    allowed: Sequence[tuple[str, str]]
    """Action and resource of each permission of its role, except those for its log."""


@dataclass(frozen=True)
class Image(Function):
    """A function in an image, with the files of its Dockerfile."""

    opt: Path
    entrypoint: Sequence[str]


def sam(examples: Path) -> Deployment:
    """Translates the template as `sam deploy` does."""
    file = examples / "sam/template.yaml"
    template = linted(file)
    (resource,) = template["Resources"].values()
    code = file.parent / resource["Properties"]["CodeUri"]
    resource["Properties"]["CodeUri"] = {"Bucket": "packaged", "Key": "code"}  # as `sam package` writes it

    class Policies:
        def load(self) -> dict[str, str]:
            name = "AWSLambdaBasicExecutionRole"
            return {name: f"arn:aws:iam::aws:policy/service-role/{name}"}

    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)  # it asks boto3 for the partition
    return _stack(transform(template, {"KeystartLayer": LAYER}, Policies()), code)


def cdk(examples: Path) -> Deployment:
    """Synthesises the app in a separate process, with node and without the command cdk."""
    (examples / "cdk/node_modules").symlink_to(TOOLS)
    out = examples / "cdk/cdk.out"
    context = json.dumps({"keystartLayer": LAYER})
    run(["node", "app.mjs"], examples / "cdk", CDK_OUTDIR=str(out), CDK_CONTEXT_JSON=context)
    (code,) = out.glob("asset.*/")
    return _stack(linted(out / "Webhook.template.json"), code)


def serverless(examples: Path) -> Deployment:
    """Packages the service with osls, and takes the function out of its zip."""
    folder = examples / "ruby"
    run([str(TOOLS / ".bin/osls"), "package", "--param", f"keystartLayer={LAYER}"], folder)
    code = folder / "unpacked"
    zipfile.ZipFile(folder / ".serverless/tokens.zip").extractall(code)
    return _stack(linted(folder / ".serverless/cloudformation-template-update-stack.json"), code)


def terraform(examples: Path) -> Deployment:
    """Reads main.tf, because no terraform is installed here that would plan it."""
    folder = examples / "terraform"
    blocks = _blocks(folder / "main.tf")
    known = {
        "var.keystart_layer": LAYER,
        "path.module": str(folder),
        "data.aws_partition.current.partition": "aws",
        "data.aws_region.current.region": REGION,
        "data.aws_caller_identity.current.account_id": ACCOUNT,
        "local.here": f"{REGION}:{ACCOUNT}",
    }

    def value(text: str) -> str:
        return re.sub(r"\$\{(.*?)\}", lambda found: known[found[1]], text)

    function = blocks["aws_lambda_function.tokens"]
    assert function["role"] == "${aws_iam_role.tokens.arn}"
    assert function["filename"] == "${data.archive_file.tokens.output_path}"
    assert blocks["aws_iam_role_policy.secrets"]["role"] == "${aws_iam_role.tokens.id}"
    policy = re.fullmatch(r"\$\{(.*)\.json\}", blocks["aws_iam_role_policy.secrets"]["policy"])
    assert policy is not None
    code = folder / "unpacked"
    code.mkdir()
    shutil.copy(value(blocks["data.archive_file.tokens"]["source_file"]), code)
    (environment,) = function["environment"]
    return Deployment(
        language=_language(function["runtime"]),
        code=code,
        handler=function["handler"],
        environment={name: value(text) for name, text in environment["variables"].items()},
        architectures=function["architectures"],
        layers=[value(layer) for layer in function["layers"]],
        allowed=[
            (action, value(resource))
            for statement in blocks[policy[1]]["statement"]
            for action in statement["actions"]
            for resource in statement["resources"]
        ],
    )


DEPLOYMENTS: Mapping[str, Callable[[Path], Deployment]] = {
    "sam": sam,
    "cdk": cdk,
    "serverless": serverless,
    "terraform": terraform,
}
IMAGES = sorted(path.name.partition(".")[0] for path in (EXAMPLES / "container").iterdir())


def image(examples: Path, name: str) -> Image:
    """Follows the Dockerfile with files, in a folder below `examples`, its build context."""
    text = (examples / f"container/{name}.Dockerfile").read_bytes()
    parser = DockerfileParser(fileobj=BytesIO(text))
    by_aws = parser.baseimage.startswith("public.ecr.aws/lambda/")
    root = examples / f"image-{name}"
    variables, folder = ({"LAMBDA_TASK_ROOT": "/var/task"}, "/var/task") if by_aws else ({}, "/")
    entrypoint: list[str] = []
    for step in parser.structure:
        value: str = step["value"]
        match step["instruction"]:
            case "COPY":
                *sources, target = (_filled_in(word, variables) for word in shlex.split(value))
                _copy(examples, sources, root / str(Path(folder) / target).lstrip("/"))
            case "WORKDIR":
                folder = value
            case "ENTRYPOINT":
                entrypoint = json.loads(value)
            case "RUN" if value == "pip install --no-cache-dir awslambdaric":
                pass  # the simulator has its own
            case "FROM" | "ENV" | "CMD" | "COMMENT":
                pass  # the parser handles it
            case other:
                raise RecipeError(f"{other} {value}: this test does not know what that does")
    (handler,) = json.loads(parser.cmd)
    return Image(
        language="node" if "node" in name else "python",
        code=root / "var/task",
        handler=handler,
        environment=dict(parser.envs),
        opt=root / "opt",
        entrypoint=entrypoint,
    )


def _filled_in(word: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word)


def _copy(context: Path, sources: Sequence[str], target: Path) -> None:
    for source in sources:
        path = context / source
        if path.is_dir():  # copies its content, as docker does
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif path.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        else:
            raise RecipeError(f"COPY: the build context has no {source}")


def linted(file: Path) -> dict[str, Any]:
    """Returns a template in which CloudFormation's schemas and the rules of cfn-lint find no error."""
    text = file.read_text()
    errors = [match.message for match in lint(text, regions=[REGION]) if match.rule.severity == "error"]
    if errors:
        raise RecipeError(f"{file.name}: {'; '.join(errors)}")
    template: dict[str, Any] = json.loads(json.dumps(cfn_yaml.loads(text)))
    return template


def _stack(template: Mapping[str, Any], code: Path) -> Deployment:
    resources = list(template["Resources"].values())

    def of(kind: str) -> Iterator[Mapping[str, Any]]:
        return (one["Properties"] for one in resources if one["Type"] == kind)

    (function,) = of("AWS::Lambda::Function")
    policies = [policy for role in of("AWS::IAM::Role") for policy in role.get("Policies", [])]
    policies += of("AWS::IAM::Policy")
    allowed = [
        (action, resolved(resource))
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if not action.startswith("logs:")
    ]
    return Deployment(
        language=_language(function["Runtime"]),
        code=code,
        handler=function["Handler"],
        environment=function.get("Environment", {"Variables": {}})["Variables"],
        architectures=function["Architectures"],
        layers=[resolved(layer) for layer in function["Layers"]],
        allowed=allowed,
    )


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resolved(value: Any) -> str:
    """Returns the text of a CloudFormation value, in the account and region of the tests."""
    match value:
        case str():
            return value
        case {"Ref": "KeystartLayer"}:
            return LAYER
        case {"Ref": name}:
            return _HERE[name]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(.*?)\}", lambda found: _HERE[found[1]], text)
        case {"Fn::Join": [glue, parts]}:
            return str(glue).join(resolved(part) for part in parts)
    raise AssertionError(f"this test cannot resolve {value}")


def _language(runtime: str) -> str:
    (name,) = re.findall(r"^(python|node|ruby)", runtime)
    return str(name)


def _blocks(file: Path) -> dict[str, Any]:
    """Returns everything that a Terraform file declares, by the address that others use for it."""
    options = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    try:
        with file.open() as lines:
            document = hcl2.load(lines, serialization_options=options)
    except Exception as error:  # whatever its parser raises
        raise RecipeError(f"{file.name}: {error}") from error
    blocks: dict[str, Any] = {}
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for block in document[kind]:
            for of, named in block.items():
                blocks |= {f"{prefix}{of}.{name}": body for name, body in named.items()}
    for block in document["variable"]:
        blocks |= {f"var.{name}": body for name, body in block.items()}
    for block in document["locals"]:
        blocks |= {f"local.{name}": body for name, body in block.items()}
    for reference in re.findall(r"\$\{(.*?)\}", json.dumps(document)):
        declared = any(f"{reference}.".startswith(f"{address}.") for address in [*blocks, "path"])
        if not declared:
            raise RecipeError(f"{file.name} refers to {reference}, which it does not declare")
    return blocks


def run(command: Sequence[str], folder: Path, **variables: str) -> str:
    """Runs a tool and returns its output."""
    # Without the caller's credentials, and without settings of npm and of the tools.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RecipeError(done.stdout + done.stderr)
    return done.stdout
