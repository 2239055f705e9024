//! The extension's own core: fetches from AWS, and speaks Lambda's Extensions API. The store is keystart-core's.
//!
//! Both are slow and are called from Python, so each runs as a task of its own, which Python waits for.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

pub mod configuration;
pub mod fetch;
pub mod ffi;
mod files;
pub mod lambda;
mod regions;
pub mod start;
pub mod task;

/// Zeroes whatever is freed: values lie in buffers of the SDK, of TLS and of HTTP before they reach one of ours.
#[global_allocator]
static ZEROING: ZeroAlloc<System> = ZeroAlloc(System);
