"""A server in front of moto's Lambda. It records requests, and does what moto lacks or a test needs.

moto has no revisions, no packages to download, no tags of functions by service, and no simulation of policies.
"""

from __future__ import annotations

import io
import json
import secrets as randomness
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import boto3

from .aws import REGION, refusal
from .http import Answer, Request, Stub, forward

_TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
# A configuration of a public parameter, which every account has.
OF_NOTHING = b'{"version": 1, "secrets": {"region": "ssm:/aws/service/global-infrastructure/current-region"}}'
_MACHINES = {"x86_64": 62, "arm64": 183}


class Change(NamedTuple):
    """A request that changes something: its path, and its body without the RevisionId."""

    path: str
    body: dict[str, Any]


class Account(Stub):
    """Lambda of one account.

    Each function has a RevisionId, which a change must name and renews, as on AWS. `edit` may change the description of
    a function; `refuse` may refuse a request, or answer it; `allows` decides what IAM's simulation says of a role.
    """

    def __init__(self, moto: str) -> None:
        super().__init__(self._say)
        self._moto = moto
        self._revisions: dict[str, int] = {}
        self.edit: Callable[[str, dict[str, Any]], None] = lambda *_: None
        self.refuse: Callable[[Request], Answer | None] = lambda _: None
        self.allows: Callable[[str, str], bool] = lambda *_: True
        self._packages: dict[str, bytes] = {}
        session = boto3.Session("made-up", "made-up", region_name=REGION)
        self.api = session.client("lambda", endpoint_url=moto)
        self._secrets = session.client("secretsmanager", endpoint_url=moto)
        self._parameters = session.client("ssm", endpoint_url=moto)
        iam = session.client("iam", endpoint_url=moto)
        document = json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]})
        name = f"role-{randomness.token_hex(8)}"
        self._role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.close()

    def layer(self, name: str, **settings: Any) -> str:
        """Publishes a layer by hand, and returns the ARN of its version."""
        content: Any = {"ZipFile": zipped({"share/x": b"x"})}
        return self.api.publish_layer_version(LayerName=name, Content=content, **settings)["LayerVersionArn"]

    def move(self, name: str) -> None:
        """Puts a new version into a secret, which is then the current one."""
        self._secrets.put_secret_value(SecretId=name, SecretString=randomness.token_hex(8))

    def secret(self, name: str, key: str = "") -> str:
        """Stores a secret, if it does not exist, and returns its ARN."""
        with_key: Any = {"KmsKeyId": key} if key else {}
        with suppress(self._secrets.exceptions.ResourceExistsException):
            self._secrets.create_secret(Name=name, SecretString="x", **with_key)
        arn: str = self._secrets.describe_secret(SecretId=name)["ARN"]
        return arn

    def parameter(self, name: str, key: str = "") -> None:
        """Stores a parameter, which is a SecureString if it has a key."""
        kind: Any = {"Type": "SecureString", "KeyId": key} if key else {"Type": "String"}
        self._parameters.put_parameter(Name=name, Value="x", Overwrite=True, **kind)

    def close(self) -> None:
        """Removes the functions, which moto would list for the next test too, and closes the clients' connections."""
        for name in self._packages:
            with suppress(self.api.exceptions.ResourceNotFoundException):
                self.api.delete_function(FunctionName=name)
        self._parameters.close()
        self._secrets.close()
        self.api.close()

    def function(
        self,
        variables: Mapping[str, str] | None = None,
        layers: tuple[str, ...] = (),
        files: Iterable[str] = ("app.py", "keystart.json"),
        contents: Mapping[str, bytes] | None = None,
        **settings: Any,
    ) -> str:
        """Makes a function with these files in its package, or with these contents, and returns its name."""
        name = f"orders-{randomness.token_hex(4)}"
        self._packages[name] = zipped(contents or dict.fromkeys(files, OF_NOTHING))
        with_variables: Any = {"Environment": {"Variables": variables}} if variables else {}
        defaults: Any = {
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Code": {"ZipFile": self._packages[name]},
            "Timeout": 10,
        }
        self.api.create_function(
            FunctionName=name,
            Role=self._role,
            Layers=list(layers),
            **{**defaults, **with_variables, **settings},
        )
        return name

    def layers_of(self, name: str) -> list[str]:
        return [layer["Arn"] for layer in self.api.get_function_configuration(FunctionName=name)["Layers"]]

    def variables_of(self, name: str) -> dict[str, str]:
        document = self.api.get_function_configuration(FunctionName=name)
        return document["Environment"]["Variables"] if "Environment" in document else {}

    def set_variables(self, name: str, variables: Mapping[str, str]) -> None:
        """Sets the variables by hand, as in the console."""
        self.api.update_function_configuration(FunctionName=name, Environment={"Variables": dict(variables)})

    def somebody_else_changes(self, name: str) -> None:
        self._revisions[name] = self._revision(name) + 1

    @property
    def changes(self) -> list[Change]:
        """Returns the requests that changed something, or would have."""
        changes = []
        for request in self.requests:
            if (
                request.method != "GET" and request.path != "/"
            ):  # there are other services, which change nothing
                body = {key: value for key, value in request.json.items() if key != "RevisionId"}
                changes.append(Change(unquote(request.path), body))
        return changes

    def _revision(self, name: str) -> int:
        return self._revisions.setdefault(name, 1)

    def _say(self, request: Request) -> Answer:
        if refused := self.refuse(request):
            return refused
        if request.action == "SimulatePrincipalPolicy":
            return self._simulation(parse_qs(request.body.decode()))
        if request.action == "GetResources":
            return self._tagged(request.json)
        parts = unquote(request.path).split("/")
        if parts[1] == "packages":
            return _part(self._packages[parts[2]], request.headers["Range"])
        if "functions" not in parts:
            return forward(request, self._moto)
        named = "".join(parts[3:4])  # a list of functions names none
        name = named.split(":")[-1] if named.count(":") > 1 else named.split(":")[0]
        if request.method == "PUT":
            if request.json["RevisionId"] != str(self._revision(name)):
                message = "The Revision Id provided does not match the latest Revision Id."
                return refusal(412, "PreconditionFailedException", message)
            self._revisions[name] = self._revision(name) + 1
        answer = forward(request, self._moto)
        if answer.status != 200 or parts[-1] == "aliases":
            return answer
        document = json.loads(answer.body)
        for listed in document.get("Functions", ()):
            self.edit(listed["FunctionName"], listed)
        if "Functions" in document:
            return Answer(200, json.dumps(document).encode(), answer.headers)
        if "Code" in document and name in self._packages:
            document["Code"]["Location"] = f"{self.url}/packages/{name}"
        configuration = document.get("Configuration", document)
        configuration["RevisionId"] = str(self._revision(name))
        self.edit(name, configuration)
        return Answer(200, json.dumps(document).encode(), answer.headers)

    def _simulation(self, asked: Mapping[str, list[str]]) -> Answer:
        """Answers as IAM does: one result for each resource."""
        (action,) = asked["ActionNames.member.1"]
        resources = [values[0] for key, values in asked.items() if key.startswith("ResourceArns.member.")]
        results = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{escape(arn)}</EvalResourceName>"
            f"<EvalDecision>{'allowed' if self.allows(action, arn) else 'implicitDeny'}</EvalDecision></member>"
            for arn in resources
        )
        body = (
            '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
            f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{results}"
            "</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        )
        return Answer(200, body.encode(), {"Content-Type": "text/xml"})

    def _tagged(self, asked: Mapping[str, Any]) -> Answer:
        """Answers as the tagging API does: the functions that have, for each key, one of its values."""
        assert asked["ResourceTypeFilters"] == ["lambda:function"]
        found = []
        for page in self.api.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                tags = self.api.list_tags(Resource=function["FunctionArn"])["Tags"]
                if all(tags.get(one["Key"]) in one["Values"] for one in asked["TagFilters"]):
                    found.append({"ResourceARN": function["FunctionArn"]})
        return Answer(200, json.dumps({"ResourceTagMappingList": found, "PaginationToken": ""}).encode())


def _part(package: bytes, header: str) -> Answer:
    """Answers a request for a part of a package, as S3 does."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    begin = int(first) if first else max(0, len(package) - int(last))
    end = min(int(last), len(package) - 1) if first else len(package) - 1
    return Answer(206, package[begin : end + 1], {"Content-Range": f"bytes {begin}-{end}/{len(package)}"})


def zipped(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def layer_files(architecture: str = "x86_64") -> dict[str, bytes]:
    """Returns a zip with what keystart layer publish checks in the layer's zip."""
    head = b"\x7fELF" + bytes(14) + _MACHINES[architecture].to_bytes(2, "little")
    return {
        "extensions/keystart": head + bytes(100),
        "python/keystart/version.py": b'__version__ = "1.2.3"\n',
    }
