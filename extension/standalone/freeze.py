"""Freezes the program and what it imports for the layer's executable. Run by the very Python that is linked in.

Writes frozen.c, the table that the interpreter looks in, with the modules of a start as objects, and frozen.bin, the
code of all other modules one after the other.
What is frozen is found by following each import of the code; _ABSENT lists what is left out on purpose.
"""

from __future__ import annotations

import argparse
import marshal
import sys
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from .objects import INCLUDES, Objects

# What some module imports and the executable does not need, by reason. Nearly all are imported late
# or in a try.
_ABSENT = {
    "there is no TLS for Python in a static executable; the core fetches": (
        "boto3 keystart_extension.aws.errors keystart_extension.aws.fetch "
        "keystart_extension.aws.login keystart_extension.aws.session "
        "keystart_extension.deploy.attach keystart_extension.deploy.layer keystart_extension.deploy.roll "
        "keystart_extension.deploy.status keystart_extension.pull "
        "keystart._tls ssl"
    ),
    "files of other tools are read where people work": (
        "keystart_extension.sync.command keystart_extension.sync.configuration keystart_extension.sync.policy "
        "keystart_extension.translate.command yaml"
    ),
    "the layer is built from its sources": "keystart_extension.deploy.build",
    "for the tests of functions": "keystart.testing keystart.pytest_plugin",
    "for refresh_async and attempt, which no command calls": (
        "asyncio keystart._attempt keystart._types keystart.rejections"
    ),
    "the library that Python falls back from": "_json _py_abc _compression bz2 lzma zlib",
    "for numbers, dates and texts that no configuration has": (
        "_pydecimal _strptime calendar csv decimal fractions numbers random statistics string quopri unicodedata"
    ),
    "for files and processes that nobody asks for": (
        "_posixsubprocess gzip hashlib pwd grp selectors select socket subprocess tarfile tempfile zipfile"
    ),
    "for people who debug, and for sources, which are not here": (
        "ast dataclasses doctest inspect linecache logging pdb pickle pprint py_compile pydoc tokenize traceback "
        "tracemalloc unittest"
    ),
    "for packages on a disk": (
        "email importlib.abc importlib.metadata importlib.readers importlib.resources importlib.util"
    ),
    "for other systems": "_winapi msvcrt nt winreg",
}
# Both packages use the one library that is linked in: the extension's has everything that the reader's has.
_NATIVE = "from _keystart_native import ffi, lib\n"
NATIVE = ("keystart._native", "keystart_extension._native")
ABSENT = [name for names in _ABSENT.values() for name in names.split()]
# The import system itself, under the names that the interpreter uses for it.
BOOTSTRAP = {
    "importlib._bootstrap": "_frozen_importlib",
}
# Modules of ours that take the place of Python's own.
_STAND_INS = Path(__file__).parent / "stand_ins"
STAND_INS = {
    "encodings": _STAND_INS / "encodings.py",
    "gettext": _STAND_INS / "gettext.py",
    "io": _STAND_INS / "io.py",
    "importlib._bootstrap": _STAND_INS / "imports.py",
}
# What a start loads.
OF_A_START = frozenset(
    (
        *("__future__", "encodings", "importlib._bootstrap", "io"),
        *("keystart_extension", "keystart_extension.__main__", "keystart_extension._native"),
        *(
            f"keystart_extension.{module}"
            for module in ("core", "extension", "fetch", "log", "process", "publish", "store")
        ),
    )
)
# The modules that the interpreter loads itself, and the program.
ENTRIES = ("encodings", "io", "keystart_extension.__main__")


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", action="append", required=True, help="where modules are, in order")
    parser.add_argument("--output", type=Path, required=True, help="the folder for frozen.bin and frozen.c")
    arguments = parser.parse_args()
    found = find([*arguments.path, *(entry for entry in sys.path if entry.startswith("/usr/lib/python3"))])
    write(found, arguments.output)
    print("\n".join(found))
    return 0


def find(path: list[str]) -> dict[str, tuple[str, bool]]:
    """Returns the modules that the entries import: by name, the source and whether it is a package."""
    finder = ModuleFinder([str(_STAND_INS), *path], excludes=ABSENT)
    for entry in ENTRIES:
        finder.import_hook(entry)
        parent, _, child = entry.rpartition(".")
        if parent:
            finder.import_hook(parent, None, [child])
    modules: dict[str, Any] = finder.modules  # its type does not say what a module has here
    sources = {
        name: (Path(module.__file__).read_text(), module.__path__ is not None)
        for name, module in modules.items()
        if module.__code__ is not None and not name.startswith(NATIVE)
    }
    for name in BOOTSTRAP:
        files = (Path(entry, *name.split(".")).with_suffix(".py") for entry in path)
        file = STAND_INS.get(name) or next(file for file in files if file.exists())
        sources[name] = (file.read_text(), False)
    return dict(sorted((sources | dict.fromkeys(NATIVE, (_NATIVE, False))).items()))


def write(modules: dict[str, tuple[str, bool]], folder: Path) -> None:
    """Writes the frozen modules as C into the folder."""
    marshalled: list[bytes] = []
    objects = Objects()
    tables: dict[str, list[str]] = {"modules": [], "bootstrap": []}
    at = 0
    for name, (source, is_package) in sorted(modules.items()):
        # Without assertions and docstrings. The name appears in traces and must not name the machine.
        code = compile(source, f"<frozen {name}>", "exec", dont_inherit=True, optimize=2)
        if name in OF_A_START:
            # The interpreter calls the function. Without a place and a size it would take the module for excluded.
            place = f"keystart_frozen_code, 1, {int(is_package)}, {objects.add_module(name, code)}"
        else:
            data = marshal.dumps(code)
            place = f"keystart_frozen_code + {at}, {len(data)}, {int(is_package)}, NULL"
            marshalled.append(data)
            at += len(data)
        table = tables["bootstrap" if name in BOOTSTRAP else "modules"]
        table.append(f'    {{"{BOOTSTRAP.get(name, name)}", {place}}},')
    (folder / "frozen.bin").write_bytes(b"".join(marshalled))
    written = "\n".join(
        f"const struct _frozen keystart_frozen_{name}[] = {{\n" + "\n".join(rows) + "\n    {0},\n};\n"
        for name, rows in tables.items()
    )
    (folder / "frozen.c").write_text(
        f"{INCLUDES}\n"
        '__asm__(".section .rodata\\n.balign 16\\n.globl keystart_frozen_code\\nkeystart_frozen_code:\\n'
        '.incbin \\"frozen.bin\\"\\n.previous\\n");\n'
        f"extern const unsigned char keystart_frozen_code[];\n{objects.text}\n\n{written}"
    )


if __name__ == "__main__":
    sys.exit(main())
