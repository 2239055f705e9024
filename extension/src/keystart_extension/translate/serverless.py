"""The serverless.yml of the Serverless Framework: `${ssm:…}` in variables of functions."""

from __future__ import annotations

import re

from .documents import Document, get, members, text
from .findings import Findings, Secret, name_of

_SSM = re.compile(
    r"\$\{ssm(?:\((?:([a-z]{2,4}(?:-[a-z]+)+-[0-9]+))?[ ,]*(?:raw|noDecrypt)?\)|\.([a-z0-9-]+))?:(.+)\}"
)
_REFERENCE = "/aws/reference/secretsmanager/"
# What names a stage in these files.
_STAGE = re.compile(r"\$\{(?:sls:stage|self:provider\.stage|opt:stage(?:,[^{}]*)?|self:custom\.stage)\}")


def is_service(document: Document) -> bool:
    """Returns whether a document is a serverless.yml."""
    return document.get("service") is not None and document.get("provider") is not None


def read(document: Document, function: str | None, findings: Findings) -> None:
    """Finds the references of a service."""
    environments = [document.get("provider", "environment")]
    for name, body in members(document.get("functions")):
        findings.functions.append(name)
        if function in (None, name):
            environments.append(get(body, "environment"))
    seen = set[int]()
    for environment in environments:
        for env, value in members(environment):
            seen.add(id(value))
            found = text(value)
            if found is None or "${ssm" not in found:
                continue
            place = document.place(value)
            resolved = _STAGE.sub("${STAGE}", found)
            if resolved != found:
                findings.note("Set the function's variable STAGE to the stage.")
            reference = _SSM.fullmatch(resolved)
            if reference is None or "${ssm" in reference[3]:
                findings.refuse(
                    place, f"{env} has text around the reference. Put the parts together in the code."
                )
                continue
            region = reference[1] or reference[2]
            _, comma, _ = reference[3].partition(",")
            if comma and "}" not in reference[3]:
                findings.refuse(place, f"{env} has a default, which Keystart does not have. Write the entry.")
                continue
            id_ = re.sub("~(true|false|split|raw|noDecrypt)$", "", reference[3])
            others = [name for name in re.findall(r"\$\{(.*?)\}", id_) if name != "STAGE"]
            if others:
                findings.refuse(
                    place,
                    f"{env} needs ${{{others[0].partition(',')[0]}}}, which a function does not know. Write its id.",
                )
                continue
            source = (
                {"secret": id_.removeprefix(_REFERENCE)} if id_.startswith(_REFERENCE) else {"parameter": id_}
            )
            findings.secrets.append(Secret(name_of(env), source, place, env, region))
    if function is None:
        for path, node in document.walk():
            if id(node) not in seen and "${ssm" in (text(node) or ""):
                findings.refuse(
                    document.place(node),
                    f"{'.'.join(path[-2:])} is not a variable of a function. Write its id where a function uses it.",
                )
