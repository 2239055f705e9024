//! The process of the extension: its standard streams, limits, signals, threads, and what it does when it crashes.
//!
//! It lies in `core/capi` because libc's signals need `unsafe`, which no other folder of the core may use.

#![allow(unsafe_code)]

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
mod thread;

use rustix::process::{Resource, Rlimit, setrlimit};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;
#[cfg(target_os = "linux")]
pub use linux::*;
pub use thread::{STACK, lock, start_thread};

/// Leaves no core file, and on Linux lets no other process of the same user look into this one. Neither
/// needs a privilege.
pub fn protect() {
    #[cfg(target_os = "linux")]
    let _refused_by_a_sandbox = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _refused_by_a_sandbox = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Why a wait ended.
pub enum Wake {
    /// The descriptor can be read.
    Readable,
    /// A signal arrived.
    Signal,
    /// The time is over.
    Time,
}
