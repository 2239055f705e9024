/* The C ABI of the extension, beside that of keystart.h, whose rules it follows.
 * Generated from core/capi/extension/src/lib.rs; change it there.
 */


#ifndef KEYSTART_EXTENSION_H
#define KEYSTART_EXTENSION_H

#include "keystart.h"

/*
 Something that is going on: a fetch, or a call of the Extensions API.
 */
typedef struct keystart_task keystart_task;

/*
 Prepares the process of the extension; call it first, and in no other process. It opens the standard streams that are
 closed, ignores SIGPIPE and SIGXFSZ, lets no other process look into this one, leaves no core file, raises the limit of
 open files, and has readers learn of a crash. `signals` are those that end the extension, as bits (1 << 15 for SIGTERM):
 they are blocked, and come while keystart_task_wait waits; give them handlers.
 */
uint32_t keystart_process_prepare(uint64_t *signals,
                                  keystart_error **err);

/*
 Writes a message to the log, one line for each line of the message, or as one JSON object when `as_json` is not 0.
 `level` is a word such as ERROR. It never fails because of the log, and waits at most half a second for it in the
 life of the process: lines that cannot be written are counted, and the next one that can says how many.
 */
uint32_t keystart_log_write(const uint8_t *level,
                            size_t level_len,
                            const uint8_t *message,
                            size_t message_len,
                            uint32_t as_json,
                            keystart_error **err);

/*
 Begins a cold start as the extension of that name: takes over the store, and where the configuration is one that needs
 no help, registers and starts to fetch, until that is asked for. Only the first call in a process does something.
 keystart_start_take tells what.
 */
uint32_t keystart_start_begin(const uint8_t *name,
                              size_t name_len,
                              keystart_error **err);

/*
 Gives what keystart_start_begin began, once: the writer; the task of registering, NULL when the process has to read the
 configuration or to fetch first; and the task of the fetch, NULL when the process has to read the configuration, or is
 not registered. Errors: those of keystart_writer_open, 901.
 */
uint32_t keystart_start_take(keystart_writer **writer,
                             keystart_task **registered,
                             keystart_task **fetch,
                             keystart_error **err);

/*
 Gives up what keystart_start_begin began and nobody has taken, where what should take it cannot run: readers, Lambda and
 the log get the message. `kind` is like `Extension.Internal`. Errors: 901.
 */
uint32_t keystart_start_fail(const uint8_t *kind,
                             size_t kind_len,
                             const uint8_t *message,
                             size_t message_len,
                             keystart_error **err);

/*
 Reads a configuration as keystart_start_begin does: by `form` what keystart.json holds (0), what keystart.yaml holds (1),
 or the variable KEYSTART_SECRETS (2). Gives the plan as `keystart check --json` prints it, without places; nothing when it
 needs help.
 */
uint32_t keystart_plan_read(const uint8_t *configuration,
                            size_t configuration_len,
                            uint32_t form,
                            keystart_bytes *out,
                            keystart_error **err);

/*
 Writes the sentence that says why `env:` of a configuration may not name this variable, or nothing if it may.
 */
uint32_t keystart_variable_check(const uint8_t *name,
                                 size_t name_len,
                                 keystart_bytes *out,
                                 keystart_error **err);

/*
 Starts to fetch what a plan asks for: JSON as `keystart check --json` prints it. keystart_task_wait gives the number of
 secrets when that is all there is to tell, else `{"count": 2, "unavailable": {"flags": {"code": "...", "message": "...",
 "optional": true}}, "again": ["..."]}`, where `again` has a line for each time that something was asked for again.
 Errors: 901.
 */
uint32_t keystart_fetch_start(const uint8_t *plan,
                              size_t plan_len,
                              keystart_task **out,
                              keystart_error **err);

/*
 Starts to register with the Extensions API at `address` (a host and a port), as an extension of that name, for
 SHUTDOWN. keystart_task_wait gives the identifier.
 */
uint32_t keystart_lambda_register(const uint8_t *address,
                                  size_t address_len,
                                  const uint8_t *name,
                                  size_t name_len,
                                  keystart_task **out,
                                  keystart_error **err);

/*
 Starts to wait, without a limit, for the next event. keystart_task_wait gives its type, such as `SHUTDOWN`.
 */
uint32_t keystart_lambda_next(const uint8_t *address,
                              size_t address_len,
                              const uint8_t *identifier,
                              size_t identifier_len,
                              keystart_task **out,
                              keystart_error **err);

/*
 Starts to report a failure: of Init, or, when `at_exit` is not 0, of what came after. `kind` is like
 `Extension.SecretsUnavailable`. keystart_task_wait gives `reported`.
 */
uint32_t keystart_lambda_fail(const uint8_t *address,
                              size_t address_len,
                              const uint8_t *identifier,
                              size_t identifier_len,
                              uint32_t at_exit,
                              const uint8_t *kind,
                              size_t kind_len,
                              const uint8_t *message,
                              size_t message_len,
                              keystart_task **out,
                              keystart_error **err);

/*
 Waits for the end of a task and gives what it told, once. `refused` is 1 when that is the sentence that says why a call
 of the Extensions API failed, else 0. When a signal came first the length is 0: let its handler run, and wait again.
 */
uint32_t keystart_task_wait(const keystart_task *task,
                            uint32_t *refused,
                            keystart_bytes *out,
                            keystart_error **err);

/*
 Frees a task. One that is not over goes on until its deadline, and what it fetched is zeroed. Ignores NULL.
 */
void keystart_task_free(keystart_task *task);

/*
 Moves what a fetch gave into a draft: the values of all entries that have some, and the variables they go into.
 Errors: 101, 504.
 */
uint32_t keystart_draft_take(const keystart_draft *draft,
                             const keystart_task *task,
                             keystart_error **err);

#endif  /* KEYSTART_EXTENSION_H */
