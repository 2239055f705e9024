"""Runs the extension through all types of initialization, with freezes, restores, resets, and hours that pass."""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.stages import Asked, StagedSecrets
from tests.memory import copies
from tests.waiting import until

from . import stage
from .lambda_simulator import Clock, Environment, InitializationType, Kind, runtimes
from .lambda_simulator.runtimes import Runtime
from .test_keystart import EXTENSION, manifest, published_ns, state, store_root

pytestmark = pytest.mark.long

HOUR = 3600
KEY = secrets.token_bytes(32)
READ = {"key": KEY.hex(), "name": "db"}
FIRST_INVOKE = "version: 1\nsnapstart: first-invoke\nsecrets:\n  db: db\n"
INIT = "version: 1\nsnapstart: init\nsecrets:\n  db: db\n"
TTL = "version: 1\nttl: 10s\nsecrets:\n  db: db\n"
PATIENCE = 30.0  # seconds; only a test that fails waits for so long


def digest(value: str) -> str:
    return hmac.new(KEY, value.encode(), "sha256").hexdigest()


@pytest.fixture
def cloud() -> Iterator[StagedSecrets]:
    stage.without_aws_settings()
    with StagedSecrets() as cloud:
        yield cloud


@pytest.fixture
def canary(cloud: StagedSecrets) -> str:
    """A value of the secret db."""
    value = f"canary-{secrets.token_hex(16)}"
    cloud.put("db", value)
    return value


Freezing = Callable[..., Environment]


@pytest.fixture
def freezing(tmp_path: Path, cloud: StagedSecrets) -> Freezing:
    """Makes environments that freeze, for a function that reads a secret."""

    def make(
        configuration: str,
        *,
        language: str = "python",
        function: str = "reads",
        initialization_type: InitializationType = "snap-start",
        **options: Any,
    ) -> Environment:
        return stage.environment(
            tmp_path,
            language,
            cloud.url,
            function=function,
            configuration=configuration,
            initialization_type=initialization_type,
            freezes=True,
            **options,
        )

    return make


def found(environment: Environment, canary: str) -> list[str]:
    """Returns where the value is: files in /tmp, and the memory of the extension and of the runtime."""
    wanted = {"value": canary.encode()}
    places = [
        str(path.relative_to(environment.tmp))
        for path in environment.tmp.rglob("*")
        if path.is_file() and not path.is_symlink() and canary.encode() in path.read_bytes()
    ]
    memories = [
        who for who in (EXTENSION, "runtime") if copies(environment.process(who).pid, wanted)["value"]
    ]
    return places + [f"memory of {who}" for who in memories]


# The languages whose runtimes have no hooks for a restore, and the one whose runtime has them.
SNAPSTART = [
    pytest.param("python", runtimes.python, id="python, with the hook"),
    pytest.param("node", runtimes.node_loop, id="node, without one"),
    pytest.param("ruby", runtimes.ruby, id="ruby, without one"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the memory of the processes")
@pytest.mark.parametrize(("language", "runtime"), SNAPSTART)
def test_a_snapshot_of_first_invoke_holds_no_secret_and_the_restored_function_reads_it(
    freezing: Freezing, cloud: StagedSecrets, canary: str, language: str, runtime: Callable[[], Runtime]
) -> None:
    with freezing(
        FIRST_INVOKE, language=language, runtime=runtime(), clock=(clock := Clock())
    ) as environment:
        environment.init()
        assert found(environment, canary) == []
        assert list((store_root(environment) / "generations").iterdir()) == []
        assert state(environment)["state"] == "deferred"
        assert cloud.asked == []
        clock.pass_by(24 * HOUR)
        environment.restore()
        assert (len(cloud.asked) == 1) == (language == "python"), "only Python's runtime has hooks"
        assert environment.invoke(READ).value == digest(canary)
        assert environment.invoke(READ).value == digest(canary)
        assert len(cloud.asked) == 1
        assert "keystart/generations/1/secrets/db" in found(environment, canary), (
            "the search finds what exists"
        )
        environment.shutdown()
        assert environment.timeline.last(Kind.EXTENSION_EXITED, EXTENSION).detail["code"] == 0


def test_with_init_the_snapshot_holds_the_secret_and_the_log_says_so(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    with freezing(INIT) as environment:
        environment.init()
        assert "keystart/generations/1/secrets/db" in [
            str(path.relative_to(environment.tmp))
            for path in environment.tmp.rglob("*")
            if path.is_file() and canary.encode() in path.read_bytes()
        ]
        assert "the snapshot holds them" in environment.log_text(EXTENSION)
        assert environment.invoke(READ).value == digest(canary)
        assert len(cloud.asked) == 1, "without a ttl a restore fetches nothing"


def test_with_init_and_a_ttl_a_restore_brings_the_values_of_that_moment(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    with freezing(INIT.replace("secrets:", "ttl: 5m\nsecrets:"), clock=(clock := Clock())) as environment:
        environment.init()
        cloud.put("db", "new")
        clock.pass_by(24 * HOUR)
        assert environment.invoke(READ).value == digest("new"), canary


@pytest.mark.parametrize(("language", "runtime"), SNAPSTART[1:])
def test_without_hooks_the_second_invocation_after_a_restore_has_the_values_of_that_moment(
    freezing: Freezing, cloud: StagedSecrets, canary: str, language: str, runtime: Callable[[], Runtime]
) -> None:
    with freezing(
        INIT.replace("secrets:", "ttl: 5m\nsecrets:"),
        language=language,
        runtime=runtime(),
        clock=(clock := Clock()),
    ) as environment:
        environment.init()
        cloud.put("db", "new")
        clock.pass_by(24 * HOUR)
        assert environment.invoke(READ).value in (digest(canary), digest("new")), "fetched beside the handler"
        assert environment.invoke(READ).value == digest("new")


def test_a_store_that_hangs_at_the_restore_ends_neither_the_restore_nor_an_invocation(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    is_over = threading.Event()

    def hang(_asked: Asked) -> None:
        is_over.wait(PATIENCE)

    cloud.interfere = hang
    with freezing(FIRST_INVOKE, timeout=3) as environment:
        environment.init()
        environment.restore()
        for _ in range(2):
            answer = environment.invoke(READ)
            assert answer.error_type == "PrefetchFailed"
            assert "DeadlineExceeded" in (answer.error_message or "")
        is_over.set()
        environment.invoke(READ)  # it may still read the old reason
        assert environment.invoke(READ).value == digest(canary)
        assert len(environment.timeline.all(Kind.INIT_END)) == 1, "nothing was reset"


def test_a_store_that_hangs_lets_none_of_a_hundred_invocations_time_out(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    with freezing(TTL, initialization_type="on-demand", timeout=3, clock=(clock := Clock())) as environment:
        environment.init()
        is_over = threading.Event()

        def hang(_asked: Asked) -> None:
            is_over.wait(PATIENCE)

        cloud.interfere = hang
        clock.pass_by(10)
        asked = []
        for _ in range(100):
            before = len(cloud.asked)
            assert environment.invoke(READ).value == digest(canary)
            asked.append(len(cloud.asked) > before)
            clock.pass_by(1)
        is_over.set()
        # Pauses of 5 s and then of 10 s, the ttl, each shortened by up to a tenth.
        assert 5 <= sum(asked) <= 12
        assert len(environment.timeline.all(Kind.INIT_END)) == 1, "nothing was reset"


def test_a_hundred_restores_begin_with_the_same_tmp_and_end_with_the_same_generation(
    tmp_path: Path, freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    trees, numbers = set(), set()
    for _ in range(100):
        with freezing(FIRST_INVOKE, runtime=runtimes.echo(), function="echo") as environment:
            environment.init()
            tree = sorted(
                (str(path.relative_to(environment.tmp)), path.lstat().st_mode)
                for path in environment.tmp.rglob("*")
            )
            trees.add(repr(tree))
            environment.invoke("x")
            numbers.add(manifest(environment)["generation"])
            secret = store_root(environment) / "current/secrets/db"
            assert secret.read_text() == canary
        (tmp_path / "task-python").rename(tmp_path / f"task-{secrets.token_hex(4)}")
    assert len(trees) == 1
    assert "generations/" not in trees.pop()
    assert numbers == {1}
    assert len(cloud.asked) == 100


def test_hours_between_init_and_the_first_invocation_of_provisioned_concurrency(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    with freezing(
        TTL, initialization_type="provisioned-concurrency", clock=(clock := Clock())
    ) as environment:
        environment.init()
        cloud.put("db", "new")
        clock.pass_by(5 * HOUR)
        assert environment.invoke(READ).value in (digest(canary), digest("new")), "fetched beside the handler"
        assert environment.invoke(READ).value == digest("new")
        assert len(cloud.asked) == 2, "one for all the hours"


def test_a_function_that_freezes_reads_and_refreshes_like_one_that_does_not(
    freezing: Freezing, cloud: StagedSecrets, canary: str
) -> None:
    with freezing(TTL, initialization_type="on-demand", clock=(clock := Clock())) as environment:
        environment.init()
        expected = canary
        for number in range(5):
            assert environment.invoke(READ).value == digest(expected)
            expected = f"value-{number}"
            cloud.put("db", expected)
            clock.pass_by(HOUR)
            environment.invoke(READ)
        assert manifest(environment)["generation"] == 6
        frozen, thawed = (environment.timeline.all(kind) for kind in (Kind.FROZEN, Kind.THAWED))
        assert (len(frozen), len(thawed)) == (11, 10)
        environment.shutdown()
        assert state(environment)["state"] == "stopped"


def test_all_processes_of_managed_instances_read_a_new_value_that_a_timer_has_fetched(
    tmp_path: Path, cloud: StagedSecrets, canary: str
) -> None:
    with (
        stage.environment(
            tmp_path,
            "python",
            cloud.url,
            function="fresh",
            configuration=TTL,
            initialization_type="lambda-managed-instances",
            concurrency=4,
            timeout=30,
        ) as environment,
        ThreadPoolExecutor(8) as pool,
    ):
        environment.init()

        def read(_: int) -> dict[str, object]:
            value = environment.invoke({"key": KEY.hex(), "call": "get"}).value
            assert isinstance(value, dict)
            return value

        def read_all() -> tuple[set[object], set[object]]:
            processes: set[object] = set()
            digests: set[object] = set()
            end = time.monotonic() + PATIENCE
            while len(processes) < 4 and time.monotonic() < end:
                answers = list(pool.map(read, range(16)))
                processes |= {answer["process"] for answer in answers}
                digests |= {answer["digest"] for answer in answers}
            return processes, digests

        processes, digests = read_all()
        assert len(processes) == 4
        assert digests == {digest(canary)}
        cloud.put("db", "new")
        assert until(lambda: manifest(environment)["generation"] > 1, PATIENCE)
        assert read_all() == (processes, {digest("new")})
        assert len(cloud.asked) == 2, "one for all processes"


@pytest.mark.parametrize("end", ["reset", "kill"])
def test_an_init_over_a_dirty_tmp_never_returns_an_old_value(
    tmp_path: Path, cloud: StagedSecrets, canary: str, end: str
) -> None:
    with stage.environment(tmp_path, "python", cloud.url, function="fresh", configuration=TTL) as environment:
        ask = {"key": KEY.hex(), "call": "refresh"}
        environment.init()
        for number in range(3):
            value = f"value-{number}"
            cloud.put("db", value)
            if end == "reset":
                environment.reset("timeout")
            else:
                environment.kill()
                environment.init()
            answer = environment.invoke(ask).value  # the socket that was left is replaced
            assert isinstance(answer, dict)
            assert answer["digest"] == digest(value), canary
            assert manifest(environment)["generation"] == number + 2
            first_read = environment.timeline.last(Kind.RUNTIME_RESPONSE).at_ns
            assert published_ns(environment) < first_read
