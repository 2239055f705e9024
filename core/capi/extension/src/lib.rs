//! The C ABI of the extension. It follows the rules of keystart.h.
//!
//! The doc comments of the public items become the comments of the header that the Python package
//! is built with.

#![allow(unsafe_code, non_camel_case_types)]
#![expect(clippy::doc_markdown, reason = "the comments are for people who read a C header")]

mod extension;
mod fetch;
mod log;
mod login;
mod plan;
mod refresh;

use std::alloc::System;
use std::time::Duration;

use keystart_store::errors::{Error, Result};
use zeroizing_alloc::ZeroAlloc;

/// Zeroes all freed memory: values lie in buffers of the SDK, of TLS and of HTTP before they reach one of ours.
#[global_allocator]
static ZEROING: ZeroAlloc<System> = ZeroAlloc(System);

/// Returns an item of a list, by an index from the host.
fn at<T>(list: &[T], index: u64) -> Result<&T> {
    let found = usize::try_from(index).ok().and_then(|index| list.get(index));
    found.ok_or_else(|| Error::internal("index is out of range"))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
