"""The modules that take the place of Python's own in the executable do what those do."""

from __future__ import annotations

import argparse
import ast
import encodings
import gettext
import importlib.util
import io
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from extension.standalone.executable import HERE, freeze
from extension.standalone.freeze import OF_A_START, STAND_INS
from extension.standalone.toolchain import PYTHON
from tests import ROOT

# Reads the same files with Python's own encodings, and without them.
_READ = """
import codecs, encodings, io, itertools, json, runpy, sys

TEXT = "a\\u00e9\\n\\u20ac\\r\\n\\U0001f511 end"
CUT = b"\\xff\\xe2\\x82"
CASES = [
    *itertools.product(("utf-8", "UTF8", "utf_8"), ("strict",), (TEXT.encode(),)),
    *itertools.product(("utf-8", "ascii", "us-ascii"), ("replace", "surrogateescape"), (TEXT.encode()[:5], CUT)),
    *itertools.product(("latin-1", "iso-8859-1"), ("strict",), (bytes(range(256)),)),
    ("utf-8", "strict", b"\\xff"), ("utf-8", "strict", b"\\xe2\\x82"), ("ascii", "strict", b"\\xe9"),
    ("koi8-r", "strict", b"a"),
]

def outcome(name, errors, data, size):
    try:
        file = io.TextIOWrapper(io.BytesIO(data), name, errors, write_through=True)
        parts = list(iter(lambda: file.read(size), ""))
        file.seek(0)
        first = file.read(1), file.tell()
        written = io.TextIOWrapper(sink := io.BytesIO(), name, errors)
        written.write("".join(parts))
        written.flush()
        return [parts, first, sink.getvalue().hex(), data.decode(name, errors)]
    except (UnicodeError, LookupError) as error:
        return [type(error).__name__]

def everything():
    return [outcome(*case, size) for case in CASES for size in (1, 2, 5, 1000)]

expected = everything()
codecs.unregister(encodings.search_function)
runpy.run_path(sys.argv[1])
try:
    codecs.lookup("koi8-r")
    sys.exit("Python's own encodings are still in use")
except LookupError:
    pass
found = everything()
print(json.dumps([[str(case), a, b] for case, a, b in zip([c for c in CASES for _ in range(4)], expected, found)]))
"""

# Imports frozen and built-in modules with Python's own import system, and with ours, each in a fresh process.
_IMPORT = """
import _imp, builtins, importlib, json, runpy, sys

ours = None
if len(sys.argv) > 1:
    ours = runpy.run_path(sys.argv[1])
    ours["_install"](sys, _imp)

def load(name):
    if name in sys.modules and sys.modules[name] is not None:
        return sys.modules[name]
    return ours["_find_and_load"](name, load) if ours else importlib.import_module(name)

def outcome(name):
    try:
        module = load(name)
    except ImportError as error:
        return [type(error).__name__, str(error), error.name, name in sys.modules]
    spec = module.__spec__
    parent, _, child = name.rpartition(".")
    return [
        module.__name__, module.__package__, hasattr(module, "__path__"), hasattr(module, "main"), spec.name,
        spec.parent, spec.origin, spec.submodule_search_locations is None, spec._initializing,
        sys.modules[name] is module, not parent or getattr(sys.modules[parent], child) is module,
    ]

def listed(package, names):
    handle = ours["_handle_fromlist"] if ours else importlib._bootstrap._handle_fromlist
    module = handle(load(package), names, load if ours else importlib.import_module)
    return [hasattr(module, name) for name in names]

sys.modules["halted"] = None
for name in ("__hello__", "__phello__", "__phello__.ham", "__phello__.ham.eggs", "__phello__.spam"):
    sys.modules.pop(name, None)
sys.meta_path[2:] = []  # no files
names = [
    "__phello__.ham.eggs", "__phello__", "__hello__", "_heapq", "errno", "nothing", "nothing.inside", "halted",
    "__phello__.nothing", "__hello__.inside", "errno.inside",
]
print(json.dumps([*map(outcome, names), listed("__phello__", ["spam", "nothing", "__name__"])]))
"""


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the executable has Python 3.11, before which frozen modules differ"
)
def test_modules_are_imported_and_missed_as_by_pythons_own_import_system() -> None:
    expected, found = (
        json.loads(
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", _IMPORT, *arguments],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for arguments in ([], [str(STAND_INS["importlib._bootstrap"])])
    )
    assert found == expected


def test_the_few_encodings_read_and_write_what_pythons_own_do() -> None:
    command = [sys.executable, "-c", _READ, str(STAND_INS["encodings"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for case, expected, found in json.loads(done.stdout):
        if "koi8" in case:
            assert found == ["LookupError"]
        else:
            assert found == expected, case


@pytest.mark.parametrize("name", ["UTF-8", "iso8859-1", "ISO 8859_1", "a--b", "-x-", "é-1", "1.0/x", ""])
def test_the_name_of_an_encoding_becomes_what_pythons_own_makes_of_it(name: str) -> None:
    ours = runpy.run_path(str(STAND_INS["encodings"]))["normalize_encoding"]
    assert ours(name) == encodings.normalize_encoding(name)


def test_the_names_of_io_are_those_of_pythons_own() -> None:
    ours = {
        name: value
        for name, value in runpy.run_path(str(STAND_INS["io"])).items()
        if not name.startswith("__")
    }
    abstract = {"IOBase", "RawIOBase", "BufferedIOBase", "TextIOBase"}
    assert {name for name, value in ours.items() if getattr(io, name) is not value} == abstract
    for name in abstract:
        assert issubclass(getattr(io, name), ours[name])


@pytest.mark.parametrize("name", io.__all__)
def test_no_name_of_io_is_missing_except_those_that_nothing_frozen_uses(name: str) -> None:
    unused = {"Reader", "Writer"}
    assert name in unused or name in runpy.run_path(str(STAND_INS["io"]))


def test_argparse_finds_what_it_imports_from_gettext_and_gets_messages_as_they_stand() -> None:
    ours = runpy.run_path(str(STAND_INS["gettext"]))
    tree = ast.parse(Path(argparse.__file__).read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "gettext"
        for alias in node.names
    }
    assert imported == {"gettext", "ngettext"}
    assert ours["gettext"]("usage: ") == gettext.NullTranslations().gettext("usage: ")
    for count in (0, 1, 2):
        plain = gettext.NullTranslations().ngettext("argument", "arguments", count)
        assert ours["ngettext"]("argument", "arguments", count) == plain


def test_no_frozen_module_reads_files_below_pythons_folder_which_is_empty_in_the_executable() -> None:
    names = ("prefix", "base_prefix", "exec_prefix", "base_exec_prefix")
    folders = {f"{module}.{name}" for module in ("sys", "_sys") for name in names}
    for name in sorted({*(HERE / "frozen.txt").read_text().split()} - {*STAND_INS}):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue  # part of the interpreter or of the core, which have no such paths
        tree = ast.parse(Path(spec.origin).read_text())
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert used.isdisjoint(folders), name


@pytest.mark.skipif(
    not Path(f"/usr/bin/{PYTHON}").exists(), reason=f"the layer is built with Debian's {PYTHON}"
)
def test_the_checked_in_list_has_what_is_frozen(tmp_path: Path) -> None:
    freeze(tmp_path)


def test_a_start_loads_only_what_lies_together_in_the_executable() -> None:
    inside = {*OF_A_START, "_cffi_backend", "_codecs", "_io", "sys", "time"}
    package = "keystart_extension"
    for name in sorted(OF_A_START):
        if name.startswith(package) and not name.endswith("._native"):
            path = "/".join([*name.split("."), "__init__"][: 2 if name == package else -1])
            file = ROOT / "extension/src" / f"{path}.py"
            loaded = {module for node in ast.parse(file.read_text()).body for module in modules_of(node)}
            assert loaded <= inside, f"{name} loads what no start should wait for"


def modules_of(statement: ast.stmt) -> Iterator[str]:
    """Returns the modules that an import of a module in the extension's package loads."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        parent = ".".join(part for part in ("keystart_extension" * statement.level, statement.module) if part)
        yield parent
        named = (f"{parent}.{alias.name}" for alias in statement.names)
        yield from (
            module for module in named if (ROOT / "extension/src" / f"{module.replace('.', '/')}.py").exists()
        )
