//! The process that Lambda runs: its standard streams, limits and signals, and what it does when it crashes.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use keystart_store::crash::CrashReport;
use libc::{c_int, sigset_t};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Wake, lock, protect};

/// The signals that wipe the store and end the process: all that end a process by default, except those below.
const ANSWERED: [(c_int, &str); 13] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGSTKFLT, "SIGSTKFLT"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    (libc::SIGIO, "SIGIO"),
    (libc::SIGPWR, "SIGPWR"),
];
/// A failed write reports itself by its error.
const IGNORED: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];
/// Faults of the process itself, after which nothing can continue.
const CRASHES: [(c_int, &str); 7] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGSYS, "SIGSYS"),
];
/// What a start needs, and some more. A lower soft limit was not set for this process.
const DESCRIPTORS: u64 = 1024;
/// For the handler of a crash, because the crash may have used up the stack.
const STACK_FOR_CRASHES: usize = 65_536;

/// The signals that are let through while the process waits.
static WAITING: OnceLock<sigset_t> = OnceLock::new();
/// The report of the crash, which is never freed, because the handler may read it at any time.
static CRASH: AtomicPtr<CrashReport> = AtomicPtr::new(null_mut());
/// The answered signal that arrived and was not taken yet; 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Prepares the process, once, before it opens anything. Returns the time of that, in nanoseconds
/// of `CLOCK_MONOTONIC`.
pub fn prepare() -> u64 {
    static BEGAN: Mutex<Option<u64>> = Mutex::new(None);
    *lock(&BEGAN).get_or_insert_with(|| {
        let began = monotonic_clock();
        open_standard_streams();
        hold_signals();
        protect(); // before a secret is in memory
        raise_descriptors();
        answer_crashes();
        give_stack_for_crashes();
        began
    })
}

fn monotonic_clock() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one valid place.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Opens closed standard streams, so that no file of the store gets the number of a stream that
/// somebody writes to.
fn open_standard_streams() {
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: three valid places.
    let found = unsafe { libc::poll(streams.as_mut_ptr(), 3, 0) };
    if found >= 0 && streams.iter().all(|stream| stream.revents & libc::POLLNVAL == 0) {
        return;
    }
    while let Ok(null) = open("/dev/null", OFlags::RDWR, Mode::empty()) {
        if null.as_raw_fd() > 2 {
            break;
        }
        let _stays_open = null.into_raw_fd();
    }
}

/// Blocks the signals: they arrive only where the process waits. The real-time signals, which
/// nobody sends, never arrive.
fn hold_signals() {
    // SAFETY: all calls get valid places, and numbers of signals; the handler only stores a number.
    unsafe {
        for signal in IGNORED {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut hangup: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, null(), &raw mut hangup);
        let is_ignored = |signal| signal == libc::SIGHUP && hangup.sa_sigaction == libc::SIG_IGN; // as nohup sets it
        let answered = ANSWERED.into_iter().map(|(signal, _)| signal).filter(|signal| !is_ignored(*signal));
        let mut held: sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut held);
        for signal in answered.clone().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
            libc::sigaddset(&raw mut held, signal);
        }
        let mut waiting: sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, &raw const held, &raw mut waiting);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note_signal as *const () as usize;
        for signal in answered {
            libc::sigaction(signal, &raw const action, null_mut());
            libc::sigdelset(&raw mut waiting, signal);
        }
        for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
            libc::sigaddset(&raw mut waiting, signal);
        }
        let _first = WAITING.set(waiting);
    }
}

extern "C" fn note_signal(signal: c_int) {
    // The first one decides how the process ends.
    let _another = SIGNAL.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
}

/// Returns the number and the name of the answered signal that arrived while the process waited, once.
pub fn take_signal() -> Option<(c_int, &'static str)> {
    let number = SIGNAL.swap(0, Ordering::Relaxed);
    ANSWERED.into_iter().find(|(known, _)| *known == number)
}

fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < DESCRIPTORS) && current != maximum {
        let raised = maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
        let _stays_low = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
}

fn answer_crashes() {
    // SAFETY: the handler does what is allowed in one, and the action is whole.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = crashed as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
        for (signal, _) in CRASHES {
            libc::sigaction(signal, &raw const action, null_mut());
        }
    }
}

/// Sets up a stack for the calling thread, on which a handler answers a crash until the thread ends.
pub fn give_stack_for_crashes() {
    thread_local! {
        static OWN: OnceCell<Option<CrashStack>> = const { OnceCell::new() };
    }
    OWN.with(|own| {
        own.get_or_init(CrashStack::new);
    });
}

/// The stack of a thread on which a handler answers a crash.
struct CrashStack(*mut libc::c_void);

impl CrashStack {
    /// Sets one up for the calling thread, which must drop it.
    fn new() -> Option<Self> {
        WAITING.get()?; // else the process has not asked for answers to crashes
        // A mapping, because the heap zeroes its memory and so touches all of it: a sixth of the memory that a start adds
        // to the process.
        // SAFETY: a new mapping, which is ours until the drop.
        unsafe {
            // Without memory a crash is answered on the thread's own stack.
            let memory =
                mmap_anonymous(null_mut(), STACK_FOR_CRASHES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
                    .ok()?;
            let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: STACK_FOR_CRASHES };
            libc::sigaltstack(&raw const stack, null_mut());
            Some(Self(memory))
        }
    }
}

impl Drop for CrashStack {
    fn drop(&mut self) {
        let none = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: from now on no handler of this thread runs on the mapping, which is ours.
        unsafe {
            libc::sigaltstack(&raw const none, null_mut());
            let _stays = munmap(self.0, STACK_FOR_CRASHES);
        }
    }
}

/// Lets the handler of a crash report it to the readers of this store, and of no earlier one.
pub fn report_crashes(report: Arc<CrashReport>) {
    // A handler may be reading the report before, so that one lives until the next call.
    static BEFORE: Mutex<Option<Arc<CrashReport>>> = Mutex::new(None);
    let before = CRASH.swap(Arc::into_raw(report).cast_mut(), Ordering::AcqRel);
    // SAFETY: NULL, or from into_raw above, and the swap takes each report back once.
    *lock(&BEFORE) = (!before.is_null()).then(|| unsafe { Arc::from_raw(before) });
}

/// Returns whether an answered signal arrived and has not been taken.
pub fn is_signal_pending() -> bool {
    // SAFETY: valid places, and numbers of signals.
    unsafe {
        let mut pending: sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut pending);
        ANSWERED.into_iter().any(|(signal, _)| libc::sigismember(&raw const pending, signal) == 1)
    }
}

extern "C" fn crashed(signal: c_int) {
    // SAFETY: NULL, or a report that lives until the second call of report_crashes after its own.
    let crash = unsafe { CRASH.load(Ordering::Acquire).as_ref() };
    if let (Some(crash), Some((_, name))) = (crash, CRASHES.iter().find(|(number, _)| *number == signal)) {
        crash.write(name);
    }
    // SAFETY: the default action, which SA_RESETHAND has set, comes when this returns.
    unsafe { libc::raise(signal) };
}

/// Waits until a descriptor can be read, at most until a time. The answered signals arrive only
/// here, so none is lost between a look and the wait.
pub fn wait_readable(fd: BorrowedFd<'_>, until: Option<Instant>) -> Result<Wake, Errno> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.map(|left| libc::timespec {
        tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    let mut waiting = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mask = WAITING.get().map_or(null(), |mask| &raw const *mask);
    // SAFETY: one valid place, a time and a mask that are whole or NULL.
    match unsafe { libc::ppoll(&raw mut waiting, 1, left.as_ref().map_or(null(), |left| &raw const *left), mask) } {
        1.. => Ok(Wake::Readable),
        0 => Ok(Wake::Time),
        _ => match Errno::from_io_error(&io::Error::last_os_error()) {
            Some(Errno::INTR) => Ok(Wake::Signal),
            errno => Err(errno.unwrap_or(Errno::IO)),
        },
    }
}
