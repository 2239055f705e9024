"""Every case against every reader: one test for each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from .case import LANGUAGES, Case, load
from .runner import Runner, RunnerError, chosen_languages

Start = Callable[[str], Runner | RunnerError]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Starts the runner of a language once. Yields it, or why it cannot run."""
    with ExitStack() as running:

        @cache
        def started(language: str) -> Runner | RunnerError:
            runner = running.enter_context(Runner(language))
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


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_is_not_left_out(language: str) -> None:
    if language not in chosen_languages():
        pytest.skip(f"KEYSTART_LANGUAGES leaves out {language}")
