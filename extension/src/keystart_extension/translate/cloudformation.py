"""Templates of CloudFormation and SAM: dynamic references in variables of functions, and task definitions of ECS."""

from __future__ import annotations

import re

from .documents import Document, MappingNode, Node, ScalarNode, get, items, members, text
from .findings import Findings, Place, Secret, name_of
from .references import DYNAMIC, own_account, source_of

_FUNCTIONS = ("AWS::Lambda::Function", "AWS::Serverless::Function")
_TASK = "AWS::ECS::TaskDefinition"


def is_template(document: Document) -> bool:
    """Returns whether a document is a template."""
    return any(
        document.get(key) is not None for key in ("AWSTemplateFormatVersion", "Resources", "Transform")
    )


def read(document: Document, function: str | None, findings: Findings) -> None:
    """Finds the references of a template. `function` is the logical id of one function or task definition."""
    variables = [("Globals", document.get("Globals", "Function", "Environment", "Variables"))]
    for name, resource in members(document.get("Resources")):
        kind = text(get(resource, "Type"))
        if kind in (*_FUNCTIONS, _TASK):
            findings.functions.append(name)
        if function not in (None, name):
            continue
        if kind in _FUNCTIONS:
            variables.append((name, get(resource, "Properties", "Environment", "Variables")))
        elif kind == _TASK:
            for container in items(get(resource, "Properties", "ContainerDefinitions")):
                for one in items(get(container, "Secrets")):
                    env = text(get(one, "Name"))
                    if env is not None:
                        _add(document, env, get(one, "ValueFrom"), findings, is_task=True)
    seen = set()
    for _, mapping in variables:
        for env, value in members(mapping):
            seen |= {id(node) for _, node in Document(value, document.file).walk()}
            if _holds(value):
                _add(document, env, value, findings, is_task=False)
    if function is None:
        for path, node in document.walk():
            if id(node) not in seen and isinstance(node, ScalarNode) and DYNAMIC.search(node.value):
                findings.refuse(
                    document.place(node),
                    f"{'.'.join(path[-2:])} is not a variable of a function, and stays in the template.",
                )


def _holds(value: Node) -> bool:
    nodes = (node for _, node in Document(value, "").walk())
    return any(isinstance(node, ScalarNode) and "{{resolve:" in node.value for node in nodes)


def _add(document: Document, env: str, value: Node | None, findings: Findings, *, is_task: bool) -> None:
    """Adds one variable."""
    if value is None:
        return
    place = document.place(value)
    found = _text(value)
    # In Fn::Sub the name of a resource stands for what Ref returns: of a secret, the ARN.
    resources = {name for name, _ in members(document.get("Resources"))}
    if found is None or not resources.isdisjoint(re.findall(r"\$\{(\w+)[.}]", found)):
        findings.refuse(place, f"{env} is made of other resources of the template. Write its id.")
        return
    source = source_of(own_account(found))
    if source is None and is_task:
        source = {"parameter": found}  # ECS takes the name of a parameter as it is
    if source is None:
        findings.refuse(place, f"{env} has text around the reference. Put the parts together in the code.")
        return
    if _variables(env, source.values(), place, findings):
        findings.secrets.append(Secret(name_of(env), source, place, env))


def _text(value: Node) -> str | None:
    """Returns the text of a value, with the `${…}` of Fn::Sub."""
    if isinstance(value, ScalarNode):
        return value.value if value.tag in ("!Sub", "tag:yaml.org,2002:str") else None
    if isinstance(value, MappingNode) and [key for key, _ in members(value)] == ["Fn::Sub"]:
        return text(get(value, "Fn::Sub"))
    return None


def _variables(env: str, values: object, place: Place, findings: Findings) -> bool:
    """Returns whether Keystart can replace the `${…}` of an id."""
    for name in re.findall(r"\$\{(.*?)\}", " ".join(map(str, values))):  # type: ignore[call-overload]
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]+", name):
            findings.refuse(place, f"{env} needs ${{{name}}}, which a function does not know. Write its id.")
            return False
        findings.note(f"Set the function's variable {name} to the value of ${{{name}}}.")
    return True
