"""Every case against every reader: one test for each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from .case import LANGUAGES, Case, load
from .runner import Runner, RunnerError, chosen_languages, command_of

Start = Callable[..., Runner | RunnerError]
# What test runners and test libraries do around a reader. Each is an argument of a runner.
SURROUNDINGS = [("node", "vm"), ("node", "worker"), ("ruby", "stubbed")]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Starts the runner of a language once in each surroundings. Yields it, or why it cannot run."""
    with ExitStack() as running:

        @cache
        def started(language: str, *surroundings: str) -> Runner | RunnerError:
            command = [*command_of(language), *surroundings] if surroundings else None
            runner = running.enter_context(Runner(language, command))
            try:
                runner.start()
            except RunnerError as failure:
                return failure
            return runner

        yield started


@pytest.fixture
def runner(language: str, start: Start) -> Runner:
    # In a fixture, so that a runner that does not start is an error, never a skip.
    started = start(language)
    if isinstance(started, RunnerError):
        pytest.fail(str(started), pytrace=False)
    return started


@pytest.mark.parametrize("language", chosen_languages())
@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_the_reader_does_what_the_contract_says(case: Case, language: str, runner: Runner) -> None:
    reason = case.reason_to_skip(language)
    if reason is not None:
        pytest.skip(reason)
    different = runner.run(case)
    if different is not None:
        pytest.fail(f"contract {case.clause} ({case.file})\n{different}", pytrace=False)


@pytest.mark.sampled
@pytest.mark.parametrize(("language", "surroundings"), SURROUNDINGS, ids=lambda each: str(each))
@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_the_reader_does_so_wherever_it_runs(
    case: Case, language: str, surroundings: str, start: Start
) -> None:
    reason = case.reason_to_skip(language)
    if reason is not None:
        pytest.skip(reason)
    if language not in chosen_languages():
        pytest.skip(f"KEYSTART_LANGUAGES leaves out {language}")
    runner = start(language, surroundings)
    if isinstance(runner, RunnerError):
        pytest.fail(str(runner), pytrace=False)
    different = runner.run(case)
    if different is not None:
        pytest.fail(f"contract {case.clause} ({case.file})\n{different}", pytrace=False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_is_not_left_out(language: str) -> None:
    if language not in chosen_languages():
        pytest.skip(f"KEYSTART_LANGUAGES leaves out {language}")
