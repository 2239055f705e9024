//! Reading: stores, snapshots, and the questions about them.

#![allow(non_camel_case_types)]

use super::{answer, free_handle, guard, handle, keystart_bytes, keystart_error, name, new_handle, optional};
use ::keystart_store::errors::{Error, Result};
use ::keystart_store::options::Options;
use ::keystart_store::store::{Form, Store};

/// A reader of one store, or a snapshot bound to one generation of it.
pub struct keystart_store(pub(super) Store);

/// Makes a reader. It does not touch the disk yet.
///
/// `root` is NULL if the caller passed none. One NUL byte stands for a value that is not text in the
/// host's language. `timeout_ms` is in milliseconds; NULL if the caller passed none, NaN for a value
/// that is not a number. `env_dir` and `env_timeout` are the values of KEYSTART_DIR and
/// KEYSTART_TIMEOUT_MS, NULL if they are not set: the library does not read the environment itself.
/// Errors: 102.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_store_open(
    root: *const u8,
    root_len: usize,
    env_dir: *const u8,
    env_dir_len: usize,
    timeout_ms: *const f64,
    env_timeout: *const u8,
    env_timeout_len: usize,
    out: *mut *mut keystart_store,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let options = Options {
                root: optional(root, root_len, "root")?,
                env_dir: optional(env_dir, env_dir_len, "env_dir")?,
                timeout_ms: timeout_ms.as_ref().copied(),
                env_timeout: optional(env_timeout, env_timeout_len, "env_timeout")?,
            };
            Ok(new_handle(keystart_store(Store::open(&options)?)))
        })
    }
}

/// Frees a reader or a snapshot. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_store_free(store: *mut keystart_store) {
    unsafe { free_handle(store) };
}

/// Makes a snapshot: a reader bound to the generation that is published now. Waits like a read.
/// Free it separately, before or after the reader that it comes from. Errors: 201 to 207.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_store_snapshot(
    store: *const keystart_store,
    out: *mut *mut keystart_store,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(new_handle(keystart_store(handle(store, "store")?.0.snapshot()?)))) }
}

/// Makes the next snapshot for a question of several parts (a value and its facts, a certificate
/// and its key), if `snapshot`, made for that question, has expired on the way. All of them share
/// the timeout of the first one. When it is over the error is 202, which says that the store
/// changes faster than it can be read. `snapshot` stays the caller's. Errors: 201 to 207.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_snapshot_renew(
    snapshot: *const keystart_store,
    out: *mut *mut keystart_store,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(new_handle(keystart_store(handle(snapshot, "snapshot")?.0.renewed()?)))) }
}

/// Reads a secret. `form` is 0 for bytes, 1 for text (UTF-8, else 304), 2 for JSON (else 305).
/// Every form returns the bytes unchanged. A `name` of NULL means that the host's caller passed no
/// string (101). Waits until the store is ready or the timeout is over. Errors: 101, 201 to 207,
/// 301 to 307.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_secret_read(
    store: *const keystart_store,
    name: *const u8,
    name_len: usize,
    form: u32,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        ask(store, name, name_len, out, err, |store, name| {
            let form = match form {
                0 => Form::Bytes,
                1 => Form::Text,
                2 => Form::Json,
                _ => return Err(Error::internal("form is not 0, 1 or 2")),
            };
            let secret = store.read(name, form)?;
            Ok(keystart_bytes::copy(secret.as_bytes()))
        })
    }
}

/// Returns the absolute path of a secret's file, without a look at the file. `name` and errors as
/// for keystart_secret_read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_secret_path(
    store: *const keystart_store,
    name: *const u8,
    name_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { ask(store, name, name_len, out, err, |store, name| Ok(keystart_bytes::text(&store.path(name)?))) }
}

/// Returns all facts about a secret except its value, as one JSON object: path, size, encoding,
/// fetched_at, refresh_after, source, checked_at, failure and stale. `name` and errors as for keystart_secret_read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_secret_info(
    store: *const keystart_store,
    name: *const u8,
    name_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { ask(store, name, name_len, out, err, |store, name| Ok(keystart_bytes::text(&store.info(name)?))) }
}

/// Answers one of the three questions about a secret.
unsafe fn ask(
    store: *const keystart_store,
    asked: *const u8,
    asked_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
    question: impl FnOnce(&Store, &[u8]) -> Result<keystart_bytes>,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let store = handle(store, "store")?;
            question(&store.0, name(asked, asked_len)?)
        })
    }
}

/// Returns the names of all secrets, or of those below the folder `prefix` (NULL: all), sorted by
/// bytes and joined by line feeds. Without names the length is 0. For a prefix that is not a string,
/// keystart_name_check(NULL, 0) returns the error. Errors: 101, 201 to 207.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_names_list(
    store: *const keystart_store,
    prefix: *const u8,
    prefix_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let names = handle(store, "store")?.0.names(optional(prefix, prefix_len, "prefix")?)?;
            Ok(keystart_bytes::lines(&names))
        })
    }
}

/// Asks the extension to fetch secrets now: `names`, joined by line feeds, or all if it is NULL. A
/// folder stands for all names below it. Returns the names of the secrets that differ from what
/// `store` read last, sorted by bytes and joined by line feeds. Waits at most the timeout. `store`
/// must not be a snapshot. For a name that is not a string, keystart_name_check(NULL, 0) returns
/// the error. Errors: 101, 202 to 207, 401, 402.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_store_refresh(
    store: *const keystart_store,
    names: *const u8,
    names_len: usize,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let names: Option<Vec<&[u8]>> =
                optional(names, names_len, "names")?.map(|names| names.split(|byte| *byte == b'\n').collect());
            let changed = handle(store, "store")?.0.refresh(&names.unwrap_or_default())?;
            Ok(keystart_bytes::lines(&changed))
        })
    }
}

/// Reports to the extension that Lambda has restored this environment from a snapshot, and waits
/// until it has fetched, at most 5 s. Whatever it answers, reads report. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_store_report_restore(
    store: *const keystart_store,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            handle(store, "store")?.0.report_restore();
            Ok(())
        })
    }
}

/// Checks that a name is legal. NULL means that the host's caller passed no string. Errors: 101.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_name_check(name: *const u8, name_len: usize, err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || ::keystart_store::name::check(self::name(name, name_len)?).map(drop)) }
}
