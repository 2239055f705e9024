"""Counts what a cold start reads of the layer's executable: pages, not time, so that a busy machine counts the same.

The file lies on a separate disk, whose read-ahead is set: with 0 only what is touched is read. Needs root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.timed import TimedCloud

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Prints, for each read-ahead, how much of the file a start read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start.pages", description=__doc__)
    default = ROOT / "target/standalone/x86_64/keystart"
    parser.add_argument("executable", type=Path, nargs="?", default=default, help="default: %(default)s")
    executable: Path = parser.parse_args().executable
    with tempfile.TemporaryDirectory(prefix="keystart-pages-") as name:
        folder = Path(name)
        cloud = TimedCloud(folder)
        for ahead in (128, 0):
            with disk(folder, ahead) as place:
                read = resident(executable, place, cloud)
            size = executable.stat().st_size
            print(f"{read / 1e6:6.2f} MB of {size / 1e6:.2f} MB with a read-ahead of {ahead} KB")


@contextmanager
def disk(folder: Path, ahead: int) -> Iterator[Path]:
    """Mounts a new file system with this read-ahead in KB for the length of the block."""
    image, place = folder / "image", folder / "disk"
    with image.open("wb") as file:
        file.truncate(100_000_000)
    place.mkdir(exist_ok=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", place], check=True, capture_output=True, text=True
        ).stdout
        Path(f"/sys/block/{Path(device.strip()).name}/queue/read_ahead_kb").write_text(f"{ahead}\n")
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def resident(executable: Path, place: Path, cloud: TimedCloud) -> int:
    """Returns the bytes of the file in the page cache after a start up to `next`. Before it the cache held none."""
    copy = Path(shutil.copy2(executable, place))
    file = os.open(copy, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    if cached(copy):
        raise RuntimeError("the file stays in the page cache")
    cloud.begin()
    secrets = {"KEYSTART_SECRETS": "a=prod/a,b=prod/b,c=prod/c", "KEYSTART_DIR": str(place / "store")}
    with subprocess.Popen([copy], env={**cloud.variables(), **secrets}, stderr=subprocess.PIPE) as process:
        if not cloud.waits(20):
            process.kill()
            raise RuntimeError("the extension was not ready in 20 s")
        read = cached(copy)
        cloud.shut_down()
        process.communicate(timeout=20)
    return read


def cached(file: Path) -> int:
    """Returns how many bytes of a file the page cache holds."""
    command: list[str | Path] = ["fincore", "--bytes", "--noheadings", "--output=RES", file]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
