"""The command that asks all readers about made-up stores, and writes a case for each disagreement."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import jsonschema

from tests.conformance import store
from tests.conformance.case import LANGUAGES, SCHEMA, Place
from tests.conformance.runner import RunnerError, command_of

from .judge import judged
from .questions import Question, Questions
from .readers import IMPOSSIBLE, Answers, Readers
from .shrink import shrunk
from .stores import Description, Stores

BATCH = 24  # stores whose questions are sent together
SCRIPTED = BATCH + 1  # the place of stores beside a scripted writer; BATCH is that of findings
MOST_FINDINGS = 20
SLOWEST = 10.0  # seconds for one answer: no question here waits longer than some milliseconds

_SCHEMA = json.loads(SCHEMA.read_text())
CASE = jsonschema.Draft202012Validator({"$ref": "#/$defs/case", "$defs": _SCHEMA["$defs"]})


@dataclass
class Finding:
    """One fault, made small."""

    seed: int
    store: int
    kind: str
    what: str
    sides: str
    case: dict[str, Any]
    answers: Answers


@dataclass
class Tally:
    """What was done and found."""

    stores: int = 0
    questions: int = 0
    beside: int = 0  # questions beside a scripted writer
    outcomes: Counter[str] = field(default_factory=Counter)
    unbuildable: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Adds another tally, and findings of the same kind only once."""
        self.stores += other.stores
        self.questions += other.questions
        self.beside += other.beside
        self.unbuildable += other.unbuildable
        self.outcomes += other.outcomes
        known = {(finding.kind, finding.sides) for finding in self.findings}
        self.findings += [new for new in other.findings if (new.kind, new.sides) not in known]


@dataclass(frozen=True)
class GeneratedStore:
    """One store of a seed, with its questions."""

    number: int
    description: Description
    questions: list[Question]
    canary: str


def make(seed: int, number: int, attempt: int = 0) -> GeneratedStore:
    """Returns the store of this number: the same for the same seed, whatever was made before."""
    random = Random(f"{seed}/{number}/{attempt}")
    canary = "".join(random.choices("BCDFGHJKLMNPQRSTVWXZ", k=16))
    stores = Stores(random, canary)
    description = stores.make()
    return GeneratedStore(number, description, Questions(random, stores).make(description), canary)


def built(seed: int, number: int, empty: Callable[[], Place]) -> tuple[GeneratedStore, Place, int]:
    """Returns the first store of this number that can be built, its place, and how many tries failed before."""
    for attempt in range(50):
        made = make(seed, number, attempt)
        place = empty()
        try:
            store.build(place.root, made.description)
        except IMPOSSIBLE:
            continue
        return made, place, attempt
    raise RuntimeError(f"store {number} of seed {seed} cannot be built in 50 tries")


def is_case(document: dict[str, Any]) -> bool:
    """Returns whether a store and a question follow the schema of the cases."""
    filled = {"id": "x", "clause": "8.2", "reason": "A reason.", "expect": {"value": None}, **document}
    return bool(CASE.is_valid(filled))


class Fuzzer:
    """Makes stores, asks about them, judges, and makes findings small."""

    def __init__(self, readers: Readers, seed: int) -> None:
        self._readers = readers
        self._seed = seed
        self._found: set[tuple[str, str]] = set()

    def run(self, numbers: range) -> Tally:
        """Judges the stores of these numbers."""
        tally = Tally()
        built = [self._built(number, tally) for number in numbers]
        steady = [
            (made, place, question)
            for made, place in built
            for question in made.questions
            if not question.keys() & {"then", "writer"}
        ]
        answers = self._readers.answers([(place, question) for _, place, question in steady])
        for (made, _, question), given in zip(steady, answers, strict=True):
            self._judge(made, question, given, tally)
        for made, place in built:
            for question in made.questions:
                if "then" in question:
                    changed = self._readers.answers_around(place, question)
                    if changed is not None:
                        self._judge(made, question, changed, tally)
        for made, _ in built:
            for question in made.questions:
                if "writer" in question:
                    self._judge_beside(made, question, tally)
        return tally

    def _judge_beside(self, made: GeneratedStore, question: Question, tally: Tally) -> None:
        answers = self._readers.answers_beside(SCRIPTED, made.description, question)
        if answers is None:
            return
        if judged(question, answers, made.canary) is not None:
            # Another answer the second time is a machine that was too slow for a timeout of the contract.
            answers = self._readers.answers_beside(SCRIPTED, made.description, question) or answers
        tally.beside += 1
        self._judge(made, question, answers, tally)

    def _built(self, number: int, tally: Tally) -> tuple[GeneratedStore, Place]:
        made, place, failed = built(self._seed, number, lambda: self._readers.place(number % BATCH))
        tally.stores += 1
        tally.unbuildable += failed
        return made, place

    def _judge(self, made: GeneratedStore, question: Question, answers: Answers, tally: Tally) -> None:
        tally.questions += 1
        first = next(iter(answers.values()))
        tally.outcomes[first["error"]["code"] if "error" in first else "value"] += 1
        verdict = judged(question, answers, made.canary)
        if (
            verdict is None
            or (verdict.kind, verdict.sides) in self._found
            or len(self._found) >= MOST_FINDINGS
        ):
            return
        self._found.add((verdict.kind, verdict.sides))
        tally.findings.append(self._made_small(made, question))

    def _made_small(self, made: GeneratedStore, question: Question) -> Finding:
        document = {"store": made.description, "ask": question}
        answers = self._again(document)
        verdict = judged(question, answers, made.canary) if answers else None
        if answers is None or verdict is None:
            # The second try had other answers. Report the question as it is, because that is a fault too.
            return self._finding(
                made, "unsteady", "answered otherwise when asked again", "", document, answers or {}
            )

        def interesting(candidate: dict[str, Any]) -> bool:
            if not is_case(candidate):
                return False
            given = self._again(candidate)
            found = judged(candidate["ask"], given, made.canary) if given else None
            return found is not None and (found.kind, found.sides) == (verdict.kind, verdict.sides)

        document = shrunk(document, interesting)
        return self._finding(
            made, verdict.kind, verdict.what, verdict.sides, document, self._again(document) or {}
        )

    def _again(self, document: dict[str, Any]) -> Answers | None:
        if "writer" in document["ask"]:
            return self._readers.answers_beside(BATCH, document["store"], document["ask"])
        place = self._readers.place(BATCH)
        try:
            store.build(place.root, document["store"])
        except IMPOSSIBLE:
            return None
        if "then" in document["ask"]:
            return self._readers.answers_around(place, document["ask"])
        return self._readers.answers([(place, document["ask"])])[0]

    def _finding(
        self,
        made: GeneratedStore,
        kind: str,
        what: str,
        sides: str,
        document: dict[str, Any],
        answers: Answers,
    ) -> Finding:
        root = str(self._readers.place(BATCH).root)
        answers = json.loads(
            json.dumps(answers).replace(root, "{root}").replace(str(self._readers.folder / "cwd"), "{cwd}")
        )
        given = {
            language: {key: value for key, value in answer.items() if key != "id"}
            for language, answer in answers.items()
        }
        case = {
            "id": f"found-{self._seed}-{made.number}",
            "clause": "8.2",
            "reason": "The readers disagree; work out the expectation and the clause from the contract.",
            **document,
            "expect": _expectation(given),
        }
        return Finding(self._seed, made.number, kind, what, sides, case, given)


def _expectation(answers: Answers) -> dict[str, Any]:
    """Returns what most readers answer, in the form of a case."""
    texts = Counter(
        json.dumps(answer, sort_keys=True)
        for answer in answers.values()
        if "value" in answer or "error" in answer
    )
    if not texts:
        return {"value": None}
    most: dict[str, Any] = json.loads(texts.most_common(1)[0][0])
    if "error" in most:
        del most["error"]["class"]
    if not most.get("requests"):
        most.pop("requests", None)
    return most


def _work(pipe: connection.Connection, commands: dict[str, list[str]], seed: int, patience: float) -> None:
    """Runs in one process: runs the ranges that arrive until there are no more."""
    with Readers(commands, patience) as readers, suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        fuzzer = Fuzzer(readers, seed)
        for numbers in iter(pipe.recv, None):
            pipe.send(fuzzer.run(numbers))


def fuzz(
    commands: dict[str, list[str]],
    seed: int,
    numbers: range,
    *,
    seconds: float | None = None,
    jobs: int = 1,
    patience: float = SLOWEST,
) -> Iterator[Tally]:
    """Runs the stores of these numbers; yields the tally so far after each range."""
    total = Tally()
    batches = (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH))
    until = time.monotonic() + (seconds if seconds is not None else float("inf"))
    context = multiprocessing.get_context("spawn")
    workers: dict[connection.Connection, SpawnProcess] = {}
    try:
        for first in islice(batches, jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, commands, seed, patience))
            process.start()
            theirs.close()
            workers[ours] = process
            ours.send(first)
        working = set(workers)
        while working:
            for pipe in connection.wait(list(working)):
                assert isinstance(pipe, connection.Connection)
                try:
                    total.add(pipe.recv())
                except EOFError:
                    raise RunnerError(
                        "a process of the fuzzer ended before its work was done; it says why above"
                    ) from None
                more = (
                    next(batches, None)
                    if time.monotonic() < until and len(total.findings) < MOST_FINDINGS
                    else None
                )
                pipe.send(more)
                if more is None:
                    working.discard(pipe)
            yield total
    finally:
        for pipe, process in workers.items():
            pipe.close()
            process.join()


def write(findings: list[Finding], folder: Path) -> None:
    """Writes a file of cases for each finding, and next to it what each language answered."""
    folder.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        name = finding.case["id"]
        section = {"section": f"Found by fuzzing: {finding.what[:200]}", "cases": [finding.case]}
        (folder / f"{name}.json").write_text(json.dumps(section, indent=2) + "\n")
        (folder / f"{name}.answers.txt").write_text(
            json.dumps(finding.answers, indent=2, ensure_ascii=False) + "\n"
        )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else SystemRandom().randrange(2**32)
    if options.show:
        if options.seed is None or options.store is None:
            parser.error("--show needs --seed and --store")
        _show(seed, options.store)
        return 0
    languages = options.language or list(LANGUAGES)
    numbers = range(options.stores) if options.store is None else range(options.store, options.store + 1)
    print(f"fuzz: seed {seed}, {len(numbers)} stores, {', '.join(languages)}", file=sys.stderr)
    began = time.monotonic()
    tally, ended = Tally(), 0
    progress = Progress()
    try:
        commands = {language: command_of(language) for language in languages}
        with Readers(commands, SLOWEST) as readers:
            readers.start()
        for tally in fuzz(commands, seed, numbers, seconds=options.seconds, jobs=options.jobs):
            progress.show(tally, len(numbers), time.monotonic() - began)
    except RunnerError as failure:
        print(f"fuzz: {failure}", file=sys.stderr)
        ended = 3
    except KeyboardInterrupt:
        print("\nfuzz: stopped", file=sys.stderr)
        ended = 130
    progress.end()
    took = time.monotonic() - began
    if tally.findings:
        write(tally.findings, options.out)
    if options.json:
        found = [vars(finding) for finding in tally.findings]
        print(
            json.dumps({"seed": seed, "seconds": round(took, 1), **vars(tally), "findings": found}, indent=2)
        )
    else:
        _print(tally, seed, took, options.out)
    return ended or (1 if tally.findings else 0)


def _show(seed: int, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def empty() -> Place:
            return Place(Path(tempfile.mkdtemp(dir=folder)) / "store", Path.cwd())

        made, *_ = built(seed, number, empty)
    print(json.dumps({"store": made.description, "questions": made.questions}, indent=2, ensure_ascii=False))


class Progress:
    """One line that is overwritten on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 0.0 if self._terminal else 10.0

    def show(self, tally: Tally, stores: int, seconds: float) -> None:
        """Prints the progress if it is time to."""
        if seconds < self._next:
            return
        self._next = seconds + (0.2 if self._terminal else 10.0)
        rate = f"{tally.stores / seconds:.0f} a second"
        line = f"fuzz: {tally.stores} of {stores} stores, {rate}, {len(tally.findings)} findings"
        print(
            f"\r{line}\x1b[K" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        """Leaves the line."""
        if self._terminal:
            print(file=sys.stderr)


def _print(tally: Tally, seed: int, took: float, out: Path) -> None:
    for finding in tally.findings:
        print(
            f"FOUND {finding.kind}: {finding.what}\n  again: ./dev fuzz --seed {seed} --store {finding.store}"
        )
        print(f"  case: {out / finding.case['id']}.json")
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.outcomes.most_common())
    print(f"fuzz: answers: {outcomes}")
    print(
        f"fuzz: seed {seed}: {tally.stores} stores, {tally.questions} questions, {len(tally.findings)} findings, "
        f"{took:.1f} s, {tally.stores / took:.0f} stores a second"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev fuzz",
        description="Makes up stores and asks every reader the same questions about them: all must answer the same.",
        epilog="Exit codes: 0 no finding; 1 readers disagree, or one does what none may; 2 the arguments are wrong; "
        "3 a runner cannot be started, or a process of the fuzzer failed; 130 it was stopped.",
    )
    parser.add_argument("--stores", type=_count, default=2000, metavar="N", help="how many (default 2000)")
    parser.add_argument(
        "--seconds", type=float, metavar="T", help="stop after this time, whatever --stores says"
    )
    parser.add_argument(
        "--seed", type=int, metavar="S", help="repeat a run; a new one is drawn and printed when left out"
    )
    parser.add_argument("--store", type=int, metavar="K", help="only the store of this number")
    parser.add_argument(
        "--show", action="store_true", help="print the store of --store and its questions, and ask nothing"
    )
    parser.add_argument(
        "--language", action="append", choices=LANGUAGES, help="may be repeated; all when left out"
    )
    parser.add_argument(
        "--jobs",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes, each with all readers",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("target/fuzz"),
        metavar="DIR",
        help="where cases are written (default target/fuzz)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
