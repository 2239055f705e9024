//! Threads of the core.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crate::give_stack_for_crashes;

/// As much as the main thread has. The system commits memory only where it is used.
pub const STACK: usize = 8 << 20;

/// Starts a thread of the core, on which a crash is answered. Nobody waits for its end.
pub fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = || {
        give_stack_for_crashes();
        work();
    };
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(run).map(drop)
}

/// Locks a mutex even after a thread panicked with it: the state in it is replaced as a whole, or only read.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
