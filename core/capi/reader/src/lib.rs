//! The C ABI: checks pointers, turns errors and panics into numbers, and decides nothing else. Only
//! `core/capi` is unsafe.
//!
//! The doc comments of the public items become the comments of `include/keystart.h`.

#![allow(unsafe_code)]
#![expect(clippy::missing_safety_doc, reason = "the rules that all functions share are at the top of the header")]
#![expect(clippy::doc_markdown, reason = "the comments are for people who read a C header")]

mod attempt;
mod bytes;
mod errors;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

pub use attempt::*;
pub use bytes::*;
pub use errors::*;
pub use store::*;
pub use writer::*;

use ::keystart_store::errors::{Error, Result};
use ::keystart_store::log::write_panic;

// With panic = "abort" the guard below would end the host process instead of catching the panic.
const _: () = assert!(cfg!(panic = "unwind"), "the library must be built with panic = \"unwind\"");

/// Runs the body of one function. An error or a panic becomes the number, and the error at `err`.
pub unsafe fn guard(err: *mut *mut keystart_error, body: impl FnOnce() -> Result<()>) -> u32 {
    silence_panics();
    // Handles hold their state behind locks and in whole values, so what a panic leaves is still consistent.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(from_panic(panic.as_ref())));
    let Err(error) = result else { return 0 };
    let number = error.code().number();
    if !err.is_null() {
        // SAFETY: not NULL, and the caller passes a place for one pointer.
        unsafe { err.write(keystart_error::new(error)) };
    }
    number
}

/// Runs the body of one function that has one output, and writes it at `out`.
pub unsafe fn answer<T>(out: *mut T, err: *mut *mut keystart_error, body: impl FnOnce() -> Result<T>) -> u32 {
    unsafe {
        guard(err, || {
            let out = Out::new(out)?;
            out.put(body()?);
            Ok(())
        })
    }
}

/// Runs the body of a `_free`: a panic while dropping must not leave the library.
pub fn guard_free(body: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(body)));
}

/// Keeps the text of a panic, which Rust would print, out of the log. A debug build, which only
/// developers run, prints it.
fn silence_panics() {
    static SILENCED: Once = Once::new();
    SILENCED.call_once(|| {
        if !cfg!(debug_assertions) {
            set_hook(Box::new(write_panic));
        }
    });
}

/// Reports only panic messages that are literals: a formatted one could hold anything.
fn from_panic(panic: &(dyn Any + Send)) -> Error {
    Error::internal(panic.downcast_ref::<&'static str>().copied().unwrap_or("it panicked"))
}

fn null(what: &str) -> Error {
    Error::internal(&format!("{what} is NULL"))
}

/// Borrows a handle.
pub unsafe fn handle<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: the caller passes a live handle of this library, or NULL.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

/// Borrows bytes; `None` for NULL.
pub unsafe fn optional<'a>(data: *const u8, len: usize, what: &str) -> Result<Option<&'a [u8]>> {
    if data.is_null() {
        return Ok(None);
    }
    if isize::try_from(len).is_err() {
        return Err(Error::internal(&format!("the length of {what} is out of range")));
    }
    // SAFETY: not NULL, in range, and the caller passes that many readable bytes for the length of the call.
    Ok(Some(unsafe { std::slice::from_raw_parts(data, len) }))
}

/// Borrows bytes that must not be NULL.
pub unsafe fn required<'a>(data: *const u8, len: usize, what: &str) -> Result<&'a [u8]> {
    unsafe { optional(data, len, what) }?.ok_or_else(|| null(what))
}

/// Borrows text that must not be NULL.
pub unsafe fn text<'a>(data: *const u8, len: usize, what: &str) -> Result<&'a str> {
    let bytes = unsafe { required(data, len, what) }?;
    std::str::from_utf8(bytes).map_err(|_| Error::internal(&format!("{what} is not UTF-8")))
}

/// Borrows text; `None` for NULL.
pub unsafe fn text_or_none<'a>(data: *const u8, len: usize, what: &str) -> Result<Option<&'a str>> {
    if data.is_null() { Ok(None) } else { unsafe { text(data, len, what) }.map(Some) }
}

/// Borrows the name of a secret. NULL means that the host's caller passed no string.
unsafe fn name<'a>(data: *const u8, len: usize) -> Result<&'a [u8]> {
    unsafe { optional(data, len, "name") }?.ok_or_else(Error::name_not_text)
}

/// A checked place for one output.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Checks the place before any work is done for it.
    pub unsafe fn new(place: *mut T) -> Result<Self> {
        if place.is_null() { Err(null("out")) } else { Ok(Self(place)) }
    }

    /// Writes the value.
    pub fn put(self, value: T) {
        // SAFETY: `new` checked it, and the caller passes a place for one value.
        unsafe { self.0.write(value) };
    }
}

/// Turns a value into a handle, which the caller owns.
pub fn new_handle<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes a handle back and drops it.
pub unsafe fn free_handle<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: it came from `new_handle`, and the caller frees a handle once.
        guard_free(|| drop(unsafe { Box::from_raw(pointer) }));
    }
}
