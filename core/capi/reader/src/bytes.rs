//! Bytes for the host. They are zeroed when they are freed.

#![allow(non_camel_case_types)]

use zeroize::Zeroize;

use super::guard_free;

/// Bytes from the library. The caller owns them, and passes them to keystart_bytes_free.
#[repr(C)]
pub struct keystart_bytes {
    /// The first byte. After success it is never NULL, even if there are no bytes.
    pub data: *mut u8,
    /// The number of bytes.
    pub len: usize,
}

impl keystart_bytes {
    /// Copies bytes for the host.
    pub fn copy(bytes: &[u8]) -> Self {
        let bytes: Box<[u8]> = bytes.into();
        let len = bytes.len();
        Self { data: Box::into_raw(bytes).cast(), len }
    }

    /// Copies text for the host.
    pub fn text(text: &str) -> Self {
        Self::copy(text.as_bytes())
    }

    /// Copies names for the host, joined by line feeds.
    pub fn lines(names: &[String]) -> Self {
        Self::text(&names.join("\n"))
    }
}

/// Zeroes and frees bytes, and sets `data` to NULL and `len` to 0. Ignores NULL, and bytes that were freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_bytes_free(bytes: *mut keystart_bytes) {
    // SAFETY: the caller passes a place that `keystart_bytes::copy` filled and nobody changed since, or NULL.
    let Some(bytes) = (unsafe { bytes.as_mut() }) else { return };
    let (data, len) = (std::mem::replace(&mut bytes.data, std::ptr::null_mut()), std::mem::take(&mut bytes.len));
    if data.is_null() {
        return;
    }
    guard_free(|| {
        // SAFETY: both came from one boxed slice, and the pointer was just taken out of the caller's reach.
        let mut owned = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len)) };
        owned.zeroize();
    });
}
