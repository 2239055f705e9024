"""Compiled modules that objects.py writes in C are what the compiler made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from extension.standalone.objects import INCLUDES, Objects
from extension.standalone.toolchain import PYTHON
from tests import ROOT

_SAMPLE = '''
"""A sample."""
from __future__ import annotations

NUMBERS = 0, -5, -6, 256, 257, 2**29, 2**30, -(2**30), 2**64, -(2**90 + 7), 1.5, -0.0, 1e300, float("inf")
TEXTS = "", "a", "a b", b"", b"a", bytes(range(256)), 'quote " and \\\\ 1 \\0 end', (1, True), (1, 1)
NESTED = (1.0, ("x", None, ...)), ((), ((),))

def first(a, /, b, *rest, c=3, **more):
    """Has arguments of each kind."""
    def inner(x):
        nonlocal b
        b += x
        return lambda: (a, b, c, inner)
    return inner

def second(a, /, b, *rest, c=3, **more):
    return [y for y in rest if y not in (a, b)] + [more, (lambda: 1)(), (lambda: 1)()]

class Sample(Exception):
    twice = NUMBERS + NUMBERS

    def tell(self, path: str) -> str:
        try:
            with open(path) as file:
                return file.read()
        except OSError as error:
            raise self from error
        finally:
            self.kind = __class__.__name__

def generate():
    yield from (number for number in NUMBERS)

async def wait(other):
    async with other as held:
        return [each async for each in held]

inner = first(1, 2)
RESULT = [inner(3)()[:3], inner(4)()[:3], second(1, 2, 3, c=4, d=5), list(generate()), repr(Sample("x"))]
try:
    Sample("y").tell("/nowhere/at/all")
except Sample as error:
    frame = error.__traceback__.tb_next
    RESULT += [frame.tb_lineno, frame.tb_frame.f_code.co_qualname, type(error.__cause__).__name__, error.kind]
'''
_COMPARE = """
import sys
from types import CodeType

sys.path[:0] = [sys.argv[1], sys.argv[2]]
import sample_objects
from sample import SAMPLE

compared = 0

def compare(made, written):
    global compared
    compared += 1
    assert type(made) is type(written), (made, written)
    if isinstance(made, CodeType):
        for name in dir(made):
            if name.startswith("co_") and name != "co_consts":
                there, here = getattr(made, name), getattr(written, name)
                assert list(there()) == list(here()) if callable(there) else there == here, (made, name)
        compare(made.co_consts, written.co_consts)
    elif isinstance(made, tuple):
        assert len(made) == len(written)
        for pair in zip(made, written):
            compare(*pair)
    else:
        assert repr(made) == repr(written)

code = compile(SAMPLE, "<frozen sample>", "exec", dont_inherit=True, optimize=2)
for written in (sample_objects.code(), sample_objects.code()):
    compare(code, written)
results = []
for each in (code, written):
    exec(each, names := {"__name__": "sample"})
    results.append(repr(names["RESULT"]))
assert results[0] == results[1], results
print(compared)
"""
_MODULE = """
/* The interpreter keeps its own for itself. */
int _PyStaticCode_InternStrings(PyCodeObject *code) { (void)code; return 0; }
static PyObject *code(PyObject *self, PyObject *none) { (void)self; (void)none; return %s(); }
static PyMethodDef METHODS[] = {{"code", code, METH_NOARGS, NULL}, {0}};
static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, .m_name = "sample_objects", .m_methods = METHODS};
PyMODINIT_FUNC PyInit_sample_objects(void) { return PyModule_Create(&MODULE); }
"""
_INTERPRETER, _HEADERS = Path("/usr/bin", PYTHON), Path("/usr/include", PYTHON)


@pytest.mark.skipif(
    not (_INTERPRETER.exists() and (_HEADERS / "internal/pycore_code.h").exists()),
    reason=f"this needs Debian's {PYTHON} and lib{PYTHON}-dev, with which the executable is built",
)
def test_what_is_written_in_c_is_what_the_compiler_made(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(f"SAMPLE = {_SAMPLE!r}\n")
    write = (
        "import sys\nfrom extension.standalone.objects import *\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\nfrom sample import SAMPLE\nobjects = Objects()\n"
        "code = compile(SAMPLE, '<frozen sample>', 'exec', dont_inherit=True, optimize=2)\n"
        "name = objects.add_module('sample', code)\nprint(INCLUDES, objects.text)\nprint(name, file=sys.stderr)\n"
    )
    written = subprocess.run(
        [_INTERPRETER, "-c", write], cwd=ROOT, capture_output=True, text=True, check=True
    )
    source = tmp_path / "sample_objects.c"
    source.write_text(written.stdout + _MODULE % written.stderr.strip())
    library = tmp_path / "sample_objects.so"
    options = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unused", f"-I{_HEADERS}"]
    subprocess.run(["cc", *options, source, "-o", library], check=True)
    done = subprocess.run(
        [_INTERPRETER, "-c", _COMPARE, tmp_path, tmp_path], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100, "hardly anything was compared"


def test_a_constant_that_has_no_form_in_c_is_named() -> None:
    with pytest.raises(TypeError, match=r"does not write: 'é'"):
        Objects().add("é")
    assert "Python.h" in INCLUDES
