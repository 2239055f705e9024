//! Systems where only commands run, such as macOS: they leave signals and crashes to the interpreter. The extension
//! process, which answers both, refuses to start there (`__main__.py`).

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use keystart_store::crash::CrashReport;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::{Wake, protect};

/// Protects the process. There is no clock of a start here.
pub fn prepare() -> u64 {
    protect();
    0
}

/// Returns no signal: the interpreter answers them.
pub fn take_signal() -> Option<(i32, &'static str)> {
    None
}

/// Returns false for the same reason.
pub fn is_signal_pending() -> bool {
    false
}

/// Sets up nothing: no handler answers a crash.
pub fn give_stack_for_crashes() {}

/// Drops the report: no handler answers a crash.
pub fn report_crashes(_report: Arc<CrashReport>) {}

/// Waits until a descriptor can be read, at most until a time.
pub fn wait_readable(fd: BorrowedFd<'_>, until: Option<Instant>) -> Result<Wake, Errno> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }));
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
        Ok(0) => Ok(Wake::Time),
        Ok(_) => Ok(Wake::Readable),
        Err(Errno::INTR) => Ok(Wake::Signal),
        Err(errno) => Err(errno),
    }
}
