"""A Secrets Manager on loopback whose secrets have versions and stages, as rotations move them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .aws import refusal, secret
from .http import Answer, Request, Stub

Stage = Literal["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]


class Asked(NamedTuple):
    """One request of GetSecretValue that arrived."""

    at: float  # time.time()
    name: str
    stage: str  # or the version id that the request names


@dataclass
class _Version:
    value: str = field(repr=False)
    created: float


class StagedSecrets(Stub):
    """Serves secrets during the `with` block. `asked` are the requests.

    `interfere` is called with each request. What it returns is the answer; None lets the server answer.
    """

    def __init__(self, interfere: Callable[[Asked], Answer | None] = lambda _asked: None) -> None:
        super().__init__(self._answer)
        self.asked: list[Asked] = []
        self.interfere = interfere
        self._lock = threading.Lock()
        self._versions: dict[str, dict[str, _Version]] = {}
        self._stages: dict[str, dict[str, str]] = {}  # by name and stage: the version's id

    def put(self, name: str, value: str, stage: Stage = "AWSCURRENT") -> str:
        """Stores a version with a stage, as PutSecretValue does, and returns its id."""
        version = str(uuid.uuid4())
        with self._lock:
            self._versions.setdefault(name, {})[version] = _Version(value, time.time())
            self._attach(name, stage, version)
        return version

    def move(self, name: str, version: str) -> None:
        """Moves AWSCURRENT to a version, as the last step of a rotation does.

        The version that had it becomes AWSPREVIOUS. AWSPENDING stays where it is, until `detach` removes it.
        """
        with self._lock:
            self._attach(name, "AWSCURRENT", version)

    def detach(self, name: str, stage: Stage) -> None:
        """Removes a stage from the version that has it."""
        with self._lock:
            del self._stages[name][stage]

    def version(self, name: str, stage: Stage = "AWSCURRENT") -> str | None:
        """Returns the id of the version that has a stage, or None."""
        with self._lock:
            return self._stages.get(name, {}).get(stage)

    def age(self, name: str, version: str, seconds: float) -> None:
        """Makes a version as old as that."""
        with self._lock:
            self._versions[name][version].created = time.time() - seconds

    def _attach(self, name: str, stage: Stage, version: str) -> None:
        stages = self._stages.setdefault(name, {})
        if stage == "AWSCURRENT" and (before := stages.get(stage)) not in (None, version):
            stages["AWSPREVIOUS"] = before
        stages[stage] = version

    def _answer(self, request: Request) -> Answer | None:
        if request.action != "GetSecretValue":
            return refusal(400, "InvalidRequestException", f"{request.action} does not exist here")
        wanted: dict[str, Any] = request.json
        name = wanted["SecretId"]
        stage = wanted.get("VersionStage") or wanted.get("VersionId") or "AWSCURRENT"
        asked = Asked(time.time(), name, stage)
        with self._lock:
            self.asked.append(asked)
        return self.interfere(asked) or self._find(name, stage, by_id="VersionId" in wanted)

    def _find(self, name: str, stage: str, *, by_id: bool) -> Answer:
        with self._lock:
            stages = self._stages.get(name)
            if stages is None:
                words = "Secrets Manager can't find the specified secret."
                return refusal(400, "ResourceNotFoundException", words)
            version = stage if by_id else stages.get(stage)
            found = self._versions[name].get(version) if version else None
            if version is None or found is None:
                kind = "VersionId" if by_id else "staging label"
                words = f"Secrets Manager can't find the specified secret value for {kind}: {stage}"
                return refusal(400, "ResourceNotFoundException", words)
            attached = [stage for stage, holder in stages.items() if holder == version]
            return secret(found.value, VersionId=version, VersionStages=attached, CreatedDate=found.created)
