/* The modules written in C that are linked in: what the frozen ones import, and the core.
 *
 * It takes the place of the list in libpython, which names more: with unicodedata alone a megabyte.
 */

#include <Python.h>

#define INSIDE_LIBPYTHON(X)                                                                                            \
    X(_abc) X(_bisect) X(_codecs) X(_collections) X(_datetime) X(_functools) X(_heapq) X(_io) X(_locale) X(_operator)  \
    X(_signal) X(_sre) X(_stat) X(_struct) X(_thread) X(_weakref) X(atexit) X(binascii) X(errno) X(itertools) X(math)  \
    X(posix) X(time)

#define DECLARE(name) PyObject *PyInit_##name(void);
#define ENTER(name) {#name, PyInit_##name},

INSIDE_LIBPYTHON(DECLARE)
DECLARE(_imp)
DECLARE(_cffi_backend)
DECLARE(_keystart_native)
DECLARE(gc)
PyObject *PyMarshal_Init(void);
PyObject *PyInit__string(void);
PyObject *_PyWarnings_Init(void);

struct _inittab _PyImport_Inittab[] = {
    INSIDE_LIBPYTHON(ENTER)
    ENTER(_cffi_backend)
    ENTER(_keystart_native)
    /* What every interpreter has, in the order of CPython's own config.c. */
    {"marshal", PyMarshal_Init},
    {"_imp", PyInit__imp},
    {"builtins", NULL},
    {"sys", NULL},
    {"gc", PyInit_gc},
    {"_warnings", _PyWarnings_Init},
    {"_string", PyInit__string},
    {NULL, NULL},
};
