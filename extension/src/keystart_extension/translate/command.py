"""Finds out which form a file has, and writes the result. The core checks every entry before it is written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..deploy import DeployError
from ..deploy.terms import shown_file
from ..files import FileError, read_text
from ..output import OutputError, existing, write
from ..plan import ConfigurationError, Plan
from ..text import shown_path
from . import cloudformation, ecs, kubernetes, lines, serverless, square
from .documents import Document, DocumentError
from .findings import Findings, Secret

_EXIT_FAILED = 1
_EXIT_INCOMPLETE = 3
_LARGEST = 4 * 1024 * 1024
_YAML = (".yaml", ".yml", ".json", ".template")
_PLAIN = re.compile(r"(?:ssm:)?[A-Za-z/][A-Za-z0-9/_.-]*(?::[A-Za-z0-9]+)?")
# Words that YAML reads as something else.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def translate(paths: Sequence[Path], function: str | None, output: str | None) -> int:
    """Translates files into one configuration, and returns the exit code."""
    findings = Findings()
    for path in paths:
        _read(path, function, findings)
    if function is not None and function not in findings.functions:
        known = f"They have {', '.join(findings.functions)}." if findings.functions else "They have none."
        raise DeployError(f"No file has a function or a container with the name of --function. {known}")
    region, secrets = _in_one_region(_merged(findings), findings)
    secrets = _checked(region, secrets, findings)
    for problem in sorted(findings.problems):
        print(f"{problem.place}: {problem.reason}", file=sys.stderr)
    for note in findings.notes:
        print(f"keystart: {note}", file=sys.stderr)
    if not secrets:
        print("keystart: There is no reference to a secret that can be translated.", file=sys.stderr)
        return _EXIT_INCOMPLETE if findings.problems else _EXIT_FAILED
    text = _written(region, secrets)
    if output == "-":
        print(text, end="")
    else:
        _write(Path(output or "keystart.yaml"), text, is_named=output is not None)
    return _EXIT_INCOMPLETE if findings.problems else 0


def _read(path: Path, function: str | None, findings: Findings) -> None:
    file = shown_file(path)
    try:
        text = read_text(path, _LARGEST)
    except FileError as error:
        raise DeployError(f"{file} {error}") from None
    if lines.is_env(path):
        lines.read_env(text, file, findings)
    elif path.suffix in _YAML:
        try:
            documents = Document.read(text, file)
        except DocumentError as error:
            raise DeployError(str(error)) from None
        _read_documents(path, documents, function, findings)
    else:
        lines.read_code(text, file, findings)


def _read_documents(
    path: Path, documents: Sequence[Document], function: str | None, findings: Findings
) -> None:
    manifests = [document for document in documents if kubernetes.is_manifest(document)]
    kubernetes.read(manifests, findings)
    is_known = bool(manifests)
    for document in documents:
        if square.is_square(document):
            square.read(path, document.file, findings)
        elif cloudformation.is_template(document):
            cloudformation.read(document, function, findings)
        elif serverless.is_service(document):
            serverless.read(document, function, findings)
        elif ecs.is_task(document):
            ecs.read(document, function, findings)
        else:
            continue
        is_known = True
    if not is_known:
        raise DeployError(
            f"{shown_file(path)} has none of the forms that keystart import knows: see keystart import --help."
        )


def _merged(findings: Findings) -> list[Secret]:
    """Returns each secret once. A name that means two different things stays with the first."""
    known: dict[str, Secret] = {}
    for secret in findings.secrets:
        before = known.setdefault(secret.name, secret)
        if (before.source, before.env) != (secret.source, secret.env):
            findings.refuse(
                secret.place,
                f"{secret.name} is another secret here than at {before.place}. Pass --function, or one file at a time.",
            )
    return list(known.values())


def _in_one_region(secrets: Sequence[Secret], findings: Findings) -> tuple[str | None, list[Secret]]:
    """Returns the region of the configuration, and the secrets that are there. An ARN has its own region."""
    regions = {secret.region for secret in secrets if not _is_arn(secret)}
    if len(regions) <= 1:
        return next(iter(regions), None), list(secrets)
    for secret in secrets:
        if secret.region is not None and not _is_arn(secret):
            findings.refuse(
                secret.place,
                f"{secret.name} is in {secret.region}, and others are not. Write its ARN, which names the region.",
            )
    return None, [secret for secret in secrets if secret.region is None or _is_arn(secret)]


def _is_arn(secret: Secret) -> bool:
    return any(str(secret.source.get(key, "")).startswith("arn:") for key in ("secret", "parameter"))


def _checked(region: str | None, secrets: Sequence[Secret], findings: Findings) -> list[Secret]:
    """Returns the secrets that the core takes, alone and beside those before."""
    if _problem(region, secrets) is None:
        return list(secrets)
    taken: list[Secret] = []
    for secret in secrets:
        if (problem := _problem(region, [*taken, secret])) is None:
            taken.append(secret)
        else:
            findings.refuse(secret.place, problem)
    return taken


def _problem(region: str | None, secrets: Sequence[Secret]) -> str | None:
    """Returns what the core has against a configuration of these secrets."""
    text = _written(region, secrets)
    values = dict.fromkeys(re.findall(r"\$\{([A-Za-z0-9_]+)\}", text), "x")
    with TemporaryDirectory(prefix="keystart-import-") as folder:
        file = Path(folder) / "keystart.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            Plan.file(file, values)
        except ConfigurationError as error:
            message: str = error.problems[0]["message"]
            return message
    return None


def _written(region: str | None, secrets: Sequence[Secret]) -> str:
    text = ["version: 1", *([f"region: {_scalar(region)}"] if region else []), "secrets:"]
    for secret in secrets:
        guess = f"  # a guess: {secret.place}" if secret.is_guess else ""
        text.append(f"  {_scalar(secret.name)}: {_entry(secret)}{guess}")
    return "\n".join(text) + "\n"


def _entry(secret: Secret) -> str:
    """Returns an entry in its shortest form."""
    keys: dict[str, str | bool] = {**secret.source, **({"env": secret.env} if secret.env else {})}
    match keys:
        case {"secret": str(id_), **rest} if not rest:
            return _scalar(id_)
        case {"parameter": str(id_), **rest} if not rest:
            return _scalar(id_ if id_.startswith("arn:") else f"ssm:{id_}")
    return f"{{ {', '.join(f'{key}: {_scalar(value)}' for key, value in keys.items())} }}"


def _scalar(value: str | bool) -> str:
    """Returns a value as YAML, in quotes unless it can only be that text."""
    if isinstance(value, bool):
        return json.dumps(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _write(path: Path, text: str, *, is_named: bool) -> None:
    try:
        old = existing(path)
        if old is not None and not is_named:
            raise DeployError(f"{shown_path(str(path))} exists. To replace it, name it with --output.")
        write(path, text, old)
    except OutputError as error:
        raise DeployError(str(error)) from None
    print(path)
