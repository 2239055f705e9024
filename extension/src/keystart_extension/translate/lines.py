"""Files that are read line by line: .env files with references, chamber in scripts, and code, by patterns."""

from __future__ import annotations

import re
from pathlib import Path

from .findings import Findings, Place, Secret, name_of
from .references import source_of

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_CHAMBER = re.compile(r"\bchamber\s+([^|;&]*?)\bexec\s+([^|;&]*?)\s+--(?:\s|$)")
_OTHER_CHAMBER = re.compile(r"\bchamber\s+(?:-\S+\s+)*(read|env|export)\s")
_BACKEND = re.compile(r"(?:-b|--backend)[\s=]+(?!ssm\b)\S")
_SERVICE = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_TEXT = r"""["'`]([A-Za-z0-9/_+=.@!:-]+)["'`]"""
# How code asks for a secret or a parameter, by the kind that it asks for.
_PATTERNS = {
    "secret": [
        re.compile(r"secretsmanager/get\?secretId=([A-Za-z0-9/_+=.@!:%-]+)"),
        re.compile(rf"\b(?:get_secret|getSecret|getSecretString|get_secret_value)\w*\(\s*{_TEXT}"),
        re.compile(r"\bsecretsmanager\s+get-secret-value\b.*?--secret-id[\s=]+[\"']?([A-Za-z0-9/_+=.@!:-]+)"),
        re.compile(rf"\b[Ss]ecret_?[Ii]d[\"']?\s*[:=]+>?\s*{_TEXT}"),
    ],
    "parameter": [
        re.compile(r"systemsmanager/parameters/get\?name=([A-Za-z0-9/_.%:-]+)"),
        re.compile(r"\bssm\s+get-parameter\b.*?--name[\s=]+[\"']?([A-Za-z0-9/_.:-]+)"),
        re.compile(rf"\b(?:get_parameter|getParameter)\(\s*{_TEXT}"),
    ],
    "parameters": [re.compile(rf"\b(?:get_parameters|getParameters)\(\s*{_TEXT}")],
}
# The same requests, with an id that the code puts together. The definition of a function is none.
_NO_TEXT = rf"(?!{_TEXT})"
_COMPUTED = re.compile(
    r"""(?:get-secret-value\b.*?--secret-id|ssm\s+get-parameter\b.*?--name)[\s=]+["']?\$"""
    r"""|(?:secretsmanager/get\?secretId=|systemsmanager/parameters/get\?name=)[${"'`]"""
    rf"|(?<!def )(?<!function )\b(?:get_secret|getSecret|get_parameters?|getParameters?)\({_NO_TEXT}[^\s)]"
    rf"|\bSecretId[\"']?\s*(?:=>|[:=])\s*(?!str\b|string\b){_NO_TEXT}\S"
)


def is_env(path: Path) -> bool:
    """Returns whether a file is a .env file by its name."""
    return path.name.startswith(".env") or path.suffix == ".env"


def read_env(text: str, file: str, findings: Findings) -> None:
    """Finds the variables whose values are references. It shows none of the others."""
    for number, line in enumerate(text.splitlines(), 1):
        found = _ASSIGNMENT.fullmatch(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        env, value = found[1], found[2].strip()
        if value[:1] in ("'", '"') and value[-1:] == value[:1]:
            value = value[1:-1]
        source = source_of(value)
        if source is not None:
            findings.secrets.append(Secret(name_of(env), source, Place(file, number), env))
        elif "{{resolve:" in value or ":secretsmanager:" in value:
            findings.refuse(
                Place(file, number),
                f"{env} has text around the reference. Put the parts together in the code.",
            )


def read_code(text: str, file: str, findings: Findings) -> None:
    """Finds what looks like a request for a secret. Everything in code is a guess; chamber's services are not."""
    for number, line in enumerate(text.splitlines(), 1):
        place = Place(file, number)
        if _OTHER_CHAMBER.search(line):
            findings.refuse(
                place, "Only exec of chamber is translated. Write an entry for what the line reads."
            )
        for found in _CHAMBER.finditer(line):
            if _BACKEND.search(found[1]):
                findings.refuse(
                    place, "chamber reads from another store here than Parameter Store. Write its entries."
                )
                continue
            findings.note(
                "chamber sets variables. With Keystart the code reads the parameters by their names: DB_URL of the "
                "service orders is orders/db_url."
            )
            for service in found[2].split():
                if service.startswith("-"):
                    continue  # an option
                if _SERVICE.fullmatch(service):
                    findings.secrets.append(Secret(name_of(service), {"parameters": f"/{service}"}, place))
                else:
                    findings.refuse(
                        place, "The line does not name the service of chamber itself. Write its path."
                    )
        for kind, patterns in _PATTERNS.items():
            for pattern in patterns:
                for found in pattern.finditer(line):
                    id_ = found[1].replace("%2F", "/").replace("%3A", ":")
                    source = source_of(id_) or {kind: id_}
                    # What Secrets Manager puts behind a name in an ARN is not a part of the name.
                    of_arn = re.sub("-[A-Za-z0-9]{6}$", "", id_.rpartition(":")[2])
                    name = name_of(of_arn if id_.startswith("arn:") else id_)
                    findings.secrets.append(Secret(name, source, place, is_guess=True))
        if _COMPUTED.search(line):
            findings.refuse(place, "The id is put together in the code. Write the entry yourself.")
