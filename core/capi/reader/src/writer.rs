//! Writing: one writer for each store, and drafts of what it publishes.

#![allow(non_camel_case_types)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    answer, free_handle, guard, handle, keystart_bytes, keystart_error, name, new_handle, optional, required, text,
    text_or_none,
};
use ::keystart_store::errors::{Error, Result};
use ::keystart_store::json::{self, Json};
use ::keystart_store::manifest::Identity;
use ::keystart_store::options::Options;
use ::keystart_store::publish::{Draft, Writer};
use ::keystart_store::secret::SecretBytes;
use ::keystart_store::{Failure, Failures};

/// The one writer of a store. It holds the store's lock until it is freed.
pub struct keystart_writer(Arc<Mutex<Writer>>);

impl keystart_writer {
    /// Returns a handle of an open writer, which others may use too.
    pub fn new(writer: Arc<Mutex<Writer>>) -> Self {
        Self(writer)
    }

    /// Locks the writer. A panic inside is a bug that was reported as such, and left only whole values.
    pub fn lock(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values to publish, and the entries that could not be fetched. It is in memory only.
pub struct keystart_draft(Mutex<Draft>);

impl keystart_draft {
    /// Locks the draft, as `keystart_writer::lock` does.
    pub fn lock(&self) -> MutexGuard<'_, Draft> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn document(bytes: &[u8], what: &str) -> Result<Json> {
    json::parse(bytes).map_err(|_| Error::internal(&format!("{what} is not JSON")))
}

/// Takes over a store: makes or checks its root, locks it, removes what was published before, and
/// writes the state `starting` (contract 5.1 to 5.3). If `keeps` is 1, what is published stays until
/// the first publish (contract 5.21). `root` and `env_dir` as for keystart_store_open. `writer_name`
/// and `writer_version` go into the manifests. Errors: 102, 204, 501, 502.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_open(
    root: *const u8,
    root_len: usize,
    env_dir: *const u8,
    env_dir_len: usize,
    writer_name: *const u8,
    writer_name_len: usize,
    writer_version: *const u8,
    writer_version_len: usize,
    keeps: u32,
    out: *mut *mut keystart_writer,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let options = Options {
                root: optional(root, root_len, "root")?,
                env_dir: optional(env_dir, env_dir_len, "env_dir")?,
                ..Options::default()
            };
            let identity = Identity {
                name: text(writer_name, writer_name_len, "writer_name")?.to_owned(),
                version: text(writer_version, writer_version_len, "writer_version")?.to_owned(),
            };
            let open = if keeps == 1 { Writer::open_keeping } else { Writer::open };
            Ok(new_handle(keystart_writer::new(Arc::new(Mutex::new(open(&options, identity)?)))))
        })
    }
}

/// Frees a writer and releases the lock; what it published stays. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_free(writer: *mut keystart_writer) {
    unsafe { free_handle(writer) };
}

/// Returns the absolute path of the writer's root.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_root(
    writer: *const keystart_writer,
    out: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(keystart_bytes::text(handle(writer, "writer")?.lock().root()))) }
}

/// Reports to readers that the writer gave up, and why. What was published stays. Errors: 204, 502.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_fail(
    writer: *const keystart_writer,
    message: *const u8,
    message_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let writer = handle(writer, "writer")?;
            let message = text(message, message_len, "message")?;
            writer.lock().fail(message, Failures::new())
        })
    }
}

/// Ends the store: overwrites and removes every secret and writes the state `stopped`, or `failed`
/// with a reason if that is not NULL (contract 5.11). The lock is held until keystart_writer_free,
/// and a later publish is refused. Errors: 204, 502; even then the secrets that could be removed are
/// gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_stop(
    writer: *const keystart_writer,
    reason: *const u8,
    reason_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let writer = handle(writer, "writer")?;
            writer.lock().stop(text_or_none(reason, reason_len, "reason")?)
        })
    }
}

/// Makes an empty draft.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_new(out: *mut *mut keystart_draft, err: *mut *mut keystart_error) -> u32 {
    unsafe { answer(out, err, || Ok(new_handle(keystart_draft(Mutex::new(Draft::new()))))) }
}

/// Zeroes and frees a draft. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_free(draft: *mut keystart_draft) {
    unsafe { free_handle(draft) };
}

/// Adds a secret; the value is copied, 0 to 1048576 bytes. `entry` is a JSON object with `encoding` ("utf-8" or "binary"),
/// `fetched_at`, `refresh_after` (a time or null) and `source` (with strings `provider` and `id`); times are
/// `YYYY-MM-DDTHH:MM:SS.mmmZ`. Errors: 101, 504.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_add(
    draft: *const keystart_draft,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    entry: *const u8,
    entry_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let draft = handle(draft, "draft")?;
            let name = self::name(name, name_len)?;
            let value = required(value, value_len, "value")?;
            let entry = document(required(entry, entry_len, "entry")?, "entry")?;
            draft.lock().add(name, SecretBytes::from(value), &entry)
        })
    }
}

/// Lists an optional entry that could not be fetched. Errors: 101.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_mark(
    draft: *const keystart_draft,
    name: *const u8,
    name_len: usize,
    code: *const u8,
    code_len: usize,
    message: *const u8,
    message_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let draft = handle(draft, "draft")?;
            let name = self::name(name, name_len)?;
            let code = text(code, code_len, "code")?;
            let failure = Failure { optional: true, ..Failure::new(code, text(message, message_len, "message")?) };
            draft.lock().mark_unavailable(name, failure)
        })
    }
}

/// Publishes a draft as the next generation, and returns its number. Readers see all of it or
/// nothing (contract 5.4 to 5.8). The draft stays the caller's. Errors: 204, 502, 503, 505.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_publish(
    draft: *const keystart_draft,
    writer: *const keystart_writer,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let (draft, writer) = (handle(draft, "draft")?, handle(writer, "writer")?);
            draft.lock().publish(&mut writer.lock())
        })
    }
}
