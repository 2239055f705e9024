"""The command behind `./dev generate`: writes what is generated, or with `--check` says what differs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from . import files, headers, versions
from .contract import FOLDER, ROOT, ContractError, load


def main(arguments: list[str] | None = None, root: Path = ROOT, folder: Path = FOLDER) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="./dev generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    check = parser.parse_args(arguments).check
    try:
        stale = _settle(files.outputs(load(folder), root) | versions.outputs(root), root, check)
        # A header holds what the steps before it wrote.
        stale += _settle(headers.outputs(root), root, check)
    except ContractError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 2
    return 1 if check and stale else 0


def _settle(texts: Mapping[str, str], root: Path, check: bool) -> list[str]:
    """Writes the files that differ, or prints their names; returns them."""
    stale = [path for path, text in texts.items() if _differs(root / path, text)]
    for path in stale:
        if check:
            print(f"generate: {path} is not what it is generated from. Run ./dev generate.", file=sys.stderr)
        else:
            (root / path).write_text(texts[path])
            print(f"generate: wrote {path}")
    return stale


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text() != text


if __name__ == "__main__":
    sys.exit(main())
