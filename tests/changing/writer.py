"""Publishes at least once, and as fast as it can, as the extension does. Its argument is a JSON object.

`root`, `run` and `seed` set the values. It ends once the file `stop` exists. After `publishes` sets it stops as at
SHUTDOWN. With `answers` it answers on control.sock too (control.py), and limits the age of values. At its end it prints
how many it published and the last number, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from keystart_extension import core
from keystart_extension.core import lib
from keystart_extension.plan import Plan
from keystart_extension.store import Draft, Writer

from tests.conformance.store import moment
from tests.draft import FETCHED_AT, add

from . import proof
from .control import Control

_CONFIGURATION = {
    "version": 1,
    "ttl": "10s",
    "max_stale": "20s",
    "secrets": {**dict.fromkeys(["json", "text", "tiny"], "any"), "tls": {"secret": "any", "expand": True}},
}
_PAUSE_S = 0.5  # between candidates, which stay for a minute


class Publisher:
    """The writer of a store whose values prove themselves."""

    def __init__(self, root: Path, run: str, seed: int, *, answers: bool = False) -> None:
        self._writer = Writer.open(str(root))
        self._run = run
        self._chance = random.Random(seed)
        # Contract 3.2: after the start this is the highest number ever used.
        self.last = int(json.loads((root / "state.json").read_text())["generation"])
        self._plan: Plan | None = None
        self._next_candidate = 0.0
        self.control: Control | None = None
        if answers:
            file = root.parent / "keystart.json"
            file.write_text(json.dumps(_CONFIGURATION))
            self._plan = Plan.file(file)
            self._writer.watch(self._plan.handle)
            self.control = Control(root)

    def publish(self) -> int:
        """Publishes the next set and returns its number."""
        number = self.last + 1
        fetched_at = moment(0) if self._plan and not proof.is_too_old(number) else FETCHED_AT
        if self.control is not None:
            self.control.will_publish(number)
        self._check(self._writer.publish(self._draft(number, "", fetched_at)), number)
        if self.control is not None:
            self.control.was_published(number)
            self._make_candidate()
        return number

    def stop(self) -> None:
        """Wipes the store."""
        self._writer.stop()

    def _make_candidate(self) -> None:
        """Makes a generation with another certificate and key, at times."""
        if self._plan is None or self.control is None or time.monotonic() < self._next_candidate:
            return
        self._next_candidate = time.monotonic() + _PAUSE_S
        number = self.last + 1
        draft = self._draft(number, "tls/", moment(0))
        names = [entry["name"] for entry in self._plan.facts["entries"]]
        core.call(lib.keystart_draft_cover, draft.handle, self._plan.handle, names.index("tls"))
        self._check(self._writer.candidate(draft), number)
        self.control.candidate = number

    def _draft(self, number: int, prefix: str, fetched_at: str) -> Draft:
        draft = Draft()
        for name, value in proof.published(self._run, number, self._chance).items():
            if name.startswith(prefix):
                source = {"provider": "test", "id": f"{number} {len(value)}"}
                add(draft, name, value, source, fetched_at)
        return draft

    def _check(self, found: int | None, number: int) -> None:
        if found != number:
            raise AssertionError(f"generation {number} was made as {found}")
        self.last = number


def main() -> None:
    """Publishes until it is asked to end."""
    arguments = json.loads(sys.argv[1])
    publisher = Publisher(
        Path(arguments["root"]), arguments["run"], arguments["seed"], answers=arguments.get("answers", False)
    )
    answering: AbstractContextManager[object] = publisher.control or nullcontext()
    stop = Path(arguments["stop"])
    published = 0
    with answering:
        number = 0
        # The last one stays for readers that nobody answers any more.
        while published == 0 or not stop.exists() or (publisher.control and proof.is_too_old(number)):
            number = publisher.publish()
            published += 1
            if published == arguments.get("publishes"):
                publisher.stop()
                break
    print(json.dumps({"published": published, "last": publisher.last}))


if __name__ == "__main__":
    main()
