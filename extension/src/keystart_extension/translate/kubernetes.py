"""Kubernetes: ExternalSecret of the External Secrets Operator, SecretProviderClass of the Secrets Store CSI Driver."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .documents import Document, DocumentError, Node, get, items, text
from .findings import Findings, Place, Secret, name_of
from .references import source_of

_EXTERNAL = ("ExternalSecret", "ClusterExternalSecret")
_STORES = ("SecretStore", "ClusterSecretStore")
_CLASS = "SecretProviderClass"
_NAME = re.compile(r'"([^"\\]+)"|([A-Za-z_][A-Za-z0-9_-]*)')
_NAMES = re.compile(rf"(?:{_NAME.pattern})(?:\.(?:{_NAME.pattern}))*")


def is_manifest(document: Document) -> bool:
    """Returns whether a document is one of these kinds."""
    return text(document.get("kind")) in (*_EXTERNAL, *_STORES, _CLASS)


def read(documents: Sequence[Document], findings: Findings) -> None:
    """Finds the secrets of all manifests of a file. A SecretStore in it says which service others use."""
    stores = {text(one.get("metadata", "name")): one for one in documents if text(one.get("kind")) in _STORES}
    for document in documents:
        kind = text(document.get("kind"))
        if kind in _EXTERNAL:
            spec = document.get("spec", "externalSecretSpec") or document.get("spec")
            _external(document, spec, stores, findings)
        elif kind == _CLASS:
            _class(document, findings)


class _Store(NamedTuple):
    """What a SecretStore says of all that comes from it."""

    service: str | None
    region: str | None
    role: str | None

    def is_of_parameters(self, id_: str) -> bool:
        return self.service == "ParameterStore" or (self.service is None and id_.startswith("/"))

    def secret(self, name: str, source: Mapping[str, str | bool], place: Place) -> Secret:
        of_store = {"role": self.role} if self.role else {}
        return Secret(name_of(name), {**source, **of_store}, place, region=self.region)


def _external(
    document: Document, spec: Node | None, stores: Mapping[str | None, Document], findings: Findings
) -> None:
    found = stores.get(text(get(spec, "secretStoreRef", "name")))
    aws = None if found is None else found.get("spec", "provider", "aws")
    if found is not None and aws is None:
        findings.refuse(document.place(document.root), "Its SecretStore is not one of AWS.")
        return
    if found is None and items(get(spec, "data")) + items(get(spec, "dataFrom")):
        findings.note(
            f"{document.file} has no SecretStore: ids that begin with / are taken for parameters, all others for "
            "secrets. If that is wrong, put the store into the same file."
        )
    if (template := get(spec, "target", "template")) is not None:
        findings.refuse(
            document.place(template),
            "Its template makes new values from the secrets. Put the parts together in the code.",
        )
    store = _Store(text(get(aws, "service")), text(get(aws, "region")), text(get(aws, "role")))
    values, sets = (
        [one for one in items(get(spec, key)) if not _is_of_elsewhere(document, one, findings)]
        for key in ("data", "dataFrom")
    )
    for one in values:
        _value(document, one, store, findings)
    for one in sets:
        _set(document, one, store, findings)


def _is_of_elsewhere(document: Document, one: Node, findings: Findings) -> bool:
    """Returns whether an entry has its own source, and refuses it then."""
    if get(one, "sourceRef") is None:
        return False
    findings.refuse(document.place(one), "It comes from a generator or another store. Write the entry.")
    return True


def _value(document: Document, one: Node, store: _Store, findings: Findings) -> None:
    """Translates an entry of `data`: one value under one name."""
    place, name, id_ = document.place(one), text(get(one, "secretKey")), text(get(one, "remoteRef", "key"))
    if name is None or id_ is None:
        findings.refuse(place, "It has no secretKey or no remoteRef.key.")
        return
    if reason := _change_reason(get(one, "remoteRef")):
        findings.refuse(place, reason)
        return
    field, version = text(get(one, "remoteRef", "property")), text(get(one, "remoteRef", "version"))
    source: dict[str, str | bool]
    if store.is_of_parameters(id_):
        source = {"parameter": f"{id_}:{version}" if version else id_}
    elif version and version.startswith("uuid/"):
        source = {"secret": id_, "version_id": version.removeprefix("uuid/")}
    else:
        source = {"secret": id_, **({"stage": version} if version else {})}
    if field:
        source["field"] = f"/{field.replace('.', '/')}" if "." in field else field
    findings.secrets.append(store.secret(name, source, place))


def _set(document: Document, one: Node, store: _Store, findings: Findings) -> None:
    """Translates an entry of `dataFrom`: the members of a secret in JSON, or all parameters of a folder."""
    place, id_ = document.place(one), text(get(one, "extract", "key"))
    path = text(get(one, "find", "path"))
    if reason := _change_reason(get(one, "extract")):
        findings.refuse(place, reason)
    elif get(one, "rewrite") is not None:
        findings.refuse(place, "Its rewrite changes the names. Write the entry, with the key rename.")
    elif id_ is not None and store.is_of_parameters(id_):
        findings.refuse(place, "It expands the JSON of a parameter, which Keystart does only for secrets.")
    elif id_ is not None:
        findings.secrets.append(store.secret(id_, {"secret": id_, "expand": True}, place))
    elif path is not None and store.service == "ParameterStore":
        findings.secrets.append(store.secret(path, {"parameters": path}, place))
    else:
        findings.refuse(
            place, "It finds secrets by their names or tags, which Keystart does not. Write each id."
        )


def _change_reason(reference: Node | None) -> str | None:
    """Returns why a reference asks for something other than the value; None if it asks for the value."""
    if text(get(reference, "decodingStrategy")) not in (None, "None"):
        return "Its decodingStrategy changes the value, which Keystart does not. Let the code decode it."
    if text(get(reference, "metadataPolicy")) not in (None, "None"):
        return "It asks for tags or labels, which Keystart does not fetch."
    return None


def _class(document: Document, findings: Findings) -> None:
    provider = text(document.get("spec", "provider"))
    objects = document.get("spec", "parameters", "objects")
    if provider != "aws" or objects is None or text(objects) is None:
        findings.refuse(document.place(document.root), "It is not a SecretProviderClass of AWS with objects.")
        return
    try:
        listed = Document.read(text(objects) or "", document.file)
    except DocumentError:
        findings.refuse(document.place(objects), "Its objects are not a list in YAML.")
        return
    if (failover := document.get("spec", "parameters", "failoverRegion")) is not None:
        findings.refuse(document.place(failover), "It has a failoverRegion, which Keystart does not have.")
    if (objects_of := document.get("spec", "secretObjects")) is not None:
        findings.refuse(
            document.place(objects_of),
            "Its secretObjects make Secrets of Kubernetes, which a function does not have. For a variable add env: to "
            "the entry.",
        )
    region = text(document.get("spec", "parameters", "region"))
    for one in items(listed[0].root if listed else None):
        # The text of a block begins in the line after its key.
        place = document.place(objects)._replace(line=objects.start_mark.line + 2 + one.start_mark.line)
        id_, kind = text(get(one, "objectName")), text(get(one, "objectType"))
        if id_ is None:
            findings.refuse(place, "It has no objectName.")
            continue
        if kind not in (None, "secretsmanager", "ssmparameter"):
            findings.refuse(place, "Its objectType is neither secretsmanager nor ssmparameter.")
            continue
        label, version = text(get(one, "objectVersionLabel")), text(get(one, "objectVersion"))
        source: dict[str, str | bool] = dict(
            source_of(id_) or {("parameter" if kind == "ssmparameter" else "secret"): id_}
        )
        if "parameter" in source and (version or label):
            source["parameter"] = f"{source['parameter']}:{version or label}"
        elif version or label:
            source |= {"version_id": version} if version else {"stage": label or ""}
        paths = items(get(one, "jmesPath"))
        for path in paths:
            field, alias = text(get(path, "path")), text(get(path, "objectAlias"))
            if field is None or alias is None:
                findings.refuse(place, "It has a jmesPath without path or objectAlias.")
                continue
            member = _member(field)
            if member is None:
                findings.refuse(place, "It has a jmesPath that is more than names. Write its field by hand.")
                continue
            findings.secrets.append(Secret(name_of(alias), {**source, "field": member}, place, region=region))
        if not paths:
            alias = text(get(one, "objectAlias")) or id_
            findings.secrets.append(Secret(name_of(alias), source, place, region=region))


def _member(path: str) -> str | None:
    """Returns the `field` for a JMESPath of names, which are quoted if they hold a hyphen; None for any other."""
    if not _NAMES.fullmatch(path):
        return None
    names = [quoted or plain for quoted, plain in _NAME.findall(path)]
    if len(names) == 1 and not names[0].startswith("/"):
        return str(names[0])
    return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)
