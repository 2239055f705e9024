//! The one extension of a process: its begin, events and end.

use std::sync::{Arc, Mutex, OnceLock};

use keystart_core::{Out, give, guard, keystart_error, keystart_writer, text};
use keystart_lambda::events::Event;
use keystart_lambda::extension::Extension;
use keystart_process::{self as process, lock};
use keystart_store::error::{Error, Result};

use crate::fetch::keystart_fetch;
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
    unsafe {
        guard(err, || {
            Out::new(began)?.put(process::prepare());
            Ok(())
        })
    }
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
    /// The fetch has ended.
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
}

/// An event. Its pointers are valid until the next keystart_extension_wait.
#[repr(C)]
pub struct keystart_event {
    /// The kind of the event.
    pub kind: keystart_event_kind,
    /// The number of a signal.
    pub number: i32,
    /// A name.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// A text.
    pub text: *const u8,
    /// Its length.
    pub text_len: usize,
}

/// Waits (for hours if need be) for the next event. Call it from one thread. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_wait(out: *mut keystart_event, err: *mut *mut keystart_error) -> u32 {
    /// The event that the caller has borrowed.
    static LAST: Mutex<Option<Box<Event>>> = Mutex::new(None);
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let event = Box::new(extension()?.wait()?);
            out.put(borrowed(&event));
            *lock(&LAST) = Some(event);
            Ok(())
        })
    }
}

fn borrowed(event: &Event) -> keystart_event {
    use keystart_event_kind as kind;
    let (kind, number, name, text) = match event {
        Event::Registered => (kind::KEYSTART_REGISTERED, 0, "", ""),
        Event::Fetched => (kind::KEYSTART_FETCHED, 0, "", ""),
        Event::Shutdown => (kind::KEYSTART_SHUTDOWN, 0, "", ""),
        Event::Unexpected(text) => (kind::KEYSTART_UNEXPECTED, 0, "", text.as_str()),
        Event::Signal { number, name } => (kind::KEYSTART_SIGNAL, *number, *name, ""),
        Event::Failed { kind: name, message } => (kind::KEYSTART_FAILED, 0, *name, message.as_str()),
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
        guard(err, || {
            let out = Out::new(out)?;
            let writer = extension()?.writer().map(|writer| give(keystart_writer::new(Arc::clone(writer))));
            out.put(writer.unwrap_or(std::ptr::null_mut()));
            Ok(())
        })
    }
}

/// Returns the fetch; NULL if none has begun. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_fetch(out: *mut *mut keystart_fetch, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let fetch = extension()?.fetch().map(|fetch| give(keystart_fetch::of_extension(Arc::clone(fetch))));
            out.put(fetch.unwrap_or(std::ptr::null_mut()));
            Ok(())
        })
    }
}

/// Returns the plan; NULL if the configuration is invalid or was not read. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_extension_plan(out: *mut *mut keystart_plan, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            let plan = extension()?.plan().map(|plan| give(keystart_plan(Arc::clone(plan))));
            out.put(plan.unwrap_or(std::ptr::null_mut()));
            Ok(())
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
