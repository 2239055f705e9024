"""Publishes 100 generations a second into the store that it names on stdout, until stdin ends."""

from __future__ import annotations

import json
import select
import sys
import time

import keystart.testing

GENERATIONS_A_SECOND = 100


def main() -> None:
    """Publishes the secrets of the argument, a JSON object."""
    secrets = json.loads(sys.argv[1])
    with keystart.testing.store(secrets) as store:
        print(store.root, flush=True)
        following = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, following - time.monotonic()))[0]:
            store.publish(secrets)
            following += 1 / GENERATIONS_A_SECOND


if __name__ == "__main__":
    main()
