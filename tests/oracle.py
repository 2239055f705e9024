"""Fetches with boto3 as people write it in an afternoon: one call for each entry, no batches, retries or deadline.

Tests compare the core's fetch with it: the same names, the same bytes, the same codes of failures, the same hosts.
It reads a plan as `keystart check --json` prints it, and uses none of Keystart's code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_ONCE = Config(retries={"total_max_attempts": 1})
Entry = Mapping[str, Any]


class Oracle:
    """The secrets of a plan: `values` by name, and by entry the `codes` of those without any."""

    def __init__(self, plan: Mapping[str, Any], region: str) -> None:
        self.values: dict[str, bytes] = {}
        self.codes: dict[str, str] = {}
        self._region = plan["region"] or region
        self._clients: dict[tuple[str, str, str | None], Any] = {}
        try:
            for entry in plan["entries"]:
                self._add(entry)
        finally:
            for client in self._clients.values():
                client.close()

    def _add(self, entry: Entry) -> None:
        try:
            values = _checked(self._fetched(entry))
        except ClientError as error:
            self.codes[entry["name"]] = error.response["Error"]["Code"]
        except _FailureError as failure:
            self.codes[entry["name"]] = str(failure)
        else:
            self.values |= values

    def _fetched(self, entry: Entry) -> dict[str, bytes]:
        if entry["kind"] == "parameter":
            return {entry["name"]: self._parameter(entry)}
        if entry["kind"] == "parameters":
            return self._parameters(entry)
        value = self._secret(entry)
        if entry["field"] is None and not entry["expand"]:
            return {entry["name"]: value}
        members = _members(value)
        if entry["expand"]:
            if not members:
                raise _FailureError("NothingToExpand")
            return {f"{entry['name']}/{member}": text for member, text in members.items()}
        if entry["field"] not in members:
            raise _FailureError("FieldNotFound")
        return {entry["name"]: members[entry["field"]]}

    def _secret(self, entry: Entry) -> bytes:
        version = {"VersionStage": entry["stage"], "VersionId": entry["version_id"]}
        asked = {name: value for name, value in version.items() if value is not None}
        answer = self._client("secretsmanager", entry).get_secret_value(SecretId=entry["id"], **asked)
        value: bytes = answer["SecretString"].encode() if "SecretString" in answer else answer["SecretBinary"]
        return value

    def _parameter(self, entry: Entry) -> bytes:
        answer = self._client("ssm", entry).get_parameters(Names=[entry["id"]], WithDecryption=True)
        if not answer["Parameters"]:
            raise _FailureError("ParameterNotFound")
        value: str = answer["Parameters"][0]["Value"]
        return value.encode()

    def _parameters(self, entry: Entry) -> dict[str, bytes]:
        pages = self._client("ssm", entry).get_paginator("get_parameters_by_path")
        found = pages.paginate(Path=entry["id"], Recursive=True, WithDecryption=True).search("Parameters")
        start = len(entry["id"].rstrip("/")) + 1
        values = {f"{entry['name']}/{one['Name'][start:]}": one["Value"].encode() for one in found}
        if not values:
            raise _FailureError("ParameterNotFound")
        return values

    def _client(self, service: str, entry: Entry) -> Any:
        key = (service, entry["region"] or self._region, entry["role"])
        if key not in self._clients:
            make: Any = self._session(entry["role"]).client
            self._clients[key] = make(service, region_name=key[1], config=_ONCE)
        return self._clients[key]

    def _session(self, role: str | None) -> boto3.Session:
        if role is None:
            return boto3.Session()
        sts = boto3.Session().client("sts", region_name=self._region, config=_ONCE)
        try:
            given = sts.assume_role(RoleArn=role, RoleSessionName="keystart")["Credentials"]
        finally:
            sts.close()
        return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


class _FailureError(Exception):
    """An entry has no secrets. The text is the code."""


def _members(value: bytes) -> dict[str, bytes]:
    try:
        document = json.loads(value.decode())
    except ValueError:
        raise _FailureError("NotJson") from None
    if not isinstance(document, dict):
        raise _FailureError("NotAnObject")
    # The tests write secrets with json.dumps, so json.dumps returns a member's original text.
    return {
        name: (member if isinstance(member, str) else json.dumps(member)).encode()
        for name, member in document.items()
    }


def _checked(values: dict[str, bytes]) -> dict[str, bytes]:
    valid = {name: value for name, value in values.items() if _NAME.fullmatch(name)}
    if values and not valid:
        raise _FailureError("InvalidName")
    folders = {folder for name in valid for folder in _folders(name)}
    return {name: value for name, value in valid.items() if name not in folders}


def _folders(name: str) -> Iterable[str]:
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))
