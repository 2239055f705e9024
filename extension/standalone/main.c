/* The executable of the layer and of the wheels: registers and starts to fetch, and runs the frozen Python program beside that.
 *
 * Everything is inside: the core, the interpreter, and the modules of builtin.c and frozen.txt. Nothing of the machine's Python
 * and no variable for Python counts: a function's own PYTHONPATH reaches extensions too.
 */

#include <Python.h>
#include <errno.h>
#include <malloc.h>
#include <nss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keystart_extension.h"

void keystart_raise_collection_threshold(void);

static const char PROGRAM[] = "keystart_extension.__main__";

static const uint8_t *bytes(const char *text) { return (const uint8_t *)text; }

/* Has the core report to readers, Lambda and the log that Python does not run. */
static void give_up(const char *why) {
    char message[512];
    const char *kind = "Extension.Internal";
    snprintf(message, sizeof message, "The interpreter of the extension does not start: %s. Please report it.", why);
    keystart_extension_fail(bytes(kind), strlen(kind), bytes(message), strlen(message), NULL, NULL);
}

/* Becomes the script that pip installs beside this file, if it exists: its interpreter has boto3, which some commands need. */
static void run_installed(char **argv) {
    static const char NAME[] = "keystart-python";
    char script[4096];
    ssize_t length = readlink("/proc/self/exe", script, sizeof script - sizeof NAME);
    if (length <= 0 || (size_t)length >= sizeof script - sizeof NAME) return;
    script[length] = '\0';
    char *slash = strrchr(script, '/');
    if (slash == NULL) return;
    strcpy(slash + 1, NAME);
    execv(script, argv);
    int error = errno;
    if (access(script, F_OK) != 0) return;
    fprintf(stderr, "keystart: %s, which pip installed beside it, does not start: %s. ", NAME, strerror(error));
    fputs("Install keystart-extension again.\n", stderr);
}

/* An interpreter that looks at nothing outside: no variables, no site, no files, an empty path. */
static PyStatus start_python(int argc, char **argv) {
    keystart_raise_collection_threshold();
    PyPreConfig pre;
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&pre);
    if (PyStatus_Exception(status)) return status;

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.parse_argv = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.optimization_level = 2;
    config.module_search_paths_set = 1;
    /* Set, so that none of them is looked for. */
    wchar_t **paths[] = {&config.home,        &config.executable,  &config.base_executable,  &config.prefix,
                         &config.base_prefix, &config.exec_prefix, &config.base_exec_prefix, &config.stdlib_dir};
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !PyStatus_Exception(status); i++)
        status = PyConfig_SetString(&config, paths[i], L"");
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

int main(int argc, char **argv) {
    /* One arena for all threads, and larger steps: otherwise each page of a new thread is a call of the system. Setting them
     * also makes what GLIBC_TUNABLES says of them count for nothing. */
    mallopt(M_ARENA_MAX, 1);
    /* Python's map of its memory stays empty but for a few places. Where the heap has no room, it gets separate pages, which
     * are zero already; in a larger step calloc would write all of it. */
    mallopt(M_TOP_PAD, 0);
    malloc_trim(0);
    Py_IgnoreEnvironmentFlag = 1; /* PYTHONMALLOCSTATS */
    PyObject_Free(PyObject_Malloc(1));
    mallopt(M_TOP_PAD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);

    /* Files and the resolver alone: glibc would load a library for what else an nsswitch.conf names, one of another glibc, or
     * one from LD_LIBRARY_PATH. */
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");

    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "keystart";
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    int is_extension = argc == 1 && api != NULL && *api != '\0';
    if (is_extension) {
        /* First: nothing may be open yet, and from here the time of the start counts. Signals wait until the process waits. */
        uint64_t began;
        keystart_process_prepare(&began, NULL);
        keystart_extension_begin(bytes(name), strlen(name), NULL);
    } else {
        run_installed(argv);
    }

    PyStatus status = start_python(argc, argv);
    if (PyStatus_Exception(status)) {
        const char *why = status.err_msg != NULL ? status.err_msg : "no reason was given";
        if (is_extension)
            give_up(why);
        else
            fprintf(stderr, "keystart: the interpreter does not start: %s.\n", why);
        return 1;
    }
    PyObject *program = PyImport_ImportModule(PROGRAM);
    PyObject *code = program == NULL ? NULL : PyObject_CallMethod(program, is_extension ? "serve" : "main", NULL);
    long number = code == NULL ? -1 : PyLong_AsLong(code);
    if (PyErr_Occurred()) {
        PyErr_Print(); /* sys.exit ends the process in here */
        number = 1;
    }
    /* Lambda waits for the end, and to shut the interpreter down takes longer than many a fetch. */
    if (is_extension) _exit((int)number);
    return Py_FinalizeEx() < 0 ? 120 : (int)number;
}
