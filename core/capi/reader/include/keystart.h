/* The C ABI of Keystart's core. Generated from core/capi/reader/src; change it there.
 *
 * Every function but the `_free` ones answers 0, or the number of an error code of the contract, section 8, and then
 * stores an error at `*err` for keystart_error_free. `err` may be NULL when only the number is wanted.
 * An output is written only when 0 is answered. A `const T *` is borrowed for the call; a `T **` output is the
 * caller's and goes to the `_free` of its type, which ignores NULL. Bytes are a pointer and a length; text is UTF-8
 * and ends without a NUL. Handles may be used from several threads at once, and stores after a fork too; each is freed
 * once. A writer and its drafts belong to one process.
 * Where a pointer is NULL that must not be, the answer is 901 (internal).
 */


#ifndef KEYSTART_H
#define KEYSTART_H

#include <stddef.h>
#include <stdint.h>

/*
 What is going to be published: values, and the entries that could not be fetched. It is in memory only.
 */
typedef struct keystart_draft keystart_draft;

/*
 A reader of one store, or a snapshot bound to one generation of it.
 */
typedef struct keystart_store keystart_store;

/*
 The one writer of a store. It holds the store's lock until it is freed.
 */
typedef struct keystart_writer keystart_writer;

/*
 Bytes that the library gives. The caller owns them and gives them to keystart_bytes_free.
 */
typedef struct {
  /*
   The first byte; never NULL after success, also when there are none.
   */
  uint8_t *data;
  /*
   How many there are.
   */
  size_t len;
} keystart_bytes;

/*
 What went wrong. The texts belong to the error and live until keystart_error_free. None of them holds secret bytes.
 */
typedef struct {
  /*
   The pinned number, the same that the function answered.
   */
  uint32_t code;
  /*
   The code's name, such as `secret_not_found`.
   */
  const uint8_t *code_name;
  /*
   Its length in bytes.
   */
  size_t code_name_len;
  /*
   What happened, to which secret, and what to do next.
   */
  const uint8_t *message;
  /*
   Its length in bytes.
   */
  size_t message_len;
  /*
   The name that was asked for, in the codes 301 to 306; else NULL.
   */
  const uint8_t *secret;
  /*
   Its length in bytes.
   */
  size_t secret_len;
} keystart_error;

/*
 Zeroes and frees bytes, and sets `data` to NULL and `len` to 0. Ignores NULL, and bytes that were freed already.
 */
void keystart_bytes_free(keystart_bytes *bytes);

/*
 Frees an error and its texts. Ignores NULL.
 */
void keystart_error_free(keystart_error *error);

/*
 Gives the version of the library, such as `0.1.0`. A binding that was built for another one must refuse it.
 */
uint32_t keystart_version_read(keystart_bytes *out, keystart_error **err);

/*
 Makes a reader. Nothing on disk is looked at yet.

 `root` NULL: not given. What is no text in the host's language is told by giving one NUL byte. `timeout_ms` NULL: not
 given; in milliseconds, NaN for what is no number. `env_dir` and `env_timeout` are the values of KEYSTART_DIR and
 KEYSTART_TIMEOUT_MS, NULL when they are not set: the library does not read the environment itself.
 Errors: 102.
 */
uint32_t keystart_store_open(const uint8_t *root,
                             size_t root_len,
                             const uint8_t *env_dir,
                             size_t env_dir_len,
                             const double *timeout_ms,
                             const uint8_t *env_timeout,
                             size_t env_timeout_len,
                             keystart_store **out,
                             keystart_error **err);

/*
 Frees a reader or a snapshot. Ignores NULL.
 */
void keystart_store_free(keystart_store *store);

/*
 Makes a snapshot: a reader bound to the generation that is published now. Waits like a read. It is freed on its own,
 before or after the reader that it was made from. Errors: 201 to 207.
 */
uint32_t keystart_store_snapshot(const keystart_store *store,
                                 keystart_store **out,
                                 keystart_error **err);

/*
 Makes the next snapshot for a question of several parts (a value and what is known of it, a certificate and its key)
 when `snapshot`, made for that question, has expired on the way. All of them share the timeout of the first one; when
 it is over the error is 202, which says that the store changes faster than it can be read. `snapshot` stays the
 caller's. Errors: 201 to 207.
 */
uint32_t keystart_snapshot_renew(const keystart_store *snapshot,
                                 keystart_store **out,
                                 keystart_error **err);

/*
 Reads a secret. `form` says what it must be: 0 bytes, 1 text (UTF-8, else 304), 2 JSON (else 305). The bytes are given
 as they are in every form. A `name` that is NULL says that the host's caller gave no string (101). Waits until the
 store is ready or the timeout is over. Errors: 101, 201 to 207, 301 to 306.
 */
uint32_t keystart_secret_read(const keystart_store *store,
                              const uint8_t *name,
                              size_t name_len,
                              uint32_t form,
                              keystart_bytes *out,
                              keystart_error **err);

/*
 Gives the absolute path of a secret's file, which is not looked at. `name` and errors as for keystart_secret_read.
 */
uint32_t keystart_secret_path(const keystart_store *store,
                              const uint8_t *name,
                              size_t name_len,
                              keystart_bytes *out,
                              keystart_error **err);

/*
 Gives what is known of a secret, but its value, as one JSON object: path, size, encoding, fetched_at, refresh_after,
 source and stale. `name` and errors as for keystart_secret_read.
 */
uint32_t keystart_secret_info(const keystart_store *store,
                              const uint8_t *name,
                              size_t name_len,
                              keystart_bytes *out,
                              keystart_error **err);

/*
 Lists the names of all secrets, or with a `prefix` (NULL: none) of those below that folder: sorted by bytes, joined by
 line feeds. Of no names the length is 0. For a prefix that is no string ask keystart_name_check(NULL, 0) for the error.
 Errors: 101, 201 to 207.
 */
uint32_t keystart_names_list(const keystart_store *store,
                             const uint8_t *prefix,
                             size_t prefix_len,
                             keystart_bytes *out,
                             keystart_error **err);

/*
 Checks that a name is a legal one. NULL says that the host's caller gave no string. Errors: 101.
 */
uint32_t keystart_name_check(const uint8_t *name, size_t name_len, keystart_error **err);

/*
 Takes over a store: makes or checks its root, locks it, removes what was published before, and says `starting`
 (contract 5.1 to 5.3). `root` and `env_dir` as for keystart_store_open; `writer_name` and `writer_version` go into the
 manifests. Errors: 102, 204, 501, 502.
 */
uint32_t keystart_writer_open(const uint8_t *root,
                              size_t root_len,
                              const uint8_t *env_dir,
                              size_t env_dir_len,
                              const uint8_t *writer_name,
                              size_t writer_name_len,
                              const uint8_t *writer_version,
                              size_t writer_version_len,
                              keystart_writer **out,
                              keystart_error **err);

/*
 Frees a writer and releases the lock; what it published stays. Ignores NULL.
 */
void keystart_writer_free(keystart_writer *writer);

/*
 Gives the absolute path of the writer's root.
 */
uint32_t keystart_writer_root(const keystart_writer *writer, keystart_bytes *out, keystart_error **err);

/*
 Tells readers that the writer gave up, and why. `failures` is a JSON object: by name `{"code": "...", "message": "..."}`.
 What was published stays. Errors: 204, 502.
 */
uint32_t keystart_writer_fail(const keystart_writer *writer,
                              const uint8_t *message,
                              size_t message_len,
                              const uint8_t *failures,
                              size_t failures_len,
                              keystart_error **err);

/*
 Ends the store: overwrites and removes every secret and says `stopped` (contract 5.11). The lock is held until
 keystart_writer_free, and a publish after this is refused. Errors: 204, 502; the secrets that could be removed are gone then.
 */
uint32_t keystart_writer_stop(const keystart_writer *writer,
                              keystart_error **err);

/*
 Makes an empty draft.
 */
uint32_t keystart_draft_new(keystart_draft **out, keystart_error **err);

/*
 Zeroes and frees a draft. Ignores NULL.
 */
void keystart_draft_free(keystart_draft *draft);

/*
 Adds a secret; the value is copied, 0 to 1048576 bytes. `entry` is a JSON object with `encoding` ("utf-8" or "binary"),
 `fetched_at`, `refresh_after` (a time or null) and `source` (with strings `provider` and `id`); times are
 `YYYY-MM-DDTHH:MM:SS.mmmZ`. Errors: 101, 504.
 */
uint32_t keystart_draft_add(const keystart_draft *draft,
                            const uint8_t *name,
                            size_t name_len,
                            const uint8_t *value,
                            size_t value_len,
                            const uint8_t *entry,
                            size_t entry_len,
                            keystart_error **err);

/*
 Lists an optional entry that could not be fetched. Errors: 101.
 */
uint32_t keystart_draft_mark(const keystart_draft *draft,
                             const uint8_t *name,
                             size_t name_len,
                             const uint8_t *code,
                             size_t code_len,
                             const uint8_t *message,
                             size_t message_len,
                             keystart_error **err);

/*
 Says that the exec wrapper is to put a secret, or an optional one that could not be fetched, into a variable; when
 `overwrite` is not 0, also into one that is set already (contract 4.9). Errors: 101, 901.
 */
uint32_t keystart_draft_assign(const keystart_draft *draft,
                               const uint8_t *variable,
                               size_t variable_len,
                               const uint8_t *secret,
                               size_t secret_len,
                               uint32_t overwrite,
                               keystart_error **err);

/*
 Publishes a draft as the next generation, whose number is given; readers see all of it or nothing (contract 5.4 to 5.8).
 The draft stays the caller's. Errors: 204, 502, 503, 505.
 */
uint32_t keystart_draft_publish(const keystart_draft *draft,
                                const keystart_writer *writer,
                                uint64_t *out,
                                keystart_error **err);

#endif  /* KEYSTART_H */
