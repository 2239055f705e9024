//! Work on a thread of the core, and waiting for it in a way that a signal interrupts.
//!
//! Python runs the handlers of signals between two of its instructions, and so never while it is inside a call of C.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{future, io, thread};

use keystart_core::error::{Error, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};
use tokio::runtime::{Builder, Handle};

/// Something that is going on. Dropping it does not end it: the process does, or its own deadline.
#[derive(Debug)]
pub struct Task<T> {
    done: Arc<OwnedFd>,
    result: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts the work.
    pub fn start(work: impl Future<Output = T> + Send + 'static) -> Result<Self> {
        let Self { done, result } = Self::new(0, None)?;
        let (told, given) = (Arc::clone(&done), Arc::clone(&result));
        runtime()?.spawn(async move {
            // Tells that it is over also when the work panics; then there is no result.
            let _bell = Bell(told);
            let value = work.await;
            *lock(&given) = Some(value);
        });
        Ok(Self { done, result })
    }

    /// Work that was done on the way.
    pub fn over(value: T) -> Result<Self> {
        Self::new(1, Some(value))
    }

    fn new(rung: u32, value: Option<T>) -> Result<Self> {
        let refused = |errno: Errno| Error::internal(&format!("no place to wait for a task: {errno}"));
        let done = Arc::new(eventfd(rung, EventfdFlags::CLOEXEC).map_err(refused)?);
        Ok(Self { done, result: Arc::new(Mutex::new(value)) })
    }

    /// Waits for the end and gives the result; `None` when a signal came first.
    pub fn wait(&self) -> Result<Option<T>> {
        let mut waiting = [PollFd::new(&*self.done, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Err(Errno::INTR) => return Ok(None),
            Err(errno) => return Err(Error::internal(&format!("waiting for a task: {errno}"))),
            Ok(_) => {}
        }
        let result = lock(&self.result).take();
        result.map(Some).ok_or_else(|| Error::internal("a task ended without a result"))
    }
}

/// The one runtime of this process, on a thread that runs as long as it does: each work of its own would take a tenth of a
/// millisecond more to begin. A lookup of a name that hangs has a thread of its own, which nobody waits for.
fn runtime() -> Result<Handle> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    let refused = |error: io::Error| Error::internal(&format!("no thread for the core: {}", error.kind()));
    let mut known = lock(&RUNTIME);
    if let Some(handle) = &*known {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(future::pending::<()>());
    thread::Builder::new().name("keystart-core".to_owned()).spawn(run).map_err(refused)?;
    *known = Some(handle.clone());
    Ok(handle)
}

/// Locks also what a thread left behind that panicked: it is replaced as a whole, or only read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Bell(Arc<OwnedFd>);

impl Drop for Bell {
    fn drop(&mut self) {
        // An eventfd takes a first count always.
        let _rung = write(&self.0, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_gives_its_result_once() {
        for task in [Task::start(async { 7 }).unwrap(), Task::over(7).unwrap()] {
            assert_eq!(task.wait().unwrap(), Some(7));
            assert!(task.wait().is_err());
        }
    }

    #[test]
    fn a_task_that_panics_ends() {
        let task: Task<()> = Task::start(async { panic!("on purpose") }).unwrap();
        assert!(task.wait().is_err());
    }
}
