"""A function lives for hours and sees many rotations: what it read before must not pile up."""

import os
import tracemalloc
from pathlib import Path

import keystart.testing

GENERATIONS = 1000
READS = 100
WARM = 200  # by then caches are full and the allocator has what it needs


def test_100_000_reads_over_1_000_generations_leak_neither_memory_nor_descriptors() -> None:
    value = "x" * 16_384  # one generation that is kept shows: all of them would be 16 MB
    with keystart.testing.store() as store:
        client = keystart.Keystart(root=store.root, timeout=0)
        for generation in range(GENERATIONS):
            store.publish({"db": value, "key": str(generation)})
            for _ in range(READS // 4):
                client.get("db")
                client.get_bytes("db")
                client.secret("key")
                client.snapshot().get("key")
            if generation == WARM:
                before = descriptors(), resident_bytes()
                tracemalloc.start()
                traced = tracemalloc.get_traced_memory()[0]
            if generation == WARM + 100:  # tracing makes all slow
                grown = tracemalloc.get_traced_memory()[0] - traced
                tracemalloc.stop()
        assert client.get("key") == str(GENERATIONS - 1)
        assert descriptors() == before[0]
        assert grown < len(value)
        assert resident_bytes() < before[1] * 1.1


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # pathlib would hold one more


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
