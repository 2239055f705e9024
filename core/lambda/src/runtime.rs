//! The one thread that runs all slow work of the core, and what works without it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::{future, io};

use keystart_process::{STACK, give_stack_for_crashes, lock, start_thread};
use keystart_store::errors::{Error, Result};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, Handle};

/// With fewer descriptors a start would get part of the way, and then have none left to report why it ends.
const LEAST_DESCRIPTORS: u64 = 32;

/// Whether something holds up the thread, so that nothing else can run on it.
static HELD_UP: AtomicBool = AtomicBool::new(false);

/// Gives up the thread, because the work on it does not return. No work is started there any more.
pub(crate) fn give_up() {
    HELD_UP.store(true, Ordering::Relaxed);
}

/// Runs the work in the calling thread, for a process that gets no more threads or descriptors. The
/// work must poll its descriptors itself: nothing here reports when one is ready.
pub fn alone<T>(work: impl Future<Output = T>) -> Result<T> {
    let mut builder = Builder::new_current_thread();
    // By default tokio runs 61 tasks before it looks at `work` again, and a connection that is
    // polled sleeps in each.
    builder.enable_time().event_interval(1);
    Ok(builder.build().map_err(|error| refused_by(&error))?.block_on(work))
}

/// Returns the one runtime of this process. Its thread runs as long as the process does, because a
/// thread for each task would take a tenth of a millisecond more. A name lookup that hangs has its
/// own thread, which nobody waits for.
pub fn handle() -> Result<Handle> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    if HELD_UP.load(Ordering::Relaxed) {
        return Err(Error::internal("an answer without an end holds up the thread of the core"));
    }
    let refused = |error: io::Error| refused_by(&error);
    let mut known = lock(&RUNTIME);
    if let Some(handle) = &*known {
        return Ok(handle.clone());
    }
    check_descriptors().map_err(self::refused)?;
    let mut builder = Builder::new_current_thread();
    builder.enable_all().thread_stack_size(STACK).on_thread_start(give_stack_for_crashes);
    let runtime = builder.build().map_err(refused)?;
    let handle = runtime.handle().clone();
    start_thread("keystart-core", move || runtime.block_on(future::pending::<()>())).map_err(refused)?;
    *known = Some(handle.clone());
    Ok(handle)
}

/// A thread with a runtime for one task, which may never return from it.
pub(crate) struct RefreshThread;

/// How many of these threads were given up and have not ended.
static LEFT_BEHIND: AtomicIsize = AtomicIsize::new(0);

impl RefreshThread {
    /// Runs the work there, unless an earlier one does not return.
    pub fn start(work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        if LEFT_BEHIND.load(Ordering::SeqCst) > 0 {
            return Err(Error::internal("an answer without an end holds up an earlier refresh"));
        }
        check_descriptors().map_err(refused)?;
        let runtime = Builder::new_current_thread().enable_all().thread_stack_size(STACK).build();
        let runtime = runtime.map_err(|error| refused_by(&error))?;
        let run = move || {
            runtime.block_on(work);
            // Nobody waits for a name lookup that hangs.
            runtime.shutdown_background();
        };
        start_thread("keystart-refresh", run).map_err(|error| refused_by(&error))
    }

    /// Notes that a thread is left behind.
    pub fn give_up() {
        LEFT_BEHIND.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that a thread that was left behind has returned.
    pub fn come_back() {
        LEFT_BEHIND.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Fails if the limit of descriptors is so low that none may be taken.
pub(crate) fn check_descriptors() -> std::result::Result<(), Errno> {
    let is_low = getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < LEAST_DESCRIPTORS);
    if is_low { Err(Errno::MFILE) } else { Ok(()) }
}

fn refused_by(error: &io::Error) -> Error {
    Errno::from_io_error(error).map_or_else(|| Error::internal(&format!("no thread: {}", error.kind())), refused)
}

/// Returns the error of the limit that a system call has reached.
pub(crate) fn refused(errno: Errno) -> Error {
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
