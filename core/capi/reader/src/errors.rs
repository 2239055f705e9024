//! The error as the host sees it.

#![allow(non_camel_case_types)]

use super::{Out, free_handle, guard, keystart_bytes, new_handle};
use ::keystart_store::errors::Error;

/// An error. Its texts live until keystart_error_free. None of them holds secret bytes.
#[repr(C)]
pub struct keystart_error {
    /// The pinned number, which the function returned too.
    pub code: u32,
    /// The code's name, such as `secret_not_found`.
    pub code_name: *const u8,
    /// Its length in bytes.
    pub code_name_len: usize,
    /// What happened, to which secret, and what to do next.
    pub message: *const u8,
    /// Its length in bytes.
    pub message_len: usize,
    /// The name that the caller asked for, with the codes 301 to 308; else NULL.
    pub secret: *const u8,
    /// Its length in bytes.
    pub secret_len: usize,
}

/// Keeps the texts of the struct that the host reads alive. The host's pointer is one to `shown`.
#[repr(C)]
struct Allocation {
    shown: keystart_error,
    error: Error,
}

impl keystart_error {
    pub(super) fn new(error: Error) -> *mut Self {
        let (code, message, secret) = (error.code(), error.message(), error.secret());
        let shown = Self {
            code: code.number(),
            code_name: code.name().as_ptr(),
            code_name_len: code.name().len(),
            message: message.as_ptr(),
            message_len: message.len(),
            secret: secret.map_or(std::ptr::null(), str::as_ptr),
            secret_len: secret.map_or(0, str::len),
        };
        // Moving the error leaves its texts where they are, on the heap.
        new_handle(Allocation { shown, error }).cast()
    }
}

/// Frees an error and its texts. Ignores NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_error_free(error: *mut keystart_error) {
    // SAFETY: every keystart_error that leaves this library is the first field of an Allocation.
    unsafe { free_handle(error.cast::<Allocation>()) };
}

/// Returns the version of the library, such as `0.1.0`. A binding that was built for another
/// version must refuse it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_version_read(out: *mut keystart_bytes, err: *mut *mut keystart_error) -> u32 {
    unsafe {
        guard(err, || {
            Out::new(out)?.put(keystart_bytes::copy(::keystart_store::VERSION.as_bytes()));
            Ok(())
        })
    }
}
