"""Measures when a running function sees a new value, and compares each cell of the table in docs/rotation.md."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ROOT
from tests.fakes.http import Answer
from tests.fakes.stages import Asked, Stage, StagedSecrets
from tests.waiting import until

from . import stage
from .lambda_simulator import Clock, Environment
from .lambda_simulator.variables import InitializationType
from .test_keystart import manifest

pytestmark = pytest.mark.long

PAGE = ROOT / "docs/rotation.md"
KEY = secrets.token_bytes(32)
OLD, NEW = secrets.token_hex(16), secrets.token_hex(16)
HOUR, DAY = 3600, 86_400
TTL, MAX_STALE = 10, 20  # seconds, the shortest that a configuration may have
PATIENCE = 30.0  # seconds; only a test that fails waits for so long
# A fetch takes longer than the handler until its read, so the order of both is always the same.
LATENCY = 0.5

# What the cells say.
NEXT_ENVIRONMENT = "next environment"
NEXT_SNAPSHOT = "next snapshot"
AFTER_TTL = "second invocation after the `ttl`"
TTL_PASSED = "when the `ttl` has passed"
TOO_OLD = "first read after `max_stale`"
RETURNED = "when it returns"
REFUSED = "at the refused login"
RESTORED = "at the restore; then "


@dataclass(frozen=True)
class Platform:
    """How Lambda runs the function."""

    kind: InitializationType
    first_invoke: bool = False
    tenant: str | None = None

    @property
    def has_snapshot(self) -> bool:
        return self.kind == "snap-start"

    @property
    def is_managed(self) -> bool:
        return self.kind == "lambda-managed-instances"


PLATFORMS = {
    "on demand": Platform("on-demand"),
    "provisioned concurrency": Platform("provisioned-concurrency"),
    "SnapStart, `init`": Platform("snap-start"),
    "SnapStart, `first-invoke`": Platform("snap-start", first_invoke=True),
    "Managed Instances": Platform("lambda-managed-instances"),
    "tenant isolation": Platform("on-demand", tenant="blue"),
}
SETTINGS = {
    "no setting": "",
    "`ttl`": f"ttl: {TTL}s\n",
    "`max_stale`": f"ttl: {TTL}s\nmax_stale: {MAX_STALE}s\n",
    "`refresh`": "",
    "`attempt`": "",
}


def table() -> Mapping[tuple[str, str], str]:
    """Returns the cells of the page by row and column."""
    lines = PAGE.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| platform | no setting |"))
    _, *columns = (cell.strip() for cell in lines[start].strip("|").split("|"))
    cells: dict[tuple[str, str], str] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        row, *texts = (cell.strip() for cell in line.strip("|").split("|"))
        cells |= {(row, column): text for column, text in zip(columns, texts, strict=True)}
    return cells


class Measured:
    """A function on a platform with a setting, and others of the same, whose secret changes."""

    def __init__(self, folder: Path, stack: ExitStack, platform: Platform, setting: str) -> None:
        self._folder = folder
        self._stack = stack
        self._platform = platform
        snapstart = "snapstart: first-invoke\n" if platform.first_invoke else ""
        self._configuration = f"version: 1\n{snapstart}{SETTINGS[setting]}secrets:\n  db: db\n"
        self._cloud = stack.enter_context(StagedSecrets(self._take_time))
        self._cloud.put("db", OLD)
        self._is_slow = False

    def _take_time(self, _asked: Asked) -> Answer | None:
        if self._is_slow:
            time.sleep(LATENCY)
        return None

    def start(self) -> Environment:
        """Returns an environment after its Init, or the snapshot."""
        scratch = self._folder / secrets.token_hex(4)
        scratch.mkdir()
        environment = stage.environment(
            scratch,
            "python",
            self._cloud.url,
            function="fresh",
            configuration=self._configuration,
            initialization_type=self._platform.kind,
            freezes=not self._platform.is_managed,
            clock=Clock(),
            timeout=30,
        )
        self._stack.enter_context(environment)
        environment.init()
        if self._platform.kind in ("provisioned-concurrency", "snap-start"):
            self.pass_by(environment, HOUR)
        return environment

    def pass_by(self, environment: Environment, seconds: float) -> None:
        assert environment.clock is not None
        environment.clock.pass_by(seconds)

    def rotate(self, stage: Stage = "AWSCURRENT") -> None:
        self._cloud.put("db", NEW, stage)
        self._is_slow = True

    def is_new(self, environment: Environment, call: str = "get") -> bool:
        """Returns whether an invocation sees the new value, and not the old one."""
        event = {"key": KEY.hex(), "call": call, "refused": digest(OLD)}
        answer = environment.invoke(event, tenant=self._platform.tenant).value
        assert isinstance(answer, dict)
        assert answer["digest"] in (digest(OLD), digest(NEW))
        return bool(answer["digest"] == digest(NEW))

    def without_a_setting(self) -> str:
        running, before = self.start(), self.start()
        assert not self.is_new(running)
        self.rotate()
        for pause in (0, HOUR, DAY):
            self.pass_by(running, pause)
            assert not self.is_new(running)
        if self._platform.has_snapshot and not self.is_new(before):
            assert self.is_new(self.start())
            return NEXT_SNAPSHOT
        assert self.is_new(self.start())
        return NEXT_ENVIRONMENT

    def by_itself(self, idle: float) -> str:
        """Returns when reads see the new value without any call for it, after so many seconds without an invocation."""
        running, restored = self.start(), self.start() if self._platform.has_snapshot else None
        assert not self.is_new(running)
        number = manifest(running)["generation"]
        self.rotate()
        assert not self.is_new(running)
        if self._platform.is_managed:
            assert until(lambda: manifest(running)["generation"] > number, PATIENCE)
            assert self.is_new(running)
            return TTL_PASSED
        at_the_restore = RESTORED if restored is not None and self.is_new(restored) else ""
        self.pass_by(running, idle)
        if self.is_new(running):
            return at_the_restore + TOO_OLD
        assert self.is_new(running)
        return at_the_restore + AFTER_TTL

    def by_call(self, call: str) -> str:
        running = self.start()
        assert not self.is_new(running)
        self.rotate("AWSPENDING" if call == "attempt" else "AWSCURRENT")
        assert not self.is_new(running)
        self.pass_by(running, 1)  # before, the outcome of the last fetch counts
        assert self.is_new(running, call)
        assert self.is_new(running), "also for everybody else"
        return REFUSED if call == "attempt" else RETURNED

    def cell(self, setting: str) -> str:
        match setting:
            case "`ttl`":
                return self.by_itself(TTL)
            case "`max_stale`":
                return self.by_itself(MAX_STALE + 1)
            case "`refresh`" | "`attempt`":
                return self.by_call(setting.strip("`"))
        return self.without_a_setting()


def digest(value: str) -> str:
    return hmac.new(KEY, value.encode(), "sha256").hexdigest()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    stage.without_aws_settings()
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", PLATFORMS)
def test_a_running_function_sees_a_new_value_when_the_page_says(
    tmp_path: Path, stack: ExitStack, name: str, setting: str
) -> None:
    measured = Measured(tmp_path, stack, PLATFORMS[name], setting).cell(setting)
    assert measured == table()[name, setting]


def test_the_page_has_no_other_cells_than_those_measured_and_those_of_awss_extension() -> None:
    measured = {(name, setting) for name in PLATFORMS for setting in SETTINGS}
    others = {row for row, _ in set(table()) - measured}
    assert measured <= set(table())
    assert others == {"AWS's extension, as documented"}
