"""Publishes at least once, and as fast as it can, as the extension does. Its argument is a JSON object.

`root`, `run` and `seed` set the values. It ends once the file `stop` exists. After `publishes` sets it stops as at
SHUTDOWN. At its end it prints how many it published and the last number, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from keystart_extension.store import Draft, Writer

from tests.draft import add

from . import proof


class Publisher:
    """The writer of a store whose values prove themselves."""

    def __init__(self, root: Path, run: str, seed: int) -> None:
        self._writer = Writer.open(str(root))
        self._run = run
        self._chance = random.Random(seed)
        # Contract 3.2: after the start this is the highest number ever used.
        self.last = int(json.loads((root / "state.json").read_text())["generation"])

    def publish(self) -> int:
        """Publishes the next set and returns its number."""
        number = self.last + 1
        draft = Draft()
        for name, value in proof.published(self._run, number, self._chance).items():
            source = {"provider": "test", "id": f"{number} {len(value)}"}
            add(draft, name, value, source)
        self.last = self._writer.publish(draft)
        if self.last != number:
            raise AssertionError(f"generation {number} was published as {self.last}")
        return number

    def stop(self) -> None:
        """Wipes the store."""
        self._writer.stop()


def main() -> None:
    """Publishes until it is asked to end."""
    arguments = json.loads(sys.argv[1])
    publisher = Publisher(Path(arguments["root"]), arguments["run"], arguments["seed"])
    stop = Path(arguments["stop"])
    published = 0
    while published == 0 or not stop.exists():
        publisher.publish()
        published += 1
        if published == arguments.get("publishes"):
            publisher.stop()
            break
    print(json.dumps({"published": published, "last": publisher.last}))


if __name__ == "__main__":
    main()
