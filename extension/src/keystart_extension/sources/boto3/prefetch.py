"""Fetches everything of a plan in parallel, inside one deadline, and retries what may be retried.

It decides nothing about failures: it gives every entry its secrets or the reason why there are none.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ...fetched import Unavailable
from ...log import Log
from ...plan import Entry, Plan
from ...secret import Answer, Secret
from .aws import NO_WAY_OUT, Aws, Refused
from .shape import check_beside, shape_parameters, shape_secret

Outcome = tuple[Secret, ...] | Unavailable
Result = TypeVar("Result")
Given = TypeVar("Given")

_PARALLEL = 32  # threads; boto3 spends about 5 ms of CPU on a call, so more only wait for the interpreter
_GET_PARAMETERS_AT_MOST = 10
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class Request:
    """One thing to ask a service for, and the entries that it answers."""

    entries: tuple[Entry, ...]
    run: Callable[[Asker], dict[str, Outcome]]


def prefetch(plan: Plan, aws: Aws, log: Log) -> dict[str, Outcome]:
    """Gives the outcome of each entry by name, at the latest when the plan's deadline is over."""
    asker = Asker(aws, log, time.monotonic() + plan.deadline)
    requests = list(requests_of(plan.entries))
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    answers: queue.SimpleQueue[dict[str, Outcome] | BaseException] = queue.SimpleQueue()
    for _ in range(min(len(requests), _PARALLEL)):
        # Daemons: a call that hangs past the deadline must not hold up the end of the process.
        threading.Thread(
            target=_work, args=(waiting, answers, asker), name="keystart-fetch", daemon=True
        ).start()

    outcomes: dict[str, Outcome] = {}
    for _ in requests:
        try:
            answer = answers.get(timeout=max(0.0, asker.until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, BaseException):
            raise answer
        outcomes.update(answer)
    late = Unavailable(
        "DeadlineExceeded",
        f"No answer within the deadline of {plan.deadline:g} s. {NO_WAY_OUT}",
    )
    # What the service said last tells more than that time is over.
    unanswered = {entry.name: asker.refused.get(entry.name, late) for entry in plan.entries}
    given = {**unanswered, **outcomes}
    names = [entry.name for entry in plan.entries]
    return {entry.name: _beside_others(entry, given[entry.name], names) for entry in plan.entries}


def _beside_others(entry: Entry, outcome: Outcome, names: Sequence[str]) -> Outcome:
    if isinstance(outcome, Unavailable):
        return outcome
    return _shaped(partial(check_beside, others=names), entry, outcome)


def _work(
    waiting: queue.SimpleQueue[Request],
    answers: queue.SimpleQueue[dict[str, Outcome] | BaseException],
    asker: Asker,
) -> None:
    # After the deadline nobody takes an answer, and nothing may be in flight when the environment is frozen.
    while time.monotonic() < asker.until:
        try:
            request = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            answers.put(request.run(asker))
        except Refused as refused:
            failure = Unavailable(refused.code, refused.message)
            answers.put({entry.name: failure for entry in request.entries})
        except BaseException as bug:  # raised again by the thread that waits
            answers.put(bug)


def requests_of(entries: Sequence[Entry]) -> Iterable[Request]:
    """Groups entries: one call for equal secrets, one for 10 parameters of a region and role, one for a path."""
    secrets: dict[tuple[str | None, ...], list[Entry]] = {}
    parameters: dict[tuple[str | None, str | None], list[Entry]] = {}
    for entry in entries:
        if entry.kind == "secret":
            key = (entry.region, entry.role, entry.id, entry.stage, entry.version_id)
            secrets.setdefault(key, []).append(entry)
        elif entry.kind == "parameter":
            parameters.setdefault((entry.region, entry.role), []).append(entry)
        else:
            yield _path_request(entry)
    for same in secrets.values():
        yield _secret_request(same)
    for group in parameters.values():
        for first in range(0, len(group), _GET_PARAMETERS_AT_MOST):
            yield _parameters_request(group[first : first + _GET_PARAMETERS_AT_MOST])


def _secret_request(entries: Sequence[Entry]) -> Request:
    one = entries[0]

    def run(asker: Asker) -> dict[str, Outcome]:
        answer = asker.ask(
            entries, lambda aws: aws.secret(one.region, one.role, one.id, one.stage, one.version_id)
        )
        return {entry.name: _shaped(shape_secret, entry, answer) for entry in entries}

    return Request(tuple(entries), run)


def _parameters_request(entries: Sequence[Entry]) -> Request:
    one = entries[0]
    ids = list(dict.fromkeys(entry.id for entry in entries))

    def run(asker: Asker) -> dict[str, Outcome]:
        try:
            found = asker.ask(entries, lambda aws: aws.parameters(one.region, one.role, ids))
        except Refused as refused:
            if refused.retryable or len(ids) == 1:
                raise
            # One that is denied or malformed refuses all ten: ask for each alone, so that it stands for itself.
            alone: dict[str, Outcome] = {}
            for entry in entries:
                try:
                    alone.update(_parameters_request([entry]).run(asker))
                except Refused as single:
                    alone[entry.name] = Unavailable(single.code, single.message)
            return alone
        return {entry.name: _parameter_outcome(entry, found.get(entry.id)) for entry in entries}

    return Request(tuple(entries), run)


def _parameter_outcome(entry: Entry, answer: Answer | None) -> Outcome:
    if answer is None:
        return Unavailable(
            "ParameterNotFound", f"There is no parameter {entry.id}. Correct the id or the region."
        )
    return (Secret(entry.name, answer.value, answer.encoding, answer.source, answer.fetched_at),)


def _path_request(entry: Entry) -> Request:
    def run(asker: Asker) -> dict[str, Outcome]:
        found, token = asker.ask([entry], partial(_page, entry=entry, token=None))
        while token is not None:
            more, token = asker.ask([entry], partial(_page, entry=entry, token=token))
            found += more
        return {entry.name: _shaped(shape_parameters, entry, found)}

    return Request((entry,), run)


def _page(aws: Aws, entry: Entry, token: str | None) -> tuple[list[tuple[str, Answer]], str | None]:
    return aws.parameters_below(entry.region, entry.role, entry.id, token)


def _shaped(shape: Callable[[Entry, Given], tuple[Secret, ...]], entry: Entry, given: Given) -> Outcome:
    try:
        return shape(entry, given)
    except Unavailable as failure:
        # It is kept as a value; its traceback would keep frames with secrets in them.
        return failure.with_traceback(None)


class Asker:
    """Asks until there is an answer, a refusal that stands, or the deadline (monotonic seconds) is over.

    `refused` holds by name the last reason of what is asked for again.
    """

    def __init__(self, aws: Aws, log: Log, until: float) -> None:
        self._aws = aws
        self._log = log
        self.until = until
        self.refused: dict[str, Unavailable] = {}

    def ask(self, entries: Sequence[Entry], call: Callable[[Aws], Result]) -> Result:
        pause = _FIRST_PAUSE
        while True:
            try:
                return call(self._aws)
            except Refused as refused:
                if not refused.retryable or time.monotonic() + pause >= self.until:
                    raise
                for entry in entries:
                    self.refused[entry.name] = Unavailable(refused.code, refused.message)
                    self._log.debug(f"{entry.name}: {refused.code}; asking again in {pause * 1000:.0f} ms")
            time.sleep(pause)
            # Decorrelated jitter: many environments that start together do not ask together again.
            pause = min(_LONGEST_PAUSE, random.uniform(_FIRST_PAUSE, pause * 3))  # noqa: S311 not for secrecy
