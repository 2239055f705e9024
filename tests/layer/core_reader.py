"""Reads a secret through the C ABI alone, with any Python: prints the library's version and the value."""

from __future__ import annotations

import ctypes
import sys


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("len", ctypes.c_size_t)]

    def text(self) -> str:
        return ctypes.string_at(self.data, self.len).decode()


def main(library: str, root: bytes, name: bytes) -> None:
    core = ctypes.CDLL(library)
    size, nothing = ctypes.c_size_t, ctypes.c_void_p()
    version, value, store = Bytes(), Bytes(), ctypes.c_void_p()
    assert core.keystart_version_read(ctypes.byref(version), nothing) == 0
    opened = core.keystart_store_open(
        *(root, size(len(root)), nothing, size(0), nothing, nothing, size(0), ctypes.byref(store), nothing)
    )
    assert opened == 0
    assert core.keystart_secret_read(store, name, size(len(name)), 1, ctypes.byref(value), nothing) == 0
    print(version.text(), value.text())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode())
