"""Fetches everything of a plan in parallel, inside one deadline, and retries what may be retried.

It decides nothing about failures: it gives every entry its secrets or the reason why there are none.
"""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ...fetched import Unavailable
from ...log import Log
from ...plan import Entry, Plan
from ...secret import Answer, Secret
from .aws import Aws, below, confused
from .refused import NO_WAY_OUT, Refused, another
from .shape import check_beside, shape_parameters, shape_secret

Outcome = tuple[Secret, ...] | Unavailable
Result = TypeVar("Result")
Given = TypeVar("Given")

_PARALLEL = 32  # threads; boto3 spends about 5 ms of CPU on a call, so more only wait for the interpreter
_GET_PARAMETERS_AT_MOST = 10
_BATCH_GET_SECRET_VALUE_AT_MOST = 20
# What a whole batch is refused for because of one secret in it.
_ABOUT_ONE = frozenset(
    {
        "DecryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
    }
)
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class Done:
    """What a request gave, and what is to be asked for instead of what it did not give."""

    given: dict[str, Outcome] = field(default_factory=dict)
    instead: list[Request] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """One thing to ask a service for, after a pause in seconds, and the entries that it answers."""

    entries: tuple[Entry, ...]
    run: Callable[[Asker], Done]
    pause: float = 0.0


def prefetch(plan: Plan, aws: Aws, log: Log) -> dict[str, Outcome]:
    """Gives the outcome of each entry by name, at the latest when the plan's deadline is over."""
    asker = Asker(aws, log, time.monotonic() + plan.deadline)
    waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
    asked = workers = 0
    outcomes: dict[str, Outcome] = {}
    given = Done(instead=list(requests_of(plan)))
    while True:
        for request in given.instead:
            waiting.put(request)
            asked += 1
            if workers < _PARALLEL:
                workers += 1
                # Daemons: a call that hangs past the deadline must not hold up the end of the process.
                threading.Thread(
                    target=_work, args=(waiting, answers, asker), name="keystart-fetch", daemon=True
                ).start()
        if asked == 0:
            break
        try:
            answer = answers.get(timeout=max(0.0, asker.until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, BaseException):
            raise answer
        asked -= 1
        given = answer
        outcomes.update(given.given)
    for _ in range(workers):
        waiting.put(None)
    late = Unavailable(
        "DeadlineExceeded",
        f"No answer within the deadline of {plan.deadline:g} s. {NO_WAY_OUT}",
    )
    # What the service said last tells more than that time is over.
    unanswered = {entry.name: asker.refused.get(entry.name, late) for entry in plan.entries}
    told = {**unanswered, **outcomes}
    names = [entry.name for entry in plan.entries]
    return {entry.name: _beside_others(entry, told[entry.name], names) for entry in plan.entries}


def _beside_others(entry: Entry, outcome: Outcome, names: Sequence[str]) -> Outcome:
    if isinstance(outcome, Unavailable):
        return outcome
    return _shaped(partial(check_beside, others=names), entry, outcome)


def _work(
    waiting: queue.SimpleQueue[Request | None],
    answers: queue.SimpleQueue[Done | BaseException],
    asker: Asker,
) -> None:
    # The thread that waits answers them: a signal that came here would not wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # After the deadline nobody takes an answer, and nothing may be in flight when the environment is frozen.
    while (left := asker.until - time.monotonic()) > 0:
        try:
            request = waiting.get(timeout=left)
        except queue.Empty:
            return
        if request is None or time.monotonic() + request.pause >= asker.until:
            return
        time.sleep(request.pause)
        try:
            answers.put(request.run(asker))
        except Refused as refused:
            answers.put(_refused(request.entries, refused))
        except BaseException as bug:  # raised again by the thread that waits
            answers.put(bug)


def _refused(entries: Sequence[Entry], refused: Refused) -> Done:
    return Done({entry.name: Unavailable(refused.code, refused.message) for entry in entries})


def requests_of(plan: Plan) -> Iterable[Request]:
    """Groups entries: a call for equal secrets or a batch of 20, for 10 parameters of a region and role, for a path."""
    secrets: dict[tuple[str | None, ...], list[Entry]] = {}
    batches: dict[tuple[str | None, ...], list[list[Entry]]] = {}
    parameters: dict[tuple[str | None, str | None], list[Entry]] = {}
    for entry in plan.entries:
        if entry.kind == "secret":
            key = (entry.region, entry.role, entry.id, entry.stage, entry.version_id)
            secrets.setdefault(key, []).append(entry)
        elif entry.kind == "parameter":
            parameters.setdefault((entry.region, entry.role), []).append(entry)
        else:
            yield _path_request(entry)
    for same in secrets.values():
        one = same[0]
        if plan.batch and one.stage is None and one.version_id is None:
            batches.setdefault((one.region, one.role, _account(one.id)), []).append(same)
        else:
            yield _secret_request(same)
    for all_same in batches.values():
        for first in range(0, len(all_same), _BATCH_GET_SECRET_VALUE_AT_MOST):
            twenty = all_same[first : first + _BATCH_GET_SECRET_VALUE_AT_MOST]
            # One alone needs no other permission, and has the larger quota.
            yield _batch_request(twenty) if len(twenty) > 1 else _secret_request(twenty[0])
    for group in parameters.values():
        for first in range(0, len(group), _GET_PARAMETERS_AT_MOST):
            yield _parameters_request(group[first : first + _GET_PARAMETERS_AT_MOST])


def _account(id: str) -> str | None:
    """Gives the account in an ARN; a name has none.

    In one account and region a name is one secret, so that no answer of a batch is mistaken for another.
    """
    return id.split(":")[4] if id.startswith("arn:") else None


def _secret_request(entries: Sequence[Entry], pause: float = 0.0) -> Request:
    one = entries[0]

    def run(asker: Asker) -> Done:
        answer = asker.ask(
            entries, lambda aws: aws.secret(one.region, one.role, one.id, one.stage, one.version_id)
        )
        return Done({entry.name: _shaped(shape_secret, entry, answer) for entry in entries})

    return Request(tuple(entries), run, pause)


def _batch_request(secrets: Sequence[Sequence[Entry]]) -> Request:
    """Asks for all in one call; entries of one secret stand together.

    What that does not give is asked for alone: GetSecretValue reads secrets of other accounts, which a batch does not,
    and what it refuses is refused for its reason.
    """
    entries = [entry for same in secrets for entry in same]
    one, ids = entries[0], [same[0].id for same in secrets]

    def run(asker: Asker) -> Done:
        found: dict[str, Answer] = {}
        refused: dict[str, Refused] = {}
        token: str | None = None
        while True:
            call = partial(Aws.secrets, region=one.region, role=one.role, ids=ids, token=token)
            try:
                page = asker.ask(entries, call)
            except Refused as whole:
                if whole.code not in _ABOUT_ONE:
                    raise
                return Done(instead=[_alone(same, whole, asker) for same in secrets])
            for id, answer in page.found:
                if not _is_same(found.setdefault(id, answer), answer):
                    raise confused(f"gave two secrets for {id}")
            refused.update(page.refused)
            token = page.next
            if not token:
                break
        done = Done()
        for same in secrets:
            id = same[0].id
            if id in found:
                done.given.update((entry.name, _shaped(shape_secret, entry, found[id])) for entry in same)
            else:
                done.instead.append(_alone(same, refused.get(id), asker))
        return done

    return Request(tuple(entries), run)


def _is_same(one: Answer, other: Answer) -> bool:
    return (one.source["version_id"], one.value) == (other.source["version_id"], other.value)


def _alone(entries: Sequence[Entry], refused: Refused | None, asker: Asker) -> Request:
    """Makes the request for what a batch did not give; it waits like any other where asking again may help."""
    if refused is None or not refused.retryable:
        asker.note(entries, refused, "asking for it alone")
        return _secret_request(entries)
    pause = random.uniform(_FIRST_PAUSE, _FIRST_PAUSE * 3)  # noqa: S311 not for secrecy
    asker.note(entries, refused, f"asking for it alone in {pause * 1000:.0f} ms")
    return _secret_request(entries, pause)


def _parameters_request(entries: Sequence[Entry]) -> Request:
    one = entries[0]
    ids = list(dict.fromkeys(entry.id for entry in entries))

    def run(asker: Asker) -> Done:
        try:
            found = asker.ask(entries, lambda aws: aws.parameters(one.region, one.role, ids))
        except Refused as refused:
            if refused.retryable or len(entries) == 1:
                raise
            # One that is denied or malformed refuses all ten: ask for each alone, so that it stands for itself.
            return Done(instead=[_parameters_request([entry]) for entry in entries])
        return Done({entry.name: _parameter_outcome(entry, found.get(entry.id)) for entry in entries})

    return Request(tuple(entries), run)


def _parameter_outcome(entry: Entry, answer: Answer | None) -> Outcome:
    if answer is None:
        return Unavailable(
            "ParameterNotFound", f"There is no parameter {entry.id}. Correct the id or the region."
        )
    return (Secret(entry.name, answer.value, answer.encoding, answer.source, answer.fetched_at),)


def _path_request(entry: Entry) -> Request:
    def run(asker: Asker) -> Done:
        found: dict[str, Answer] = {}
        token: str | None = None
        while True:
            page, token = asker.ask([entry], partial(_page, entry=entry, token=token))
            for name, answer in page:
                if not _is_same(found.setdefault(name, answer), answer):
                    raise another(below(entry.id), "value")
            if token is None:
                return Done({entry.name: _shaped(shape_parameters, entry, found.items())})

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
                self.note(entries, refused, f"asking again in {pause * 1000:.0f} ms")
            time.sleep(pause)
            # Decorrelated jitter: many environments that start together do not ask together again.
            pause = min(_LONGEST_PAUSE, random.uniform(_FIRST_PAUSE, pause * 3))  # noqa: S311 not for secrecy

    def note(self, entries: Sequence[Entry], refused: Refused | None, then: str) -> None:
        """Remembers why something is asked for again."""
        for entry in entries:
            if refused is not None:
                self.refused[entry.name] = Unavailable(refused.code, refused.message)
            self._log.debug(f"{entry.name}: {refused.code if refused else 'not answered'}; {then}")
