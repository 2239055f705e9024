"""Cold starts of functions in the simulator of Lambda.

They need no secrets, or take them from Keystart, from the files of a Go extension, or with AWS's SDK in their init.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.lambda_simulator import Environment, Function
from tests.e2e.lambda_simulator.runtimes import BY_NAME
from tests.e2e.lambda_simulator.timeline import Kind
from tests.fakes.timed import TimedCloud

from .conditions import MB_OF_A_CPU, limited, share_of
from .extensions import HERE, LAYER, ROOT, go_extension, installed
from .starts import progress

LANGUAGES = ("python", "node", "ruby")
BARE, PEER, OURS, SDK = "bare", "go", "keystart", "sdk"
_SECONDS = 60.0  # for Init, and for the invocation
_READ = {BARE: 0, PEER: 300, OURS: 300, SDK: 300}  # bytes of secrets in a function's answer


@dataclass(frozen=True)
class Case:
    """A function, and the memory that sets the CPU share of its environment."""

    language: str
    variant: str
    memory_mb: int = MB_OF_A_CPU


@dataclass(frozen=True)
class Init:
    """One cold start, in milliseconds: Init, the runtime's part of it from its exec, and Init with an invocation."""

    whole: float
    runtime: float
    duration: float


Inits = Mapping[Case, Sequence[Init]]


def not_there(language: str, variant: str) -> str | None:
    """Returns why a function cannot be measured here, or None."""
    if (language, variant) != ("ruby", SDK):
        return None
    found = subprocess.run(["ruby", "-e", 'require "aws-sdk-kms"'], capture_output=True)
    return (
        "AWS's SDK for Ruby is not installed (apt-get install ruby-aws-sdk-kms)" if found.returncode else None
    )


def measure_inits(
    folder: Path,
    cloud: TimedCloud,
    runs: int,
    cases: Iterable[Case],
    *,
    latency: float = 30.0,
    warm: bool = False,
) -> Inits:
    """Starts each case once in turn, `runs` times, and before that once without counting, except if `warm`.

    Leaves out what is `not_there`. `latency` is in milliseconds. Raises `NotAppliedError` if the machine has no cgroups
    for the shares of a CPU.
    """
    inits: dict[Case, list[Init]] = {
        case: [] for case in cases if not_there(case.language, case.variant) is None
    }
    for run in range(1 if warm else 0, runs + 1):
        for case, measured in inits.items():
            cloud.begin()
            cloud.latency = latency / 1000
            init = _init(folder, cloud, case)
            if run > 0:
                measured.append(init)
        progress("functions", run, runs)
    return inits


def _init(folder: Path, cloud: TimedCloud, case: Case) -> Init:
    function = Function(BY_NAME[case.language](), _task(folder, case), env=_variables(cloud), name="function")
    beside = _beside(folder, case.variant)
    with ExitStack() as stack:
        group = stack.enter_context(limited(share_of(case.memory_mb)))
        environment = stack.enter_context(
            Environment(
                extensions=beside,
                function=function,
                memory_mb=case.memory_mb,
                timeout=_SECONDS,
                init_timeout=_SECONDS,
                visible=[ROOT, folder],
            )
        )
        group.write_text(str(environment.launcher_pid))
        environment.init()
        answer = environment.invoke().value
        if answer != _READ[case.variant]:
            raise RuntimeError(f"{case} answered {answer!r}: it did not read what it should")
        timeline = environment.timeline
        began = timeline.first(Kind.INIT_START).at_ns
        ended = timeline.first(Kind.INIT_END).at_ns
        runtime = timeline.first(Kind.RUNTIME_NEXT).at_ns - timeline.first(Kind.RUNTIME_STARTED).at_ns
        answered = timeline.first(Kind.RUNTIME_RESPONSE).at_ns
        environment.shutdown()
    return Init((ended - began) / 1e6, runtime / 1e6, (answered - began) / 1e6)


def _beside(folder: Path, variant: str) -> list[Path]:
    """Returns the extensions of a function."""
    if variant == PEER:
        return [go_extension(folder)]
    if variant == OURS:
        return [LAYER if LAYER.exists() else installed(folder)]
    return []


def _variables(cloud: TimedCloud) -> dict[str, str]:
    """Returns the variables that a person would set for the function; Lambda sets the rest."""
    aws = {
        name: text
        for name, text in cloud.variables().items()
        if name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")
    }
    secrets = ",".join(f"s{number}=bench/s{number}" for number in range(3))
    return {
        **aws,
        "NODE_EXTRA_CA_CERTS": aws["AWS_CA_BUNDLE"],  # AWS's SDK for Node does not know AWS_CA_BUNDLE
        "RUBYLIB": str(ROOT / "bindings/ruby/lib"),
        "KEYSTART_SECRETS": secrets,
        "PEER_SECRETS": secrets,
        "PEER_DIR": "/tmp/secrets",  # noqa: S108 each environment has a separate /tmp
    }


def _task(folder: Path, case: Case) -> Path:
    """Makes a folder like /var/task."""
    task = folder / f"{case.language}-{case.variant}"
    if task.exists():
        return task
    apps = HERE / "apps" / case.language
    shutil.copytree(apps / case.variant, task)
    if case.language == "node" and case.variant == OURS:
        (task / "node_modules").mkdir()
        (task / "node_modules/keystart").symlink_to(ROOT / "bindings/node")
    elif case.language == "node" and case.variant == SDK:
        (task / "node_modules").symlink_to(apps / "node_modules")
    return task
