"""Task definitions of ECS: `secrets` with `valueFrom`."""

from __future__ import annotations

from .documents import Document, Node, get, items, text
from .findings import Findings, Secret, name_of
from .references import source_of


def is_task(document: Document) -> bool:
    """Returns whether a document is a task definition, also as `aws ecs describe-task-definition` prints it."""
    return _containers(document) != []


def read(document: Document, container: str | None, findings: Findings) -> None:
    """Finds the secrets of a task definition."""
    for one in _containers(document):
        name = text(get(one, "name"))
        findings.functions += [name] if name else []
        if container not in (None, name):
            continue
        for secret in items(get(one, "secrets")):
            env, reference = text(get(secret, "name")), text(get(secret, "valueFrom"))
            if env is None or reference is None:
                findings.refuse(document.place(secret), "It has no name or no valueFrom.")
            else:
                source = source_of(reference) or {"parameter": reference}
                findings.secrets.append(Secret(name_of(env), source, document.place(secret), env))


def _containers(document: Document) -> list[Node]:
    return [
        *items(document.get("containerDefinitions")),
        *items(document.get("taskDefinition", "containerDefinitions")),
    ]
