"""A function lives for hours and sees many rotations: the values it read before must not pile up.

As a program, it reads and prints how much more memory the process holds afterwards. It is a separate process, because
memory that other tests keep or free would count among its pages.
"""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import keystart.testing
import pytest

GENERATIONS = 1000
READS = 100
WARM = 200  # by then caches are full and the allocator has what it needs
TRACED = 100  # generations; tracing slows everything down
VALUE_BYTES = 16_384  # a generation that is kept is noticed: all of them would be 16 MB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's pages in /proc")
def test_100_000_reads_over_1_000_generations_leak_neither_memory_nor_descriptors() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    more = json.loads(done.stdout)
    assert more["descriptors"] == 0
    assert more["traced"] < VALUE_BYTES
    assert more["resident"] < 0.1 * more["resident before"]


def main() -> None:
    with keystart.testing.store() as store:
        client = keystart.Keystart(root=store.root, timeout=0)
        for generation in range(GENERATIONS):
            store.publish({"db": "x" * VALUE_BYTES, "key": str(generation)})
            for _ in range(READS // 4):
                client.get("db")
                client.get_bytes("db")
                client.secret("key")
                client.snapshot().get("key")
            if generation == WARM:
                before = descriptors(), resident_bytes()
                tracemalloc.start()
                traced = tracemalloc.get_traced_memory()[0]
            if generation == WARM + TRACED:
                grown = tracemalloc.get_traced_memory()[0] - traced
                tracemalloc.stop()
        assert client.get("key") == str(GENERATIONS - 1)
        more = {
            "descriptors": descriptors() - before[0],
            "traced": grown,
            "resident": resident_bytes() - before[1],
            "resident before": before[1],
        }
    print(json.dumps(more))


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # pathlib would hold one more


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
