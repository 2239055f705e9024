/* The modules written in C that are linked in: what the frozen ones import, and the core.
 *
 * It takes the place of the list in libpython, which names more: with unicodedata alone a megabyte. In the same way the frozen
 * modules take the place of CPython's own, which are nearly a megabyte of objects that every start would read and relocate.
 */

#define Py_BUILD_CORE
#include <Python.h>
#include <internal/pycore_import.h>
#include <internal/pycore_runtime.h>

#define INSIDE_LIBPYTHON(X)                                                                                            \
    X(_abc) X(_codecs) X(_collections) X(_functools) X(_heapq) X(_io) X(_locale) X(_operator) X(_signal) X(_sre)       \
    X(_stat) X(_thread) X(_weakref) X(atexit) X(errno) X(itertools) X(posix) X(time)

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

extern const struct _frozen keystart_frozen_modules[], keystart_frozen_bootstrap[];
static const struct _frozen NONE[] = {{0}};
static const struct _module_alias ALIASES[] = {
    {"_frozen_importlib", "importlib._bootstrap"},
    {0},
};
const struct _frozen *_PyImport_FrozenBootstrap = keystart_frozen_bootstrap;
const struct _frozen *_PyImport_FrozenStdlib = NONE;
const struct _frozen *_PyImport_FrozenTest = NONE;
const struct _frozen *PyImport_FrozenModules = keystart_frozen_modules;
const struct _module_alias *_PyImport_FrozenAliases = ALIASES;

/* What would look for the interpreter's files. main.c sets every path, and no file is imported. */
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute);
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute) {
    (void)config;
    (void)compute;
    return PyStatus_Ok();
}

/* What would prepare CPython's own frozen objects, and throw them away. */
int _Py_Deepfreeze_Init(void);
void _Py_Deepfreeze_Fini(void);
int _Py_Deepfreeze_Init(void) { return 0; }
void _Py_Deepfreeze_Fini(void) {}

/* Lets a start pass without collecting garbage, which took a twenty-fifth of its instructions: it makes 5,000 objects that a
 * collection would look at, and keeps nearly all. CPython reads the threshold from here when it begins. */
#define OBJECTS_OF_A_START 10000
void keystart_raise_collection_threshold(void);
void keystart_raise_collection_threshold(void) {
    _PyRuntime._main_interpreter.gc.generations[0].threshold = OBJECTS_OF_A_START;
}

/* Takes the place of PyUnicode_InternFromString (-Wl,--wrap). While it makes its types, the interpreter asks a thousand times for
 * the names of the same ninety methods, by the same pointers. The texts are compared, because a pointer may have another one. */
PyObject *__real_PyUnicode_InternFromString(const char *text);
PyObject *__wrap_PyUnicode_InternFromString(const char *text);
PyObject *__wrap_PyUnicode_InternFromString(const char *text) {
    static struct {
        const char *text;
        PyObject *name;
    } known[512];
    size_t place = ((uintptr_t)text ^ (uintptr_t)text >> 9) % (sizeof known / sizeof *known);
    if (known[place].text == text && strcmp((const char *)PyUnicode_1BYTE_DATA(known[place].name), text) == 0)
        return Py_NewRef(known[place].name);
    PyObject *name = __real_PyUnicode_InternFromString(text);
    if (name != NULL && PyUnicode_IS_ASCII(name)) {
        Py_XSETREF(known[place].name, Py_NewRef(name));
        known[place].text = text;
    }
    return name;
}
