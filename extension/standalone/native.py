"""Writes the C of the module `_keystart_native`, with which Python calls the core: cffi's API mode."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

HEADERS = ("core/capi/reader/include/keystart.h", "core/capi/extension/include/keystart_extension.h")


def main() -> int:
    """Writes to the path in the argument."""
    root = Path(__file__).parents[2]
    builder = cffi.FFI()
    for header in HEADERS:
        # cffi reads declarations only.
        builder.cdef(re.sub(r"^#.*$", "", (root / header).read_text(), flags=re.MULTILINE))
    builder.set_source("_keystart_native", '#include "keystart_extension.h"')
    builder.emit_c_code(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
