/* The executable of the layer: registers and starts to fetch, and runs the same Python program as the pip package beside that.
 *
 * Everything is inside: the core, the interpreter, and the modules of builtin.c and frozen.txt. Nothing of the machine's Python
 * and no variable for Python counts: a function's own PYTHONPATH reaches extensions too.
 */

#include <Python.h>
#include <malloc.h>
#include <nss.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keystart_extension.h"

static const char PROGRAM[] = "import sys\n"
                              "from keystart_extension.__main__ import main\n"
                              "sys.exit(main())\n";

static const uint8_t *bytes(const char *text) { return (const uint8_t *)text; }

/* Waits for a task and gives what it told, or NULL when it failed. */
static char *told(keystart_task *task) {
    keystart_bytes out;
    uint32_t refused = 0;
    char *text = NULL;
    do { /* a signal ends the wait early, with nothing */
        if (keystart_task_wait(task, &refused, &out, NULL) != 0) return NULL;
        if (out.len > 0 && !refused) text = strndup((const char *)out.data, out.len);
        size_t length = out.len;
        keystart_bytes_free(&out);
        if (length > 0) break;
    } while (1);
    return text;
}

/* Tells the log, the readers and Lambda that Python does not run. init/error is legal only for who is registered. */
static void give_up(const char *name, const char *why) {
    char message[512];
    keystart_writer *writer = NULL;
    keystart_task *registered = NULL, *fetch = NULL, *reported = NULL;
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *kind = "Extension.Internal";
    snprintf(message, sizeof message, "The interpreter of the extension does not start: %s. Please report it.", why);
    fprintf(stderr, "[keystart] ERROR %s\n", message);
    if (keystart_start_take(&writer, &registered, &fetch, NULL) == 0)
        keystart_writer_fail(writer, bytes(message), strlen(message), bytes("{}"), 2, NULL);
    if (registered == NULL)
        keystart_lambda_register(bytes(api), strlen(api), bytes(name), strlen(name), &registered, NULL);
    char *identifier = registered == NULL ? NULL : told(registered);
    if (identifier != NULL &&
        keystart_lambda_fail(bytes(api), strlen(api), bytes(identifier), strlen(identifier), 0, bytes(kind), strlen(kind),
                             bytes(message), strlen(message), &reported, NULL) == 0)
        free(told(reported));
    free(identifier);
}

/* An interpreter that looks at nothing outside: no variables, no site, no files, an empty path. */
static PyStatus start_python(int argc, char **argv) {
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
        /* SIGTERM waits until Python can answer it: what is begun here would be left as it is. */
        sigset_t terminate;
        sigemptyset(&terminate);
        sigaddset(&terminate, SIGTERM);
        sigprocmask(SIG_BLOCK, &terminate, NULL);
        keystart_start_begin(bytes(name), strlen(name), NULL);
    }

    PyStatus status = start_python(argc, argv);
    if (PyStatus_Exception(status)) {
        const char *why = status.err_msg != NULL ? status.err_msg : "no reason was given";
        if (is_extension)
            give_up(name, why);
        else
            fprintf(stderr, "keystart: the interpreter does not start: %s.\n", why);
        return 1;
    }
    int code = PyRun_SimpleString(PROGRAM); /* sys.exit ends the process in there */
    Py_FinalizeEx();
    return code != 0;
}
