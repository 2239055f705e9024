//! Work on a thread of the core, and waiting for it in a way that a signal interrupts.
//!
//! Python runs the handlers of signals between two of its instructions, and so never while it is inside a call of C.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{future, io};

use keystart_store::error::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, write};
use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, Handle};

use keystart_process::{STACK, Wake, give_stack_for_crashes, lock, start_thread, wait_readable};

/// With fewer descriptors a start would go some way, and then have none left to report why it ends.
const LEAST_DESCRIPTORS: u64 = 32;

/// Whether something holds up the thread of the core, so that nothing else runs on it any more.
static HELD_UP: AtomicBool = AtomicBool::new(false);

/// Why a wait has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// The work is done.
    Done(T),
    /// A signal came.
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// Something that is going on. Dropping it does not end it: the process does, or its own deadline.
#[derive(Debug)]
pub struct Task<T> {
    /// Can be read when the work is over; none for work that was done on the way.
    done: Option<Arc<OwnedFd>>,
    result: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts the work.
    pub fn start(work: impl Future<Output = T> + Send + 'static) -> Result<Self> {
        let done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(refused)?);
        let result = Arc::new(Mutex::new(None));
        let (told, given) = (Arc::clone(&done), Arc::clone(&result));
        runtime()?.spawn(async move {
            // Tells that it is over also when the work panics; then there is no result.
            let _bell = Bell(told);
            let value = work.await;
            *lock(&given) = Some(value);
        });
        Ok(Self { done: Some(done), result })
    }

    /// Work that was done on the way.
    pub fn over(value: T) -> Self {
        Self { done: None, result: Arc::new(Mutex::new(Some(value))) }
    }

    /// Waits for the end, at most until a time, and returns the result.
    pub fn wait(&self, until: Option<Instant>) -> Result<Waited<T>> {
        if let Some(done) = &self.done {
            match wait_readable(done.as_fd(), until) {
                Ok(Wake::Readable) => {}
                Ok(Wake::Signal) => return Ok(Waited::Interrupted),
                Ok(Wake::Time) => return Ok(Waited::TimedOut),
                Err(errno) => return Err(Error::internal(&format!("waiting for a task: {errno}"))),
            }
        }
        let result = lock(&self.result).take();
        result.map(Waited::Done).ok_or_else(|| Error::internal("a task ended without a result"))
    }
}

/// Starts no work on the thread of the core any more: what runs there does not let go of it.
pub(crate) fn give_up_thread() {
    HELD_UP.store(true, Ordering::Relaxed);
}

/// Does the work in the calling thread, for a process that gets no thread or no descriptor any more. Work that waits for
/// descriptors must look at them by itself: nothing here reports when one is ready.
pub fn alone<T>(work: impl Future<Output = T>) -> Result<T> {
    Ok(Builder::new_current_thread().enable_time().build().map_err(|error| refused_by(&error))?.block_on(work))
}

/// The one runtime of this process, on a thread that runs as long as it does: each work of its own would take a tenth of a
/// millisecond more to begin. A lookup of a name that hangs has a thread of its own, which nobody waits for.
fn runtime() -> Result<Handle> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    if HELD_UP.load(Ordering::Relaxed) {
        return Err(Error::internal("an answer without an end holds up the thread of the core"));
    }
    let refused = |error: io::Error| refused_by(&error);
    let mut known = lock(&RUNTIME);
    if let Some(handle) = &*known {
        return Ok(handle.clone());
    }
    if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < LEAST_DESCRIPTORS) {
        return Err(refused_by(&Errno::MFILE.into()));
    }
    let mut builder = Builder::new_current_thread();
    builder.enable_all().thread_stack_size(STACK).on_thread_start(give_stack_for_crashes);
    let runtime = builder.build().map_err(refused)?;
    let handle = runtime.handle().clone();
    start_thread("keystart-core", move || runtime.block_on(future::pending::<()>())).map_err(refused)?;
    *known = Some(handle.clone());
    Ok(handle)
}

fn refused_by(error: &io::Error) -> Error {
    Errno::from_io_error(error).map_or_else(|| Error::internal(&format!("no thread: {}", error.kind())), refused)
}

/// The limit that a call of the system has run into.
fn refused(errno: Errno) -> Error {
    let limit =
        |resource| getrlimit(resource).current.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let what = match errno {
        Errno::AGAIN => format!(
            "no thread can be started. The limit of processes and threads is reached: RLIMIT_NPROC (ulimit -u), which is {}, \
             or pids.max of the container. Raise it",
            limit(Resource::Nproc)
        ),
        Errno::MFILE => format!(
            "too few descriptors are left. The limit of open files, RLIMIT_NOFILE (ulimit -n), is {}. Raise it to \
             {LEAST_DESCRIPTORS} or more",
            limit(Resource::Nofile)
        ),
        Errno::NFILE => "the system has no descriptor left. Raise fs.file-max".to_owned(),
        Errno::NOMEM => "there is no memory for a thread. Give the function more".to_owned(),
        other => return Error::internal(&format!("no thread for the core: {other}")),
    };
    Error::limit_reached(&what)
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
        for task in [Task::start(async { 7 }).unwrap(), Task::over(7)] {
            assert_eq!(task.wait(None).unwrap(), Waited::Done(7));
            assert!(task.wait(None).is_err());
        }
    }

    #[test]
    fn a_task_that_panics_ends() {
        let task: Task<()> = Task::start(async { panic!("on purpose") }).unwrap();
        assert!(task.wait(None).is_err());
    }

    #[test]
    fn a_wait_ends_at_its_time() {
        let task: Task<()> = Task::start(future::pending()).unwrap();
        assert_eq!(task.wait(Some(Instant::now())).unwrap(), Waited::TimedOut);
    }
}
