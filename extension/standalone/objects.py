"""Writes compiled modules as objects in C, which a start uses where they lie: it neither reads nor makes them.

CPython's build does the same with its own frozen modules (Tools/scripts/deepfreeze.py). The objects are those of the
interpreter that runs this.
"""

from __future__ import annotations

from dis import opmap
from types import CodeType

INCLUDES = """#define Py_BUILD_CORE
#include <Python.h>
#include <internal/pycore_code.h>
#include <internal/pycore_long.h>
"""
_DEFINITIONS = """
#define HEAD(type) { .ob_refcnt = 999999999, .ob_type = &type }
#define SIZED(type, size) { .ob_base = HEAD(type), .ob_size = size }
#define OBJECT(name) ((PyObject *)&name)
"""
_SINGLETONS = {
    None: "Py_None",
    True: "Py_True",
    False: "Py_False",
    ...: "Py_Ellipsis",
    (): "OBJECT(_Py_SINGLETON(tuple_empty))",
}
_LOCAL, _CELL, _FREE = 0x20, 0x40, 0x80  # CO_FAST_LOCAL and so on
_DIGIT = 30  # bits


class Objects:
    """Objects in C, each once."""

    def __init__(self) -> None:
        self._lines = [_DEFINITIONS]
        self._known: dict[tuple[type, str], str] = {}
        self._codes: list[str] = []
        self._modules: list[CodeType] = []  # kept, so that no other object gets their ids

    @property
    def text(self) -> str:
        """All definitions so far."""
        return "\n".join(self._lines)

    def add_module(self, name: str, code: CodeType) -> str:
        """Adds a module, and returns the name of the function that returns its code."""
        self._modules.append(code)
        first, module = len(self._codes), self.add(code)
        function = f"get_{name.replace('.', '_')}"
        # Names are interned with the hashes of this process, so that has to wait for a start.
        calls = [f"_PyStaticCode_InternStrings((PyCodeObject *){each}) < 0" for each in self._codes[first:]]
        refused = " ||\n        ".join(calls)
        self._lines += [
            f"static PyObject *{function}(void) {{",
            f"    if ({refused}) return NULL;",
            f"    return Py_NewRef({module});\n}}",
        ]
        return function

    def add(self, value: object) -> str:
        """Adds a constant and all that it holds, and returns the C for its address."""
        if value.__class__ in (type(None), bool, type(...)) or value == ():
            return _SINGLETONS[value]
        # Two functions may be equal and have different lines.
        key = type(value), repr(value) if not isinstance(value, CodeType) else str(id(value))
        if key not in self._known:
            self._known[key] = self._define(value)
        return self._known[key]

    def _define(self, value: object) -> str:
        if isinstance(value, CodeType):
            return self._define_code(value)
        if isinstance(value, tuple):
            items = ", ".join([self.add(item) for item in value])
            head = f"{{0}}, SIZED(PyTuple_Type, {len(value)})"
            kind = f"PyGC_Head gc; PyVarObject head; PyObject *items[{len(value)}];"
            return self._write(kind, f"{head}, {{ {items} }}", ".head")
        if isinstance(value, bytes):
            kind = f"PyVarObject head; Py_hash_t hash; char data[{len(value) + 1}];"
            return self._write(kind, f"SIZED(PyBytes_Type, {len(value)}), -1, {_literal(value)}")
        if isinstance(value, str) and value.isascii():
            state = "{ .kind = 1, .compact = 1, .ascii = 1, .ready = 1 }"
            head = (
                f"{{ .ob_base = HEAD(PyUnicode_Type), .length = {len(value)}, .hash = -1, .state = {state} }}"
            )
            kind = f"PyASCIIObject head; char data[{len(value) + 1}];"
            return self._write(kind, f"{head}, {_literal(value.encode())}")
        if isinstance(value, int) and -5 <= value <= 256:
            return f"OBJECT(_PyLong_SMALL_INTS[_PY_NSMALLNEGINTS + {value}])"
        if isinstance(value, int):
            digits = [abs(value) >> bits & (1 << _DIGIT) - 1 for bits in range(0, value.bit_length(), _DIGIT)]
            size = len(digits) if value > 0 else -len(digits)
            kind = f"PyVarObject head; digit digits[{len(digits)}];"
            return self._write(kind, f"SIZED(PyLong_Type, {size}), {{ {', '.join(map(str, digits))} }}")
        if isinstance(value, float):
            return self._write("PyObject head; double value;", f"HEAD(PyFloat_Type), {value.hex()}")
        raise TypeError(
            f"a module of a start has a constant of a kind that objects.py does not write: {value!r}"
        )

    def _define_code(self, code: CodeType) -> str:
        places = {
            name: _LOCAL * (name in code.co_varnames)
            | _CELL * (name in code.co_cellvars)
            | _FREE * (name in code.co_freevars)
            for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
        }
        names = "consts names exceptiontable filename name qualname linetable"
        objects = {name: getattr(code, f"co_{name}") for name in names.split()} | {
            "localsplusnames": tuple(places),
            "localspluskinds": bytes(places.values()),
        }
        names = "flags argcount posonlyargcount kwonlyargcount stacksize firstlineno nlocals"
        numbers = {name: getattr(code, f"co_{name}") for name in names.split()} | {
            "nlocalsplus": len(places),
            "nplaincellvars": sum(kind == _CELL for kind in places.values()),
            "ncellvars": len(code.co_cellvars),
            "nfreevars": len(code.co_freevars),
            "warmup": "QUICKENING_INITIAL_WARMUP_VALUE",
        }
        members = {name: self.add(value) for name, value in objects.items()} | numbers
        listed = "".join(f"\n    .co_{name} = {value}," for name, value in members.items())
        resume = code.co_code[::2].index(opmap["RESUME"])
        name = f"code{len(self._codes)}"
        self._lines.append(
            f"static struct _PyCode_DEF({len(code.co_code)}) {name} = {{\n"
            f"    .ob_base = SIZED(PyCode_Type, {len(code.co_code) // 2}),{listed}\n"
            f"    ._co_firsttraceable = {resume},\n    .co_code_adaptive = {_literal(code.co_code)},\n}};"
        )
        self._codes.append(f"OBJECT({name})")
        return self._codes[-1]

    def _write(self, kind: str, value: str, member: str = "") -> str:
        """Writes a struct, and returns the C for the address of its first member, or of another one."""
        name = f"object{len(self._lines)}"
        self._lines.append(f"static struct {{ {kind} }} {name} = {{ {value} }};")
        return f"OBJECT({name}{member})"


def _literal(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'
