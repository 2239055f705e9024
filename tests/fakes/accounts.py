"""A server in front of moto's Lambda. It records requests, and does what moto lacks or a test needs."""

from __future__ import annotations

import io
import json
import secrets as randomness
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import boto3

from .aws import REGION, refusal
from .http import Answer, Request, Stub, forward

_TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
_MACHINES = {"x86_64": 62, "arm64": 183}


class Change(NamedTuple):
    """A request that changes something: its path, and its body without the RevisionId."""

    path: str
    body: dict[str, Any]


class Account(Stub):
    """Lambda of one account.

    moto has no RevisionId. Here each function has one, which a change must name and renews, as on AWS. `edit` may
    change
    the description of a function; `refuse` may refuse a request, or answer it.
    """

    def __init__(self, moto: str) -> None:
        super().__init__(self._say)
        self._moto = moto
        self._revisions: dict[str, int] = {}
        self.edit: Callable[[str, dict[str, Any]], None] = lambda *_: None
        self.refuse: Callable[[Request], Answer | None] = lambda _: None
        session = boto3.Session("made-up", "made-up", region_name=REGION)
        self.api = session.client("lambda", endpoint_url=moto)
        iam = session.client("iam", endpoint_url=moto)
        document = json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]})
        name = f"role-{randomness.token_hex(8)}"
        self._role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.close()

    def layer(self, name: str, **settings: Any) -> str:
        """Publishes a layer by hand, and returns the ARN of its version."""
        content: Any = {"ZipFile": zipped({"share/x": b"x"})}
        return self.api.publish_layer_version(LayerName=name, Content=content, **settings)["LayerVersionArn"]

    def function(
        self, variables: Mapping[str, str] | None = None, layers: tuple[str, ...] = (), **settings: Any
    ) -> str:
        """Makes a function and returns its name."""
        name = f"orders-{randomness.token_hex(4)}"
        with_variables: Any = {"Environment": {"Variables": variables}} if variables else {}
        defaults: Any = {
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped({"app.py": b"x"})},
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
        told = self.api.get_function_configuration(FunctionName=name)
        return told["Environment"]["Variables"] if "Environment" in told else {}

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
            if request.method != "GET":
                body = {key: value for key, value in request.json.items() if key != "RevisionId"}
                changes.append(Change(unquote(request.path), body))
        return changes

    def _revision(self, name: str) -> int:
        return self._revisions.setdefault(name, 1)

    def _say(self, request: Request) -> Answer:
        if refused := self.refuse(request):
            return refused
        parts = unquote(request.path).split("/")
        if "functions" not in parts:
            return forward(request, self._moto)
        name = parts[3].split(":")[-1] if parts[3].count(":") > 1 else parts[3].split(":")[0]
        if request.method == "PUT":
            if request.json["RevisionId"] != str(self._revision(name)):
                message = "The Revision Id provided does not match the latest Revision Id."
                return refusal(412, "PreconditionFailedException", message)
            self._revisions[name] = self._revision(name) + 1
        answer = forward(request, self._moto)
        if answer.status != 200:
            return answer
        told = json.loads(answer.body)
        configuration = told.get("Configuration", told)
        configuration["RevisionId"] = str(self._revision(name))
        self.edit(name, configuration)
        return Answer(200, json.dumps(told).encode(), answer.headers)


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
