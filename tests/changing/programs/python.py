"""Reads a changing store with the Python reader and judges every answer, as README.md describes.

Threads of this process share one client. Children are forked after its first read, and continue with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import keystart

from tests.changing import proof

T = TypeVar("T")


class RefusedError(Exception):
    """The reader returned an error, which was counted."""


class ServerError(Exception):
    """The server refuses a login."""


class Look:
    """What one thread has seen. Numbers must never fall from one answer to the next."""

    def __init__(self, arguments: dict[str, Any], floor: int = 0) -> None:
        self._root = arguments["root"]
        self._run = arguments["run"]
        self._stop = Path(arguments["stop"])
        self._allowed = set(arguments["allowed"])
        self._fresh = bool(arguments["fresh"])
        self._until_stopped = bool(arguments["until_stopped"])
        self._asks = bool(arguments["asks"])
        self.floor = floor
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []

    def go_on(self, client: keystart.Keystart) -> None:
        """Reads until the stop file exists, or the store reports that it was stopped."""
        while not self._stop.exists():
            if not os.path.lexists(f"{self._root}/current"):
                self.counts["waits"] += 1
            self.ask_client(keystart.Keystart(self._root) if self._fresh else client)
            self.ask_snapshot(client)
            if self._asks:
                self.ask_writer(client)
            if self._until_stopped and self.errors["not_ready: stopped"]:
                self.see_stopped(client)
                return

    def ask_client(self, client: keystart.Keystart) -> None:
        """Asks everything that a client can answer."""
        try:
            self.sees_fresh("text", self.ask(lambda: client.get("text")).encode())
            before = self.floor
            tiny = self.ask(lambda: client.get_bytes("tiny"))
            self.sees_fresh("tls/key", self.ask(lambda: client.get_bytes("tls/key")))
            # A value read between two answers is from one of the generations between them.
            if tiny not in (proof.tiny(number) for number in range(before, self.floor + 1)):
                self.tell("tiny", "it is of no generation between its neighbours")
            self.sees_fresh("json", self.ask(lambda: client.get_json("json"))["proof"].encode())
            self.sees_number(
                "info", *map(int, self.ask(lambda: client.info("text"))["source"]["id"].split()[:1])
            )
            self.sees_number("names", *(int(name[3:]) for name in self.ask(lambda: client.names("at"))))
            secret = self.ask(lambda: client.secret("text"))
            self.sees("secret", secret.reveal_bytes(), "text")
            number, size = map(int, secret.info["source"]["id"].split())
            if number != self.floor or size != secret.info["size"] or size != len(secret.reveal_bytes()):
                self.tell("secret", "its facts are of another generation")
        except RefusedError:
            pass

    def ask_snapshot(self, client: keystart.Keystart) -> None:
        """Takes a snapshot, whose answers must all be of one generation."""
        try:
            snapshot = self.ask(client.snapshot)
            self.counts["snapshots"] += 1
            ours = {"snapshot_expired"}
            number = int(self.ask(lambda: snapshot.path("tls/cert"), ours).split("/")[-4])
            self.sees_number("snapshot", number)
            for name in ("tls/cert", "tls/key", proof.lone(number)):
                value = self.ask(partial(snapshot.get_bytes, name), ours)
                if self.sees(f"{name} of a snapshot", value, name) not in (number, None):
                    self.tell(name, "a snapshot mixes generations")
                self.counts["pairs"] += name == "tls/key"
            if self.ask(lambda: snapshot.get_bytes("tiny"), ours) != proof.tiny(number):
                self.tell("tiny", "a snapshot mixes generations")
            if snapshot.names() != sorted([*proof.NAMES, proof.lone(number)]):
                self.tell("names", "a snapshot mixes generations")
        except RefusedError:
            pass

    def ask_writer(self, client: keystart.Keystart) -> None:
        """Refreshes and logs in, with a refusal now and then."""
        with suppress(RefusedError):
            if not set(self.ask(client.refresh)).issuperset(proof.NAMES):
                self.tell("refresh", "it does not report all that changed")
            self.counts["refreshes"] += 1
        with suppress(RefusedError, ServerError):
            self.ask(partial(client.attempt, "tls", self.log_in, rejected=ServerError), {"snapshot_expired"})
            self.counts["logins"] += 1

    def log_in(self, snapshot: keystart.Snapshot) -> None:
        """Checks that the two values of a login belong together."""
        certificate, key = (snapshot.get_bytes(name) for name in ("tls/cert", "tls/key"))
        try:
            numbers = (
                proof.number_of(certificate, self._run, "tls/cert"),
                proof.number_of(key, self._run, "tls/key"),
            )
            if numbers[0] != numbers[1]:
                self.tell("attempt", f"a login mixes generations {numbers}")
        except proof.WrongError as wrong:
            self.tell("attempt", str(wrong))
        self.counts["runs"] += 1
        if self.counts["runs"] % 3 == 0:
            raise ServerError

    def see_stopped(self, client: keystart.Keystart) -> None:
        """Checks that after the store was stopped no read returns anything, not even a kept value."""
        fresh = keystart.Keystart(self._root)
        for question in (
            lambda: client.get("text"),
            lambda: client.get_bytes("tls/key"),
            client.snapshot,
            lambda: fresh.get("text"),
            lambda: fresh.get_bytes("tls/key"),
            fresh.snapshot,
        ):
            try:
                question()
                self.tell("stopped", "a value was given after the store was stopped")
            except keystart.NotReady as error:
                self.errors[code_of(error)] += 1

    def ask(self, question: Callable[[], T], allowed: Set[str] = frozenset()) -> T:
        """Returns an answer. Counts errors, and reports those that are not allowed."""
        stopped = self._until_stopped and '"stopped"' in self._state()
        self.counts["reads"] += 1
        try:
            answer = question()
        except keystart.KeystartError as error:
            code = code_of(error)
            self.errors[code] += 1
            if code not in self._allowed and code not in allowed:
                self.tell(code, str(error))
            raise RefusedError from None
        if stopped and not allowed:
            self.tell("stopped", "a value was given after the store was stopped")
        return answer

    def sees(self, what: str, value: bytes, name: str | None = None) -> int | None:
        """Judges a value and returns its generation."""
        try:
            number = proof.number_of(value, self._run, name or what)
        except proof.WrongError as wrong:
            self.tell(what, str(wrong))
            return None
        self.sees_number(what, number)
        return number

    def sees_fresh(self, what: str, value: bytes) -> None:
        """Judges a value that may be too old."""
        number = self.sees(what, value)
        if self._asks and number is not None and proof.is_too_old(number):
            self.tell(what, "it is too old")

    def sees_number(self, what: str, *numbers: int) -> None:
        """Checks that a number is not below the last."""
        if len(numbers) != 1 or numbers[0] < self.floor:
            self.tell(what, f"{numbers} after {self.floor}")
        elif numbers[0] > self.floor:
            self.floor = numbers[0]
            self.counts["generations"] += 1

    def tell(self, what: str, how: str) -> None:
        """Records what was wrong, without the value."""
        self.wrong.append(f"{what}: {how}")

    def _state(self) -> str:
        try:
            return Path(self._root, "state.json").read_text()
        except FileNotFoundError:
            return ""


def code_of(error: keystart.KeystartError) -> str:
    """Returns the code, and which kind of not_ready it is."""
    for word in ("stopped", "removed", "changes faster"):
        if isinstance(error, keystart.NotReady) and word in str(error):
            return f"{error.code}: {word}"
    return error.code


def report(looks: list[Look], counts: Counter[str], errors: Counter[str], wrong: list[str]) -> None:
    """Prints the sum."""
    for look in looks:
        counts += look.counts
        errors += look.errors
        wrong += look.wrong
    print(
        json.dumps({"counts": counts, "errors": errors, "wrong": wrong[:5], "wrongs": len(wrong)}), flush=True
    )


def main() -> None:
    """Reads with threads and children until the end."""
    arguments = json.loads(sys.argv[1])
    client = keystart.Keystart(arguments["root"])
    first = Look(arguments)
    first.ask_client(client)
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    wrong: list[str] = []
    children = [forked(arguments, client, first.floor) for _ in range(arguments["children"])]
    print("reading", flush=True)
    looks = [Look(arguments, first.floor) for _ in range(arguments["threads"])]
    with ThreadPoolExecutor(max(1, len(looks))) as pool:
        for done in [pool.submit(look.go_on, client) for look in looks]:
            done.result()
    for child in children:
        with os.fdopen(child) as pipe:
            counted = json.load(pipe)
        counts += Counter(counted["counts"])
        errors += Counter(counted["errors"])
        wrong += counted["wrong"]
    report([first, *looks], counts, errors, wrong)


def forked(arguments: dict[str, Any], client: keystart.Keystart, floor: int) -> int:
    """Starts a child that reads with its parent's client; returns the end of the pipe that its report comes from."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.dup2(theirs, 1)
        look = Look(arguments, floor)
        look.go_on(client)
        report([look], Counter(), Counter(), [])
        os._exit(0)
    os.close(theirs)
    return ours


if __name__ == "__main__":
    main()
