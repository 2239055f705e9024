//! The one extension of a process: its begin, events and end.

use std::env;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use keystart_core::{
    Out, answer, guard, handle, keystart_bytes, keystart_error, keystart_writer, new_handle, text, text_or_none,
};
use keystart_lambda::control::{Reply, Request, most_connections};
use keystart_lambda::events::Event;
use keystart_lambda::extension::{Extension, is_managed_instance, is_snapshot};
use keystart_process::{self as process, lock};
use keystart_store::errors::{Error, Result};

use crate::fetch::{keystart_failure, keystart_fetch};
use crate::plan::keystart_plan;

static EXTENSION: OnceLock<Extension> = OnceLock::new();

fn extension() -> Result<&'static Extension> {
    EXTENSION.get().ok_or_else(|| Error::internal("no extension was begun"))
}

/// Prepares the process of the extension. Call it first, and in no other process. It opens the
/// standard streams that are closed, ignores SIGPIPE and SIGXFSZ, lets no other process look into
/// this one, leaves no core file, and raises the limit of open files. From then on readers learn of
/// a crash. Signals that end the extension are held back, and come as an event while
/// keystart_extension_wait waits. `began` is the time of the first call in nanoseconds of
/// CLOCK_MONOTONIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_process_prepare(began: *mut u64, err: *mut *mut keystart_error) -> u32 {
    unsafe { answer(began, err, || Ok(process::prepare())) }
}

/// Lets no other process of the same user look into this one, and leaves no core file. A process
/// that is not the extension's calls it before it holds a secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_process_protect(err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            process::protect();
            Ok(())
        })
    }
}

/// Begins a cold start as the extension of that name: takes over the store, reads the
/// configuration, registers, and fetches until the first requests are sent. Results and failures
/// are events. Only the first call in a process has an effect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_begin(
    name: *const u8,
    name_len: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let name = text(name, name_len, "name")?;
            EXTENSION.get_or_init(|| Extension::begin(name));
            Ok(())
        })
    }
}

/// The kind of an event.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum keystart_event_kind {
    /// Lambda has registered the extension.
    KEYSTART_REGISTERED = 1,
    /// A fetch has ended; `number` is its number, 0 for the one that the process began with.
    KEYSTART_FETCHED = 2,
    /// Lambda ends the environment.
    KEYSTART_SHUTDOWN = 3,
    /// Lambda sent an event that the extension has not asked for; `text` is its type.
    KEYSTART_UNEXPECTED = 4,
    /// A signal that ends the process arrived; `number` is its number, `name` its name.
    KEYSTART_SIGNAL = 5,
    /// A failure after which the process cannot continue. `name` is the type of the error for
    /// Lambda, `text` a sentence.
    KEYSTART_FAILED = 6,
    /// Lambda invokes the function. `number` is the time until which it waits, in milliseconds since
    /// 1970; 0 if it does not say so.
    KEYSTART_INVOKE = 7,
    /// A client of control.sock asks for something; `number` is the number of its request.
    KEYSTART_ASKED = 8,
    /// The time of the wait is over.
    KEYSTART_PASSED = 9,
    /// A client that asked whether to log in has closed its connection, before its answer or after
    /// one that is watched. `number` is the number of its request.
    KEYSTART_LEFT = 10,
}

/// An event. Its pointers are valid until the next keystart_extension_wait.
#[repr(C)]
pub struct keystart_event {
    /// The kind of the event.
    pub kind: keystart_event_kind,
    /// A number.
    pub number: u64,
    /// A name.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// A text.
    pub text: *const u8,
    /// Its length.
    pub text_len: usize,
}

/// Waits (for hours if need be) for the next event, at most for that many milliseconds; UINT64_MAX
/// means no limit. Call it from one thread. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_wait(
    at_most_ms: u64,
    out: *mut keystart_event,
    err: *mut *mut keystart_error,
) -> u32 {
    /// The event that the caller has borrowed.
    static LAST: Mutex<Option<Box<Event>>> = Mutex::new(None);
    unsafe {
        answer(out, err, || {
            let until = Instant::now().checked_add(Duration::from_millis(at_most_ms));
            let event = Box::new(extension()?.wait(until.filter(|_| at_most_ms != u64::MAX))?);
            let borrowed = borrowed(&event);
            *lock(&LAST) = Some(event);
            Ok(borrowed)
        })
    }
}

fn borrowed(event: &Event) -> keystart_event {
    use keystart_event_kind as kind;
    let (kind, number, name, text) = match event {
        Event::Registered => (kind::KEYSTART_REGISTERED, 0, "", ""),
        Event::Fetched(number) => (kind::KEYSTART_FETCHED, *number, "", ""),
        Event::Shutdown => (kind::KEYSTART_SHUTDOWN, 0, "", ""),
        Event::Unexpected(text) => (kind::KEYSTART_UNEXPECTED, 0, "", text.as_str()),
        Event::Signal { number, name } => (kind::KEYSTART_SIGNAL, number.unsigned_abs().into(), *name, ""),
        Event::Failed { kind: name, message } => (kind::KEYSTART_FAILED, 0, *name, message.as_str()),
        Event::Invoke(deadline) => (kind::KEYSTART_INVOKE, *deadline, "", ""),
        Event::Asked(request) => (kind::KEYSTART_ASKED, *request, "", ""),
        Event::Left(request) => (kind::KEYSTART_LEFT, *request, "", ""),
        Event::Passed => (kind::KEYSTART_PASSED, 0, "", ""),
    };
    keystart_event {
        kind,
        number,
        name: name.as_ptr(),
        name_len: name.len(),
        text: text.as_ptr(),
        text_len: text.len(),
    }
}

/// Returns the writer of the store; NULL if the store cannot be used. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_writer(
    out: *mut *mut keystart_writer,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let writer = extension()?.writer().map(|writer| new_handle(keystart_writer::new(Arc::clone(writer))));
            Ok(writer.unwrap_or(std::ptr::null_mut()))
        })
    }
}

/// What the variables of this process say about its environment.
#[repr(C)]
pub struct keystart_environment {
    /// Lambda takes a snapshot of it after Init.
    pub is_snapshot: u32,
    /// It serves many invocations at once and never freezes.
    pub is_managed: u32,
    /// AWS_LAMBDA_EXEC_WRAPPER is set.
    pub has_wrapper: u32,
    /// It names keystart-env.
    pub has_own_wrapper: u32,
    /// KEYSTART_SOURCE names what has no effect any more.
    pub has_source: u32,
}

/// Returns what the variables of this process say about its environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_environment(
    out: *mut keystart_environment,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let [wrapper, source] = ["AWS_LAMBDA_EXEC_WRAPPER", "KEYSTART_SOURCE"]
                .map(|name| env::var_os(name).unwrap_or_default().into_encoded_bytes());
            Ok(keystart_environment {
                is_snapshot: is_snapshot().into(),
                is_managed: is_managed_instance().into(),
                has_wrapper: (!wrapper.is_empty()).into(),
                has_own_wrapper: wrapper.ends_with(b"/keystart-env").into(),
                has_source: (!matches!(source.as_slice(), b"" | b"native")).into(),
            })
        })
    }
}

/// Returns whether nothing may be fetched before the first invocation: SnapStart with
/// `snapstart: first-invoke`. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_is_deferred(out: *mut u32, err: *mut *mut keystart_error) -> u32 {
    unsafe { answer(out, err, || Ok(extension()?.is_deferred().into())) }
}

/// Begins the fetch that was deferred, or begins it again after it has failed. It takes at most
/// `at_most_ms`, or the configuration's deadline if that is shorter. Its end is an event with the
/// `number` of this fetch. Errors: 204, 502, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_start_fetch(
    at_most_ms: u64,
    number: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(number, err, || Ok(extension()?.start_deferred_fetch(Duration::from_millis(at_most_ms))?.number)) }
}

/// Returns the fetch; NULL if none has begun. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_fetch(out: *mut *mut keystart_fetch, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        answer(out, err, || {
            let fetch = extension()?.fetch().map(|fetch| new_handle(keystart_fetch::of_extension(fetch)));
            Ok(fetch.unwrap_or(std::ptr::null_mut()))
        })
    }
}

/// Begins to fetch some entries of the plan again, by their indexes: the version that they ask for,
/// or, if `stage` is not NULL, the one with that label. The end is an event with the `number` of this
/// fetch, at the latest soon after the deadline. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_refresh(
    entries: *const u64,
    count: usize,
    stage: *const u8,
    stage_len: usize,
    deadline_ms: u64,
    number: *mut u64,
    out: *mut *mut keystart_fetch,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (number, out) = (Out::new(number)?, Out::new(out)?);
            let entries = list(entries, count, "entries")?.iter().map(|entry| usize::try_from(*entry));
            let entries: Vec<usize> = entries.collect::<std::result::Result<_, _>>().map_err(|_| no_entry())?;
            let stage = text_or_none(stage, stage_len, "stage")?;
            let fetch = extension()?.refresh(&entries, stage, Duration::from_millis(deadline_ms))?;
            number.put(fetch.number);
            out.put(new_handle(keystart_fetch::of_extension(fetch)));
            Ok(())
        })
    }
}

fn no_entry() -> Error {
    Error::internal("there is no such entry")
}

/// Takes over the store again after the function has removed it (keystart_writer_is_gone), for the
/// next publish. Errors: 102, 204, 501, 502, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_reopen(err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || extension()?.reopen()) }
}

/// What a request asks for, or reports.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum keystart_request_op {
    /// To fetch again.
    KEYSTART_REFRESH = 1,
    /// Which generation to log in with.
    KEYSTART_TRY = 2,
    /// The server accepted a login.
    KEYSTART_ACCEPTED = 3,
    /// The server rejected a login.
    KEYSTART_REJECTED = 4,
    /// To fetch before the first invocation, because Lambda has restored the environment from a snapshot.
    KEYSTART_RESTORED = 5,
}

/// A request of control.sock.
#[repr(C)]
pub struct keystart_request {
    /// What it asks for, or reports.
    pub op: keystart_request_op,
    /// 1 if a request to refresh asks for everything, and names nothing.
    pub is_all: u32,
    /// 1 if the server will reject every other login too.
    pub is_locked: u32,
    /// The generation that a login used, which was accepted or rejected; else 0.
    pub generation: u64,
}

/// Returns a request, once. `names` are its names, joined by line feeds. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_request_take(
    number: u64,
    request: *mut keystart_request,
    names: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    use keystart_request_op as op;
    unsafe {
        guard(err, || {
            let (request, out) = (Out::new(request)?, Out::new(names)?);
            let (op, names, is_locked, generation) = match extension()?.control().take(number)? {
                Request::Refresh(names) => (op::KEYSTART_REFRESH, names, false, 0),
                Request::Restored => (op::KEYSTART_RESTORED, None, false, 0),
                Request::Try(name) => (op::KEYSTART_TRY, Some(vec![name]), false, 0),
                Request::Accepted(name, generation) => (op::KEYSTART_ACCEPTED, Some(vec![name]), false, generation),
                Request::Rejected { name, generation, is_locked } => {
                    (op::KEYSTART_REJECTED, Some(vec![name]), is_locked, generation)
                }
            };
            request.put(keystart_request {
                op,
                is_all: names.is_none().into(),
                is_locked: is_locked.into(),
                generation,
            });
            out.put(keystart_bytes::copy(names.unwrap_or_default().join("\n").as_bytes()));
            Ok(())
        })
    }
}

/// The answer to a request of control.sock.
#[repr(C)]
pub struct keystart_reply {
    /// The current generation; 0 if nothing is published.
    pub generation: u64,
    /// The generation to log in with instead; 0 for none.
    pub candidate: u64,
    /// When to ask again, in milliseconds, instead of a login; -1 for none.
    pub retry_after_ms: i64,
    /// 1 if the end of the connection is an event after the answer, too.
    pub is_watched: u32,
}

/// Answers a request. `failures` lists the entries that could not be fetched: for each its name, the
/// provider's word and a sentence. The client may be gone. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_request_answer(
    number: u64,
    reply: *const keystart_reply,
    failures: *const keystart_failure,
    count: usize,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let reply = handle(reply, "reply")?;
            let mut listed = Vec::new();
            for failure in list(failures, count, "failures")? {
                let part = |data, len| text(data, len, "failures").map(str::to_owned);
                listed.push((
                    part(failure.name, failure.name_len)?,
                    part(failure.code, failure.code_len)?,
                    part(failure.message, failure.message_len)?,
                ));
            }
            let reply = Reply {
                generation: reply.generation,
                candidate: Some(reply.candidate).filter(|number| *number > 0),
                retry_after_ms: u64::try_from(reply.retry_after_ms).ok(),
                failures: listed,
                is_watched: reply.is_watched == 1,
            };
            extension()?.control().answer(number, reply);
            Ok(())
        })
    }
}

/// Returns how many requests are served at once. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_request_places(out: *mut u64, err: *mut *mut keystart_error) -> u32 {
    unsafe { answer(out, err, || Ok(most_connections() as u64)) }
}

/// Borrows a list.
pub(crate) unsafe fn list<'a, T>(items: *const T, count: usize, what: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if items.is_null() || isize::try_from(count.saturating_mul(size_of::<T>())).is_err() {
        return Err(Error::internal(&format!("{what} is NULL, or too long")));
    }
    // SAFETY: not NULL, in range, and the caller passes that many items for the length of the call.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

/// Returns the plan; NULL if the configuration is invalid or was not read. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_plan(out: *mut *mut keystart_plan, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        answer(out, err, || {
            let plan = extension()?.plan().map(|plan| new_handle(keystart_plan(Arc::clone(plan))));
            Ok(plan.unwrap_or(std::ptr::null_mut()))
        })
    }
}

/// Registers the extension, unless that has begun already. The answer is an event. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_register(err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || extension()?.register()) }
}

/// Reports to Lambda that the extension is ready, and asks for its next event, which is an event
/// too. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_next(err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || extension()?.next()) }
}

/// Gives up with a reason: for readers, then for Lambda, then for the log, which also writes the
/// kept messages. `kind` is for example `Extension.SecretsUnavailable`. `fetch` is NULL, or the
/// fetch whose required failures belong to the reason. End the process after it. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_fail(
    kind: *const u8,
    kind_len: usize,
    message: *const u8,
    message_len: usize,
    fetch: *const keystart_fetch,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (kind, message) = (text(kind, kind_len, "kind")?, text(message, message_len, "message")?);
            let result = fetch.as_ref().map(keystart_fetch::result).transpose()?;
            let failures = result.map_or(&[][..], |result| &result.failures);
            extension()?.fail(kind, message, failures);
            Ok(())
        })
    }
}
